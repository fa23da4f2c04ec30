"""What an import asks annolog's own database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from annolog.exposurelog.rows import ORIGIN, Line
from annolog.storage.database import Connection

_LOADED = ("record", "change", "revision", "target", "said", "target_state", "message")


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that is here already.

    Attributes
    ----------
    line
        Where its revision stands.
    date_invalidated
        Since when it is not valid here (naive TAI); None while it is.
    alone
        Whether its annotation was never about several exposures at once. One that was
        is from here, and has come back by way of an export: what ended or continued
        the message within it would take the other exposures along.
    """

    line: Line
    date_invalidated: datetime | None
    alone: bool


async def stored(conn: Connection, ids: Sequence[UUID]) -> Mapping[UUID, Stored]:
    """Find the messages that are here already.

    Parameters
    ----------
    conn
        A connection to annolog's database.
    ids
        Ids of messages.

    Returns
    -------
    mapping
        Only those that are here.
    """
    rows = await conn.fetch(
        """
        with here as materialized (
          select u.id, v.annotation_id, v.clock, m.date_invalidated,
                 v.revision_id = u.id as own
            from unnest($1::uuid[]) as u(id)
           cross join lateral (
             select revision_id, date_invalidated from message
              where message_id = u.id offset 0) m
           cross join lateral (
             select annotation_id, clock, revision_id from revision
              where revision_id = m.revision_id offset 0) v
        ), several as materialized (
          select annotation_id from (select distinct annotation_id from here) a
           cross join lateral (
             select from revision
              where annotation_id = a.annotation_id and target_count > 1 limit 1) v
        )
        select id, annotation_id, clock, date_invalidated,
               own and annotation_id not in (select annotation_id from several)
                 as alone
          from here
        """,
        ids,
    )
    return {
        row["id"]: Stored(
            Line(row["annotation_id"], row["clock"]),
            row["date_invalidated"],
            row["alone"],
        )
        for row in rows
    }


async def continued(conn: Connection, lines: Iterable[UUID]) -> Mapping[UUID, UUID]:
    """Find which imported messages are continued within their annotation.

    Parameters
    ----------
    conn
        A connection to annolog's database.
    lines
        The annotations to look at.

    Returns
    -------
    mapping
        Parent -> the child that continues it.
    """
    rows = await conn.fetch(
        """
        select v.parent_id, v.revision_id from revision v
         cross join lateral (
           select site_id from record where record_id = v.revision_id offset 0) r
         where v.annotation_id = any($1) and v.operation = 'edit' and r.site_id = $2
        """,
        list(lines),
        ORIGIN.site_id,
    )
    return {row["parent_id"]: row["revision_id"] for row in rows}


async def analyze(conn: Connection) -> None:
    """Let the planner see what a bulk load brought."""
    for table in _LOADED:
        await conn.execute(f"analyze {table}")
