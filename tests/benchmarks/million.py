"""Years of messages in minutes: made by the database itself, set by set.

What comes out is what an import of such an exposurelog database, and of the last
year's exposures from a butler, would have left: `annologd check` finds no fault. Only
the ids of records are made up otherwise.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence

import asyncpg

from tests.benchmarks import nights, rows, sources

_SETTINGS = {
    "maintenance_work_mem": "512MB",
    "work_mem": "256MB",
    "synchronous_commit": "off",
    "jit": "off",
}
"""For making it; what is measured afterwards has a session of its own."""

AT_ONCE = 1500 * nights.MESSAGES
"""Messages that are laid out at once, in whole nights: what is sorted and joined stays
as large as it is for a million."""


async def make(url: str, messages: int, uri: str, *, at_once: int = AT_ONCE) -> float:
    """Fill a database in which a service has started once, and nothing was said.

    Parameters
    ----------
    url
        The database.
    messages
        How many messages.
    uri
        Where the butler is that has the exposures.
    at_once
        Messages that are laid out at once; those of whole nights.

    Returns
    -------
    float
        Seconds that it took.
    """
    begun = time.perf_counter()
    one, other = [
        await asyncpg.connect(url, server_settings=_SETTINGS) for _ in range(2)
    ]
    try:
        ending = await _without_indexes(one)
        for statement in sources.exposures(messages):
            await one.execute(statement)
        await one.execute(sources.registry(uri))
        await _shared((one, other), rows.of_exposures())
        for first in range(0, messages, at_once):
            for statement in sources.some_messages(messages, first, first + at_once):
                await one.execute(statement)
            await _shared((one, other), rows.of_messages())
        await _shared((one, other), ending)
        await one.execute("drop table made_message, made_exposure")
        # Also tells which pages everybody sees, as a database of some age knows it.
        await one.execute("vacuum (analyze)")
        await one.execute("checkpoint")
    finally:
        await one.close()
        await other.close()
    return time.perf_counter() - begun


async def _without_indexes(connection: "asyncpg.Connection") -> list[str]:
    """Drop the indexes of all tables that are filled; give what makes them anew.

    To build one at the end takes a fraction of the time of a million insertions.
    """
    named = list(rows.TABLES)
    keys = await connection.fetch(
        """
        select conrelid::regclass::text as "table", conname as name,
               pg_get_constraintdef(oid) as words
          from pg_constraint
         where conrelid::regclass::text = any($1) and contype in ('p', 'u')
        """,
        named,
    )
    indexes = await connection.fetch(
        """
        select indexname as name, indexdef as words from pg_indexes i
         where tablename = any($1)
           and not exists (select from pg_constraint c where c.conname = i.indexname)
        """,
        named,
    )
    for key in keys:
        await connection.execute(
            f'alter table "{key["table"]}" drop constraint "{key["name"]}"'
        )
    for index in indexes:
        await connection.execute(f'drop index "{index["name"]}"')
    return [
        f'alter table "{key["table"]}" add constraint "{key["name"]}" {key["words"]}'
        for key in keys
    ] + [index["words"] for index in indexes]


async def _shared(
    connections: Sequence["asyncpg.Connection"], statements: Iterable[str]
) -> None:
    """Run statements over several connections, each as soon as one is free."""
    left = iter(statements)

    async def some(connection: "asyncpg.Connection") -> None:
        for statement in left:
            await connection.execute(statement)

    await asyncio.gather(*map(some, connections))
