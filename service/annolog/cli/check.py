"""`annologd check`: hold every view against what the records give."""

import asyncio

import click

from annolog.actions import check
from annolog.actions.check import Report
from annolog.cli.main import FAILED, database_url, emit, json_option
from annolog.storage import database

SHOWN = 100
"""Faults that are printed; all of them are counted."""


@click.command("check")
@click.option(
    "--digest",
    is_flag=True,
    help="Print only the digest of records and views: equal at sites that hold the "
    "same records.",
)
@json_option
def command(*, digest: bool, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """Compare every view with what the records give, in one snapshot.

    Ends with 1 if anything differs. Nothing is changed.
    """
    report = asyncio.run(_check(database_url()))
    if digest:
        emit({"digest": report.digest}, report.digest, as_json=as_json)
    else:
        emit(
            {
                "records": report.records,
                "head": report.head,
                "pending": report.pending,
                "digest": report.digest,
                "fault_count": len(report.faults),
                "faults": report.faults[:SHOWN],
            },
            _text(report),
            as_json=as_json,
        )
    if report.faults:
        raise SystemExit(FAILED)


def _text(report: Report) -> str:
    lines = [one.sentence for one in report.faults[:SHOWN]]
    more = len(report.faults) - len(lines)
    if more > 0:
        lines.append(f"... and {more} more")
    verdict = f"{len(report.faults)} differences" if lines else "all views agree"
    waiting = f"; {report.pending} states wait for a refresh" if report.pending else ""
    lines.append(
        f"{report.records} records up to change {report.head}: {verdict}{waiting}"
    )
    lines.append(f"digest {report.digest}")
    return "\n".join(lines)


async def _check(url: str) -> Report:
    pool = await database.pool(url, database.BULK)
    try:
        async with database.snapshot(pool) as connection:
            return await check.check_all(connection)
    finally:
        await pool.close()
