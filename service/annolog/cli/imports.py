"""`annologd import`: take over what another log holds."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict

import click

from annolog import settings as setting
from annolog.api.logs import configure_logs
from annolog.cli.main import WrongUseError, database_url, emit, json_option
from annolog.exposurelog import importer
from annolog.exposurelog.importer import Progress
from annolog.runtime import opened
from annolog.storage import database

EVERY = 2.0
"""Seconds between lines of progress."""


@click.group("import")
def command() -> None:  # numpydoc ignore=GL08
    """Take over what another log holds."""


@command.command("exposurelog")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL",
    help="Where its database is: a URL of libpq or SQLAlchemy, or 'host=... dbname=...'"
    " (then PGPASSWORD and ~/.pgpass serve too). It is only read.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1_000),
    default=importer.PIECE,
    show_default=True,
    help="Messages written at a time; others' requests wait as long.",
)
@json_option
def exposurelog(  # numpydoc ignore=PR01,RT01
    *, source: str, batch: int, as_json: bool
) -> None:
    """Take over the messages of an exposurelog database.

    Ids, dates, sites, authors, edits and deletions stay as they are. The service may
    run meanwhile. To go on after an interruption, or to add what is new, run it again.
    """
    done = asyncio.run(_exposurelog(source, batch))
    emit(
        asdict(done),
        f"{done.rows} messages read, {done.messages} of them new,"
        f" {done.invalidations} invalidations new, in {done.seconds:.0f} s"
        + (
            f"\n{done.left} invalidations of messages that were said here about"
            " several exposures were left out"
            if done.left
            else ""
        ),
        as_json=as_json,
    )


async def _exposurelog(source: str, batch: int) -> Progress:
    url = database_url()
    configure_logs("text", stream=sys.stderr, level="WARNING")
    await demand_schema(url)
    site_id = setting.load().site_id
    async with opened(url, site_id) as runtime:
        return await importer.bring(runtime, source, piece=batch, tell=_told())


async def demand_schema(url: str) -> None:
    """Make sure that annolog's database has the schema of this version.

    Raises
    ------
    WrongUseError
        It has another one, or none.
    """
    connection = await database.connect(url, database.BULK)
    try:
        with database.answering():
            found = await database.schema_version(connection)
    finally:
        await connection.close()
    if found != database.SCHEMA:
        raise WrongUseError(
            f"annologd: the database has schema {found or 'none'}, and this version"
            f" needs {database.SCHEMA}; run annologd migrate"
        )


def _told() -> Callable[[Progress], None]:
    """Make what prints a line of progress now and then, to standard error."""
    last = 0.0

    def tell(now: Progress) -> None:
        nonlocal last
        if not now.rows:
            click.echo(f"{now.total} messages to read", err=True)
            return
        if now.seconds - last < EVERY:
            return
        last = now.seconds
        speed = now.rows / now.seconds
        click.echo(
            f"{now.rows} of {now.total} messages, {now.messages} new; {speed:.0f} a"
            f" second, {(now.total - now.rows) / speed:.0f} s to go",
            err=True,
        )

    return tell
