"""`annologd migrate`: bring the database to the schema of this version."""

import asyncio

import click

from annolog.cli.main import database_url, emit, json_option
from annolog.storage import database


@click.command("migrate")
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing; exit with 1 if the schema is not the one needed.",
)
@json_option
def command(*, check: bool, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """Bring the database to the schema of this version.

    Safe to repeat and to run from several places at once.
    """
    url = database_url()
    before = asyncio.run(_version(url))
    after = before if check else asyncio.run(database.migrate(url))
    current = after == database.SCHEMA
    text = f"schema {after or 'none'}" + (
        "" if before == after else f" (was {before or 'none'})"
    )
    if not current:
        text += f"; {database.SCHEMA} is needed: run annologd migrate"
    emit(
        {
            "before": before,
            "after": after,
            "wanted": database.SCHEMA,
            "current": current,
        },
        text,
        as_json=as_json,
    )
    if not current:
        raise SystemExit(1)


async def _version(url: str) -> str | None:
    connection = await database.connect(url, database.BULK)
    try:
        with database.answering():
            return await database.schema_version(connection)
    finally:
        await connection.close()
