"""`annologd export`: give what annolog holds to other programs."""

import asyncio
from dataclasses import asdict

import asyncpg
import click

from annolog.cli.butler_exports import command as butler
from annolog.cli.export_collections import collections, where
from annolog.cli.imports import demand_schema
from annolog.cli.main import FailedError, database_url, emit, json_option
from annolog.exposurelog import exporter
from annolog.exposurelog.exporter import Exported


@click.group("export")
def command() -> None:  # numpydoc ignore=GL08
    """Give what annolog holds to other programs."""


command.add_command(butler)
command.add_command(collections)
command.add_command(where)


@command.command("exposurelog")
@click.option(
    "--to",
    "destination",
    required=True,
    metavar="URL",
    help="Where the exposurelog database is: a URL of libpq or SQLAlchemy, or"
    " 'host=... dbname=...'. Without a table `message` it gets one.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Write messages of exposures whose night or number nobody knows too, with 0.",
)
@json_option
def exposurelog(  # numpydoc ignore=PR01,RT01
    *, destination: str, every: bool, as_json: bool
) -> None:
    """Write all messages into a database of exposurelog's layout.

    For the way back: into exposurelog's own database, whose messages were imported, or
    into an empty one. Rows that are not known here are never touched: the export is
    refused instead. Repeat it to bring the table up to date.
    """
    done = asyncio.run(_exposurelog(destination, every=every))
    emit(asdict(done), "\n".join(_lines(done)), as_json=as_json)


async def _exposurelog(destination: str, *, every: bool) -> Exported:
    url = database_url()
    await demand_schema(url)
    try:
        return await exporter.give(url, destination, every=every)
    except asyncpg.PostgresError as error:
        # A privilege that is missing, or what columns of its own making do not take.
        raise FailedError(f"annologd: nothing was written: {error}") from None


def _lines(done: Exported) -> list[str]:
    lines = [f"{done.messages} messages: {done.new} added, {done.changed} changed"]
    if done.skipped:
        lines.append(
            f"{done.skipped} left out, as nobody knows their night or number; --all"
            " writes them with 0"
        )
    if done.orphans:
        lines.append(f"{done.orphans} written without their parent, which is not there")
    if done.invalid_there:
        lines.append(
            f"{done.invalid_there} are invalid there and valid here; they stay invalid"
        )
    return lines
