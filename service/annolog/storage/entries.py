"""Vocabularies, instruments, policies, aliases and joins, as the records gave them."""

from collections.abc import Sequence

import msgspec

from annolog.domain.entries import Entry
from annolog.domain.ledger import Known
from annolog.domain.vocabulary import Vocabulary
from annolog.storage.database import Connection


async def after(conn: Connection, number: int, until: int | None = None) -> list[Entry]:
    """Read the entries that came after a change, oldest first.

    Parameters
    ----------
    conn
        A connection.
    number
        Change number; 0 reads all.
    until
        Last change number to read (inclusive); None: all there are.
    """
    rows = await conn.fetch(
        """
        select record_id, kind, entry_key, clock, number, fields::text as fields
          from entry
         where number > $1 and ($2::bigint is null or number <= $2)
         order by number
        """,
        number,
        until,
    )
    return [
        Entry(
            r["kind"],
            r["entry_key"],
            r["record_id"],
            r["clock"],
            r["number"],
            msgspec.json.decode(r["fields"]),
        )
        for r in rows
    ]


async def catch_up(conn: Connection, known: Known) -> Known:
    """Add to a vocabulary the entries that came since it was read."""
    return known.plus(await after(conn, known.number))


async def read(conn: Connection, until: int | None = None) -> Known:
    """Read the vocabulary of now, or of after a change number."""
    found = await after(conn, 0, until)
    return Known(Vocabulary.from_entries(())).plus(found)


async def history(conn: Connection, kind: str, key: str) -> Sequence[Entry]:
    """Read all versions of one entry, oldest first."""
    return [one for one in await after(conn, 0) if (one.kind, one.key) == (kind, key)]
