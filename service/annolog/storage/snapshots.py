"""All that now holds, read row by row: what a snapshot is made of.

Every function reads by a cursor of the server, inside of one transaction that sees one
moment (`database.snapshot`); the rows that are held at a time are bounded.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from annolog.domain.history import Standing
from annolog.domain.records import SWEEPING_KINDS
from annolog.domain.snapshots import SnapshotFilter
from annolog.domain.times import Span
from annolog.storage.conditions import fill
from annolog.storage.database import Connection, one_row
from annolog.storage.standings import standing
from annolog.storage.state_lists import StateRow

STATES_AT_ONCE = 500
"""States that are fetched at a time: some 200 kB."""

STATEMENTS_AT_ONCE = 50
"""Statements that are fetched at a time: each may name 10,000 targets."""


class Moment(NamedTuple):
    """What a snapshot is one of.

    Attributes
    ----------
    site_id, incarnation
        Whose log it is.
    number
        The last change.
    taken_at
        When, by the database's clock.
    refreshing
        Whether states are still being worked out after an entry.
    """

    site_id: str
    incarnation: str
    number: int
    taken_at: datetime
    refreshing: bool


class CountedRow(NamedTuple):
    """An annotation and the targets for which it counts.

    Attributes
    ----------
    annotation_id
        The annotation.
    body
        Canonical JSON of its current revision.
    keys
        Keys of the targets, and of those that are the same; empty if it counts for
        none of those asked for.
    """

    annotation_id: UUID
    body: bytes
    keys: list[str]


async def moment(connection: Connection) -> Moment:
    """Read what the transaction sees a moment of."""
    row = await one_row(
        connection,
        """
        select s.site_id, s.incarnation,
               greatest((select max(number) from change), s.first_number - 1, 0)
                   as number,
               now() as taken_at,
               exists (
                 select from entry e left join refresh f on f.number = e.number
                  where e.kind = any($1) and f.done_at is null
               ) as refreshing
          from site s order by s.first_number desc limit 1
        """,
        sorted(SWEEPING_KINDS),
    )
    return Moment(*row)


_PLACE = """
    ($1::text[] is null or {row}.instrument is null or {row}.instrument = any($1))
    and ($2::int is null or {row}.day_obs is null or {row}.day_obs >= $2)
    and ($3::int is null or {row}.day_obs is null or {row}.day_obs <= $3)
"""

# Read once, as a table of few rows is only ever scanned: where scans are switched off,
# PostgreSQL before 18 takes one a row for so dear that no other choice seems to matter.
_STATES = """
with life as materialized (select site_id, first_number from site)
select '{{}}'::text[] as place, r.target_id, t.key, r.kind, r.instrument, r.day_obs,
    r.seq_num, t.exposure_id, t.detector, t.dataset_id,
    array(
        select distinct n.name collate "C"
          from target j join target_name n using (target_id)
         where j.class_id = t.class_id order by 1
    ) as names,
    r.flag, r.decided_by, r.outvoted, r.disputed, r.bots_differ, r.follow_ups, r.tags,
    r.notes, r.empty, r.number, r.basis, coalesce((
        select i.site_id from life i where i.first_number <= r.number
         order by i.first_number desc limit 1
    ), '') as site_id,
    array(
        select j.key from target j
         where t.class_id = t.target_id and j.class_id = t.class_id
           and j.target_id <> t.target_id
         order by j.target_id
    ) as joined
from target_state r join target t on t.target_id = r.target_id
where {place} and {chosen}
order by {order}
"""


async def states(
    connection: Connection, asked: SnapshotFilter
) -> AsyncIterator[tuple[StateRow, list[str]]]:
    """Read the states that hold, or those that changed.

    Parameters
    ----------
    connection
        One in a transaction.
    asked
        Which ones.

    Yields
    ------
    tuple
        The state, and the keys of other targets that are known to be the same.
    """
    # What changed is found by its own index, and is not read along that of all.
    changed = asked.after is not None
    query = fill(
        _STATES,
        place=fill(_PLACE, row="r"),
        chosen="r.number > $4" if changed else "$4::bigint is null and not r.empty",
        order="r.number, r.target_id" if changed else "r.target_id",
    )
    async for row in connection.cursor(query, *_bound(asked), prefetch=STATES_AT_ONCE):
        yield StateRow(*row[:-1]), row[-1]


_STATEMENTS = """
select r.annotation_id, b.body, array(
    select j.key
      from said s join target t on t.target_id = s.target_id
      join target j on j.class_id = t.class_id
     where s.annotation_id = r.annotation_id and s.source_id = r.annotation_id
       and s.to_number is null and {place}
     order by j.target_id
) as keys
from {chosen} r join record b on b.record_id = r.revision_id
where r.current_from is not null and r.current_to is null {counted}
order by r.annotation_id
"""

_STANDINGS = """
select s.source_id, s.annotation_id, s.revision_id, s.author, s.voter, s.rank, s.flag,
       s.vote_id, s.vote_clock, s.contested, s.ordinal, s.tags, r.observed_begin,
       r.observed_end, array(
         select j.key from target j where j.class_id = t.class_id order by j.target_id
       ) as keys
  from target t join said s on s.target_id = t.target_id and s.to_number is null
  join revision r on r.annotation_id = s.annotation_id
   and r.current_from is not null and r.current_to is null
 where t.kind = 'record' and t.key like 'record:detector/%' and {place} {chosen}
 order by s.annotation_id, s.source_id, t.target_id
"""

_SETS = """
select v.subject, v.name, v.version, encode(v.digest, 'hex') as content, v.author,
       v.created_at, r.body, b.body as rows,
       (select case when l.operation = 'release' then l.label end
          from set_release l where l.name = v.name and l.subject = v.subject
         order by l.clock desc, l.record_id desc limit 1) as label
  from set_version v
  join record r on r.record_id = v.record_id
  join record b on b.record_id = v.list_id and b.kind = 'set_rows'
 where ('*' = any($1::text[]) or v.name = any($1))
   and ($2::bigint is null or v.number > $2 or exists (
         select from set_release n
          where n.name = v.name and n.subject = v.subject and n.number > $2)
       or exists (
         select from redaction x join change c on c.record_id = x.record_id
          where x.revision_id in (v.record_id, v.list_id) and c.number > $2))
 order by v.name, v.version, v.record_id
"""

VERSIONS_AT_ONCE = 1
"""Versions of sets that are fetched at a time: each may have very many rows."""


class VersionRow(NamedTuple):
    """A version of a data-ID set.

    Attributes
    ----------
    key, name, version, content, author, created_at
        As in `annolog.domain.snapshots.SetVersion`.
    body, rows
        Canonical JSON of its record, and of the record of its rows.
    label
        Under which it is released; None if it is not.
    """

    key: str
    name: str
    version: int
    content: str
    author: str
    created_at: datetime
    body: bytes
    rows: bytes
    label: str | None


async def set_versions(
    connection: Connection, asked: SnapshotFilter
) -> AsyncIterator[VersionRow]:
    """Read the versions of the data-ID sets that are asked for.

    Parameters
    ----------
    connection
        One in a transaction.
    asked
        Which ones.

    Yields
    ------
    VersionRow
        By name and number. One whose rows have yet to come from its site is left out.
    """
    if not asked.sets:
        return
    async for row in connection.cursor(
        _SETS, list(asked.sets), asked.after, prefetch=VERSIONS_AT_ONCE
    ):
        yield VersionRow(*row)


_TOUCHED_IDS = """(
    select s.annotation_id
      from target_state r join target t on t.class_id = r.target_id
      join said s on s.target_id = t.target_id and s.to_number is null
     where r.number > $4
    union
    select n.annotation_id from revision n where n.number > $4
    union
    select w.annotation_id
      from change c join review w on w.review_id = c.record_id
     where c.number > $4
    union
    select n.annotation_id
      from change c join redaction x on x.record_id = c.record_id
      join revision n on n.revision_id = x.revision_id
     where c.number > $4
)"""

_TOUCHED = f"""(
    select v.annotation_id, v.revision_id, v.current_from, v.current_to
      from revision v where v.annotation_id in {_TOUCHED_IDS}
)"""  # noqa: S608 - put together from constants


async def statements(
    connection: Connection, asked: SnapshotFilter
) -> AsyncIterator[CountedRow]:
    """Read the annotations that count, or those for which that may have changed.

    Parameters
    ----------
    connection
        One in a transaction.
    asked
        Which ones.

    Yields
    ------
    CountedRow
        Without `after` only those that count for something.
    """
    changed = asked.after is not None
    query = fill(
        _STATEMENTS,
        place=fill(_PLACE, row="s"),
        chosen=_TOUCHED if changed else "revision",
        counted="" if changed else "and r.counted and $4::bigint is null",
    )
    async for row in connection.cursor(
        query, *_bound(asked), prefetch=STATEMENTS_AT_ONCE
    ):
        found = CountedRow(*row)
        if found.keys or changed:
            yield found


class StandingRow(NamedTuple):
    """How a statement, or a review that confirms it, stands on a detector.

    Attributes
    ----------
    keys
        Keys of the target, and of those that are the same.
    standing
        How it stands.
    observed
        The time that the statement is about; None: no time given.
    """

    keys: list[str]
    standing: Standing
    observed: Span | None


async def standings(
    connection: Connection, asked: SnapshotFilter
) -> AsyncIterator[StandingRow]:
    """Read what stands on detectors for a time, or all of annotations that changed.

    Parameters
    ----------
    connection
        One in a transaction.
    asked
        Which ones.

    Yields
    ------
    StandingRow
        With `after` those of annotations that `statements` gives.
    """
    changed = asked.after is not None
    query = fill(
        _STANDINGS,
        place=fill(_PLACE, row="s"),
        # As an array, so that these few decide in which order tables are read.
        chosen=f"and s.annotation_id = any(array{_TOUCHED_IDS})"
        if changed
        else "and $4::bigint is null",
    )
    async for row in connection.cursor(query, *_bound(asked), prefetch=STATES_AT_ONCE):
        begin, end = row["observed_begin"], row["observed_end"]
        observed = None if begin is None and end is None else Span(begin, end)
        yield StandingRow(row["keys"], standing(row), observed)


def _bound(asked: SnapshotFilter) -> tuple[object, ...]:
    return (
        list(asked.instrument) or None,
        asked.day_obs_min,
        asked.day_obs_max,
        asked.after,
    )
