"""Data-ID sets: their versions, rows, releases, owners and drifts.

The tables here are views of records: `turn_dataids` makes their rows in the turn that
brings the records; all that is here reads them, with the bodies where more is wanted.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from annolog.storage.database import Connection


class VersionRow(NamedTuple):
    """A version as it is shown.

    Attributes
    ----------
    number
        The change that brought it here.
    body
        Its record.
    label
        Label under which it is released; None if it is not.
    drifts
        Whether it was said last that it drifts; None if it is not released, or if
        nothing of the sort was ever said.
    drift_told_at
        When that was said; None if it never was.
    rows_redacted_by
        The redaction that took words out of its rows; None if none did.
    """

    number: int
    body: bytes
    label: str | None
    drifts: bool | None
    drift_told_at: datetime | None
    rows_redacted_by: UUID | None


_VERSION = """
  select v.number, r.body,
         case when l.operation = 'release' then l.label end as label,
         case when l.operation = 'release' then d.operation = 'drift' end as drifts,
         case when l.operation = 'release' then d.created_at end as drift_told_at,
         (select redacted_by from record where record_id = v.list_id)
           as rows_redacted_by
    from set_version v
    join record r on r.record_id = v.record_id
    left join lateral (
      select label, operation from set_release
       where name = v.name and subject = v.subject
       order by clock desc, record_id desc limit 1) l on true
    left join lateral (
      select operation, created_at from set_drift
       where name = v.name and subject = v.subject
       order by clock desc, record_id desc limit 1) d on true
"""


async def versions(
    conn: Connection, name: str, *, before: int | None = None, limit: int = 1_000
) -> list[VersionRow]:
    """List the versions of a set, the newest first.

    Parameters
    ----------
    conn
        A connection.
    name
        The set.
    before
        Only versions with a lesser number; None: from the newest on.
    limit
        At most so many.
    """
    rows = await conn.fetch(
        _VERSION
        + """
         where v.name = $1 and ($2::integer is null or v.version < $2)
         order by v.version desc, v.clock desc, v.record_id desc
         limit $3
        """,
        name,
        before,
        limit,
    )
    return [VersionRow(*row) for row in rows]


async def numbered(conn: Connection, name: str, version: int) -> list[VersionRow]:
    """Read the versions of a set with one number; two sites may each have made one."""
    rows = await conn.fetch(
        _VERSION
        + """
         where v.name = $1 and v.version = $2
         order by v.subject, v.clock, v.record_id
        """,
        name,
        version,
    )
    return [VersionRow(*row) for row in rows]


async def labelled(conn: Connection, name: str, label: str) -> list[VersionRow]:
    """Read the versions of a set that are released under a label, the newest first."""
    rows = await conn.fetch(
        _VERSION
        + """
         where v.name = $1 and l.operation = 'release' and l.label = $2
         order by v.version desc, v.clock desc, v.record_id desc
        """,
        name,
        label,
    )
    return [VersionRow(*row) for row in rows]


async def released(conn: Connection) -> list[VersionRow]:
    """Read all versions that are released, by name and number."""
    rows = await conn.fetch(
        _VERSION
        + """
         where l.operation = 'release'
         order by v.name, v.version, v.clock, v.record_id
        """
    )
    return [VersionRow(*row) for row in rows]


async def rows(conn: Connection, list_id: UUID) -> bytes | None:
    """Read the record of rows; None where it has yet to come from its site."""
    found: bytes | None = await conn.fetchval(
        "select body from record where record_id = $1 and kind = 'set_rows'", list_id
    )
    return found


class SetRow(NamedTuple):
    """A set in the list of sets.

    Attributes
    ----------
    name
        Its name.
    version, key, row_count
        Its newest version.
    versions
        How many it has.
    labels
        Labels under which versions are released, sorted.
    drifting
        How many released versions drift, as was said last.
    drift_told_at
        When that was last said of any of them; None if it never was.
    """

    name: str
    version: int
    key: str
    row_count: int
    versions: int
    labels: Sequence[str]
    drifting: int
    drift_told_at: datetime | None


async def sets(
    conn: Connection, *, after: str = "", limit: int = 1_000
) -> list[SetRow]:
    """List sets by name.

    Parameters
    ----------
    conn
        A connection.
    after
        Only names that sort after this one.
    limit
        At most so many.
    """
    found = await conn.fetch(
        """
        with named as (
          select name, count(*) as versions from set_version
           where name collate "C" > $1 group by name order by name collate "C" limit $2
        )
        select n.name, v.version, v.subject as key, v.row_count, n.versions,
               coalesce(l.labels, '{}') as labels, d.drifting, d.drift_told_at
          from named n
         cross join lateral (
           select array_agg(distinct s.label order by s.label) as labels,
                  array_agg(s.subject) as subjects
             from (select distinct on (subject) subject, label, operation
                     from set_release where name = n.name
                    order by subject, clock desc, record_id desc) s
            where s.operation = 'release') l
         cross join lateral (
           select count(*) filter (where s.operation = 'drift') as drifting,
                  max(s.created_at) as drift_told_at
             from (select distinct on (subject) operation, created_at from set_drift
                    where name = n.name and subject = any(l.subjects)
                    order by subject, clock desc, record_id desc) s) d
         cross join lateral (
           select version, subject, row_count from set_version where name = n.name
            order by version desc, clock desc, record_id desc limit 1) v
         order by n.name collate "C"
        """,
        after,
        limit,
    )
    return [SetRow(*row) for row in found]


async def containing(
    conn: Connection, keys: Sequence[str], *, limit: int = 1_000
) -> list[tuple[str, VersionRow]]:
    """List the versions in which targets are, the newest change first.

    Parameters
    ----------
    conn
        A connection.
    keys
        Keys of targets that are one; `data_id:...` where a data ID names no target.
    limit
        At most so many.

    Returns
    -------
    list of tuple
        The key that is a member, and the version.
    """
    found = await conn.fetch(
        f"""
        select m.key, w.* from (
          select distinct key, list_id from set_member where key = any($1)) m
         cross join lateral ({_VERSION} where v.list_id = m.list_id) w
         order by w.number desc, m.key
         limit $2
        """,  # noqa: S608 - put together from constants
        list(keys),
        limit,
    )
    return [(key, VersionRow(*row)) for key, *row in found]


async def containing_targets_of(
    conn: Connection, annotation_id: UUID, *, limit: int = 1_000
) -> list[VersionRow] | None:
    """List the versions that may have copied the words of an annotation.

    Parameters
    ----------
    conn
        A connection.
    annotation_id
        The annotation.
    limit
        At most so many.

    Returns
    -------
    list of VersionRow or None
        Versions said after it that have a row of a target for which it ever counted,
        the newest change first. None where there is no such annotation.
    """
    begun: int | None = await conn.fetchval(
        "select min(clock) from revision where annotation_id = $1", annotation_id
    )
    if begun is None:
        return None
    found = await conn.fetch(
        f"""
        with lists as (
          select distinct m.list_id
            from said s join target t on t.target_id = s.target_id
            join target j on j.class_id = t.class_id
            join set_member m on m.key = j.key
             where s.annotation_id = $1)
        select w.* from lists a
         cross join lateral ({_VERSION} where v.list_id = a.list_id and v.clock > $2) w
         order by w.number desc limit $3
        """,  # noqa: S608 - put together from constants
        annotation_id,
        begun,
        limit,
    )
    return [VersionRow(*row) for row in found]


async def by_numbers(
    conn: Connection, places: Iterable[tuple[str, int]]
) -> Mapping[tuple[str, int], list[tuple[str, bytes]]]:
    """Look up versions by name and number.

    Returns
    -------
    Mapping
        For each that is known, key and digest of its versions, by key: two sites may
        each have made one.
    """
    wanted = list(places)
    found: dict[tuple[str, int], list[tuple[str, bytes]]] = {}
    for row in await conn.fetch(
        """
        select distinct v.name, v.version, v.subject, v.digest
          from unnest($1::text[], $2::bigint[]) as u(name, version)
          join set_version v on v.name = u.name and v.version = u.version
         order by v.subject, v.digest
        """,
        [name for name, _ in wanted],
        [version for _, version in wanted],
    ):
        found.setdefault((row["name"], row["version"]), []).append(
            (row["subject"], row["digest"])
        )
    return found


class VersionPlace(NamedTuple):
    """Where the rows of a version are."""

    key: str
    digest: bytes
    list_id: UUID


async def as_of(
    conn: Connection, name: str, version: int | None, number: int
) -> list[VersionPlace]:
    """Find the version of a set that was meant by a name after a change.

    Parameters
    ----------
    conn
        A connection.
    name
        The set.
    version
        Its number: then all that have it, by key; None: the newest of then.
    number
        The change.
    """
    found = await conn.fetch(
        """
        select subject, digest, list_id from set_version
         where name = $1 and number <= $3 and ($2::integer is null or version = $2)
         order by version desc, clock desc, record_id desc
         limit case when $2::integer is null then 1 else 100 end
        """,
        name,
        version,
        number,
    )
    return [VersionPlace(*row) for row in found]


async def numbers_as_of(conn: Connection, name: str, number: int) -> list[int]:
    """List the numbers of the versions that a set had after a change, sorted."""
    rows = await conn.fetch(
        """
        select distinct version from set_version where name = $1 and number <= $2
         order by version
        """,
        name,
        number,
    )
    return [row["version"] for row in rows]


async def exists(conn: Connection, name: str) -> bool:
    """Tell whether a set has any version."""
    return bool(
        await conn.fetchval(
            "select exists (select from set_version where name = $1)", name
        )
    )


async def names(conn: Connection, limit: int = 10_000) -> list[str]:
    """List the names of sets."""
    rows = await conn.fetch(
        """
        with recursive named as (
          (select name from set_version order by name limit 1)
          union all
          select (select v.name from set_version v where v.name > n.name
                   order by v.name limit 1)
            from named n where n.name is not null)
        select name from named where name is not null limit $1
        """,
        limit,
    )
    return [row["name"] for row in rows]


async def tags_said(conn: Connection, words: Iterable[str]) -> set[str]:
    """Tell which of these tags any revision ever had.

    Parameters
    ----------
    conn
        A connection.
    words
        Tags as they are stored; each is looked up in an index.
    """
    rows = await conn.fetch(
        """
        select word from unnest($1::text[]) as asked(word)
         where exists (select from revision where tags && array[word])
        """,
        list(words),
    )
    return {row["word"] for row in rows}


class Since(NamedTuple):
    """A change by which somebody spoke of a target.

    Attributes
    ----------
    number
        The change.
    key
        The target.
    kind, operation
        Of its record.
    author
        Whose words it brought.
    annotation_id
        The annotation.
    """

    number: int
    key: str
    kind: str
    operation: str
    author: str
    annotation_id: UUID


async def spoken_since(
    conn: Connection, keys: Iterable[str], number: int, limit: int
) -> list[Since]:
    """List the changes after a number by which anybody spoke of targets, oldest first.

    Targets that are one with those named count as well.
    """
    found = await conn.fetch(
        """
        with mine as (
          select distinct t.key, s.annotation_id
            from target t join target m on m.class_id = t.class_id
            join said s on s.target_id = m.target_id
           where t.key = any($1)
             and (s.from_number > $2 or s.to_number > $2 or s.to_number is null)
        ), spoken as (
          select v.number, m.key, 'revision' as kind, v.operation, v.author,
                 v.annotation_id
            from mine m join revision v on v.annotation_id = m.annotation_id
           where v.number > $2
          union all
          select v.number, m.key, 'review', v.verdict, v.reviewer, v.annotation_id
            from mine m join review v on v.annotation_id = m.annotation_id
           where v.number > $2
        )
        select number, key, kind, operation, author, annotation_id from spoken
         order by number, key limit $3
        """,
        list(keys),
        number,
        limit,
    )
    return [Since(*row) for row in found]
