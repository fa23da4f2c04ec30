"""How far states were worked out anew after an entry that changes many of them."""

from collections.abc import Collection
from dataclasses import dataclass

from annolog.domain.records import SWEEPING_KINDS, Record
from annolog.storage.database import Connection

LOCK = 0x616E_6E6F_0004
"""Advisory lock of the process that refreshes: one at a time is enough."""


@dataclass(frozen=True, slots=True)
class Due:
    """An entry whose targets have yet to be worked out anew.

    Attributes
    ----------
    number
        Its change number.
    kind, key
        What it is about.
    record
        The record itself.
    after_id
        Targets up to this id are done.
    """

    number: int
    kind: str
    key: str
    record: Record
    after_id: int


async def take_lock(conn: Connection) -> bool:
    """Become the one process that refreshes; False if another one is."""
    taken: bool = await conn.fetchval("select pg_try_advisory_lock($1)", LOCK)
    return taken


async def release_lock(conn: Connection) -> None:
    """Let another process refresh."""
    await conn.execute("select pg_advisory_unlock($1)", LOCK)


async def pending(conn: Connection) -> bool:
    """Tell whether an entry's targets have yet to be worked out anew."""
    found: bool = await conn.fetchval(
        """
        select exists (select from entry e where e.kind = any($1) and not exists (
                         select from refresh f
                          where f.number = e.number and f.done_at is not null))
        """,
        sorted(SWEEPING_KINDS),
    )
    return found


async def due(conn: Connection) -> list[Due]:
    """List the entries whose targets have yet to be worked out anew, oldest first."""
    rows = await conn.fetch(
        """
        select e.number, e.kind as entry_kind, e.entry_key,
               coalesce(f.after_id, 0) as after_id,
               r.record_id, r.kind, r.clock, r.site_id, r.incarnation, r.origin_number,
               r.body, r.hash
          from entry e join record r on r.record_id = e.record_id
          left join refresh f on f.number = e.number
         where e.kind = any($1) and f.done_at is null
         order by e.number
        """,
        sorted(SWEEPING_KINDS),
    )
    return [
        Due(
            r["number"],
            r["entry_kind"],
            r["entry_key"],
            Record(
                r["record_id"],
                r["kind"],
                r["clock"],
                r["site_id"],
                r["incarnation"],
                r["origin_number"],
                r["body"],
                r["hash"],
            ),
            r["after_id"],
        )
        for r in rows
    ]


async def affected(
    conn: Connection,
    after_id: int,
    limit: int,
    *,
    instrument: str | None = None,
    flag: str | None = None,
    authors: Collection[str] | None = None,
) -> list[tuple[int, str]]:
    """List targets whose state an entry may change, in the order of their ids.

    Parameters
    ----------
    conn
        A connection.
    after_id
        Only targets with greater ids.
    limit
        At most so many.
    instrument
        Only targets of this instrument; None for all.
    flag
        Only targets with a vote for this flag; None for all.
    authors
        Only targets with a vote of one of these authors or voters; None for all.

    Returns
    -------
    list of tuple of int and str
        Ids and keys of the targets that stand for those joined with them.
    """
    rows = await conn.fetch(
        """
        select c.target_id, c.key
          from target c
         where c.target_id > $1 and c.class_id = c.target_id
           and ($3::text is null or c.instrument = $3)
           and exists (
             select from target m join said s on s.target_id = m.target_id
              where m.class_id = c.target_id and s.to_number is null
                and ($4::text is null or s.flag = $4)
                and ($5::text[] is null or s.author = any($5)
                     or s.voter = any($5)))
         order by c.target_id
         limit $2
        """,
        after_id,
        limit,
        instrument,
        flag,
        None if authors is None else list(authors),
    )
    return [(row["target_id"], row["key"]) for row in rows]


async def remember(conn: Connection, one: Due, after_id: int, *, done: bool) -> None:
    """Keep how far an entry's targets are done."""
    await conn.execute(
        """
        insert into refresh (number, record_id, after_id, done_at)
        values ($1, $2, $3, case when $4 then now() end)
        on conflict (number) do update set
            after_id = excluded.after_id, done_at = excluded.done_at
        """,
        one.number,
        one.record.record_id,
        after_id,
        done,
    )
