"""Giving all messages back to an exposurelog database: the way home.

The table is exposurelog's own, or an empty one that is made; ids, dates, parents and
invalid messages are as its API shows them here. Nothing of it is lost: rows that are
not known here make the export refuse, and what is invalid there stays so.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from annolog.domain.errors import ConflictError
from annolog.exposurelog import queries_export, queries_source
from annolog.exposurelog.flags import ShownFlags
from annolog.exposurelog.importer import connected
from annolog.storage import database, entries
from annolog.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to.

    Attributes
    ----------
    messages
        All messages here.
    new, changed
        Rows that were added, and rows that were there with other content.
    skipped
        Messages that were left out: exposures whose night or number nobody knows.
    orphans
        Messages that lost their parent, as it was left out or is gone.
    invalid_there
        Rows that are invalid there and valid here; they stay invalid.
    """

    messages: int
    new: int
    changed: int
    skipped: int
    orphans: int
    invalid_there: int


class _Body(msgspec.Struct):
    """What of a revision's body a message shows."""

    text: str
    level: int
    tags: list[str]
    urls: list[str]
    author: str
    author_kind: str
    flag: str | None
    user_agent: str | None


_read = msgspec.json.Decoder(_Body).decode


async def give(url: str, destination: str, *, every: bool = False) -> Exported:
    """Write all messages into an exposurelog database, in one transaction there.

    Parameters
    ----------
    url
        Annolog's database; one snapshot of it is written.
    destination
        Where the exposurelog database is, in any of the forms of `addresses`.
    every
        Also write messages whose exposure has no known night or number, with 0 there.

    Raises
    ------
    InvalidError
        The address cannot be read, or the table lacks columns.
    ConflictError
        The table has rows that are not known here.
    UnavailableError
        One of the databases is away; then nothing was written.
    """
    pool = await database.pool(url, database.BULK)
    try:
        async with (
            connected(destination, queries_source.WRITING) as there,
            database.snapshot(pool) as here,
            there.transaction(),
        ):
            return await _written(here, there, every=every)
    finally:
        await pool.close()


async def _written(here: Connection, there: Connection, *, every: bool) -> Exported:
    if not await queries_source.columns_of(there):
        await queries_export.make_table(there)
    await queries_source.check_layout(there)
    types = await queries_export.types(there)
    # An old row may have had nulls. What was said here has them until a fact comes.
    nulls_fit = types["day_obs"][1] and types["seq_num"][1]
    rows = _Rows(here, every=every, nulls_fit=nulls_fit)
    count = await queries_export.load(there, rows.read())
    unknown, one = await queries_export.unknown(there)
    if unknown:
        detail = (
            f"the table has {unknown} messages that are not known here, such as {one}: "
            "bring them with `annologd import exposurelog`, or name an empty database"
        )
        raise ConflictError(detail, code="unknown_messages")
    done = await queries_export.write(there, types)
    return Exported(
        count, done.new, done.changed, rows.skipped, done.orphans, done.invalid_there
    )


class _Rows:
    """Turns messages into rows of exposurelog's table."""

    def __init__(self, here: Connection, *, every: bool, nulls_fit: bool) -> None:
        self._here = here
        self._every = every
        self._nulls_fit = nulls_fit
        self.skipped = 0

    async def read(self) -> AsyncIterator[tuple[Any, ...]]:
        vocabulary = (await entries.read(self._here)).vocabulary
        flags = ShownFlags.of(vocabulary)
        async for row in queries_export.messages(self._here):
            body = _read(row["body"])
            day_obs, seq_num = row["day_obs"], row["seq_num"]
            lacks = day_obs is None or seq_num is None
            if row["kept"] and self._nulls_fit:
                lacks = False
            elif self._every:
                lacks, day_obs, seq_num = False, day_obs or 0, seq_num or 0
            self.skipped += lacks
            yield (
                row["message_id"],
                row["site_id"],
                row["obs_id"],
                row["instrument"],
                day_obs,
                seq_num,
                body.text,
                body.level,
                body.tags,
                body.urls,
                body.author,
                body.user_agent or "",
                body.author_kind == "human",
                flags.shown(body.flag),
                row["date_added"],
                row["date_invalidated"],
                row["parent_id"],
                lacks,
            )
