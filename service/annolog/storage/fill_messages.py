"""Messages for a log that is older than the table that holds them."""

from uuid import UUID

import msgspec

from annolog.domain.holdings import Holdings
from annolog.domain.ledger import Known
from annolog.domain.messages import messages, row_of, told_by
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import turn_load, turn_messages
from annolog.storage.database import LANE_LOCK, Connection

PIECE = 200
"""Annotations that are read at once."""


async def fill(conn: Connection) -> int:
    """Work out all messages, if there are none yet though exposures were spoken of.

    Parameters
    ----------
    conn
        A connection without a limit of time; nobody writes meanwhile.

    Returns
    -------
    int
        How many were written.
    """
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock($1)", LANE_LOCK)
        lacking: bool = await conn.fetchval(
            """
            select not exists (select from message)
               and exists (select from said s join target t on t.target_id = s.target_id
                            where t.kind = 'exposure')
            """
        )
        if not lacking:
            return 0
        written, after = 0, UUID(int=0)
        while True:
            ids = [
                row["annotation_id"]
                for row in await conn.fetch(
                    """
                    select distinct annotation_id from revision
                     where annotation_id > $1 order by annotation_id limit $2
                    """,
                    after,
                    PIECE,
                )
            ]
            if not ids:
                return written
            written += await _fill(conn, ids)
            after = ids[-1]


async def _fill(conn: Connection, ids: list[UUID]) -> int:
    held = Holdings(Known(Vocabulary.from_entries(())))
    await turn_load.load_annotations(conn, held, ids)
    told = {
        one: told_by(msgspec.json.decode(body)) for one, body in held.bodies.items()
    }
    rows = [
        row_of(
            message,
            told[message.revision_id],
            None if message.ended_by is None else told[message.ended_by],
        )
        for versions in held.versions.values()
        for message in messages(versions).values()
    ]
    if rows:
        await turn_messages.insert(conn, rows)
    return len(rows)
