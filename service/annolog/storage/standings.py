"""What stands and what stood on targets: reads of `said` and of what goes with it.

Everything here can be asked as of a change number of this site; `LATEST` asks for
now. Targets that are one (`class_id`) are read together.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain import exposures
from annolog.domain.chronicle import Interval, Twin
from annolog.domain.exposures import ExposureFact
from annolog.domain.flags import Rank, Said
from annolog.domain.history import Standing
from annolog.domain.ledger import State
from annolog.storage.database import Connection
from annolog.storage.lists import AnnotationRow

LATEST = 2**63 - 1
"""Asks for what stands now, as `number` of any function here."""


class Member(NamedTuple):
    """A target's row; None where it has no such thing."""

    target_id: int
    class_id: int
    key: str
    kind: str
    instrument: str | None
    day_obs: int | None
    seq_num: int | None
    exposure_id: int | None
    detector: int | None
    dataset_id: UUID | None


class StoredState(NamedTuple):
    """A state as the view table has it, with the changes it goes back to."""

    state: State
    number: int
    basis: int


_MEMBER = """m.target_id, m.class_id, m.key, m.kind, m.instrument, m.day_obs, m.seq_num,
       m.exposure_id, m.detector, m.dataset_id"""

_STANDING = """s.source_id, s.annotation_id, s.revision_id, s.author, s.voter, s.rank,
       s.flag, s.vote_id, s.vote_clock, s.contested, s.ordinal, s.tags"""


async def members(conn: Connection, keys: Iterable[str]) -> list[Member]:
    """Read the rows of targets and of all that are one with them now.

    Returns
    -------
    list of Member
        By key; empty where no target has a row.
    """
    rows = await conn.fetch(
        f"""
        select {_MEMBER} from target m
         where m.class_id = any(array(select class_id from target where key = any($1)))
         order by m.key collate "C"
        """,  # noqa: S608 - the columns are a constant
        list(keys),
    )
    return [Member(*row) for row in rows]


async def intervals(
    conn: Connection, target_ids: Iterable[int], number: int | None = None
) -> list[Interval]:
    """Read what stood on targets.

    Parameters
    ----------
    conn
        A connection.
    target_ids
        The targets; name all members of a class.
    number
        Only what stood after this change; None: all that ever stood.

    Returns
    -------
    list of Interval
        By the change that brought it.
    """
    when = ""
    if number == LATEST:
        when = "and s.to_number is null"
    elif number is not None:
        when = "and s.from_number <= $2 and (s.to_number is null or s.to_number > $2)"
    given = () if number is None or number == LATEST else (number,)
    rows = await conn.fetch(
        f"""
        select t.key, s.from_number, s.to_number, {_STANDING}
          from said s join target t on t.target_id = s.target_id
         where s.target_id = any($1) {when}
         order by s.from_number
        """,  # noqa: S608 - put together from constants
        list(target_ids),
        *given,
    )
    return [_interval(row) for row in rows]


def _interval(row: asyncpg.Record) -> Interval:
    return Interval(row["key"], standing(row), row["from_number"], row["to_number"])


def standing(row: asyncpg.Record) -> Standing:
    """Make a standing of a row with the columns of `said`."""
    contested = row["contested"]
    said = Said(
        row["source_id"],
        row["annotation_id"],
        row["revision_id"],
        row["author"],
        row["voter"],
        Rank(row["rank"]),
        row["flag"],
        row["vote_id"],
        row["vote_clock"],
        None if contested is None else Rank(contested),
    )
    return Standing(said, row["ordinal"], tuple(row["tags"]))


async def stored_states(
    conn: Connection, class_ids: Iterable[int]
) -> Mapping[int, StoredState]:
    """Read the states of classes; one of which nothing was ever said is absent."""
    rows = await conn.fetch(
        """
        select target_id, flag, decided_by, outvoted, disputed, bots_differ, follow_ups,
               tags, notes, empty, number, basis
          from target_state where target_id = any($1)
        """,
        list(class_ids),
    )
    return {
        r["target_id"]: StoredState(
            State(
                r["flag"],
                tuple(r["decided_by"]),
                tuple(r["outvoted"]),
                r["disputed"],
                r["bots_differ"],
                tuple(r["follow_ups"]),
                tuple(r["tags"]),
                r["notes"],
                r["empty"],
            ),
            r["number"],
            r["basis"],
        )
        for r in rows
    }


class Overview(NamedTuple):
    """A target in a list of many.

    Attributes
    ----------
    member
        The row that stands for it and all that are one with it.
    names
        Their obs_ids, sorted.
    known
        Whether any of them was announced or spoken of.
    stored
        Its state as the view table has it; None where nothing was ever said.
    """

    member: Member
    names: list[str]
    known: bool
    stored: StoredState | None


async def overviews(conn: Connection, keys: Sequence[str]) -> Mapping[str, Overview]:
    """Look many targets up at once.

    Returns
    -------
    mapping
        By key; absent where a target has no row.
    """
    rows = await conn.fetch(
        f"""
        select t.key as asked, {_MEMBER},
               array(select distinct n.name from target o
                       join target_name n on n.target_id = o.target_id
                      where o.class_id = t.class_id order by n.name) as names,
               exists (select from target o
                        where o.class_id = t.class_id
                          and (exists (select from exposure e
                                        where e.target_id = o.target_id)
                               or exists (select from said s
                                           where s.target_id = o.target_id))) as known
          from target t join target m on m.target_id = t.class_id
         where t.key = any($1)
        """,  # noqa: S608 - the columns are a constant
        list(keys),
    )
    states = await stored_states(conn, {row["class_id"] for row in rows})
    return {
        row["asked"]: Overview(
            Member(*row[1:11]),
            row["names"],
            row["known"],
            states.get(row["class_id"]),
        )
        for row in rows
    }


async def standing_now(
    conn: Connection, class_ids: Iterable[int]
) -> Mapping[int, list[Standing]]:
    """Read what stands now on many classes, by class."""
    rows = await conn.fetch(
        f"""
        select t.class_id, {_STANDING}
          from target t join said s on s.target_id = t.target_id
                                   and s.to_number is null
         where t.class_id = any($1)
        """,  # noqa: S608 - the columns are a constant
        list(class_ids),
    )
    found: dict[int, list[Standing]] = {}
    for row in rows:
        found.setdefault(row["class_id"], []).append(standing(row))
    return found


async def number_at(conn: Connection, moment: datetime) -> int:
    """Give the last change that this site had at a moment; 0 if it had none."""
    found: int | None = await conn.fetchval(
        """
        select max(number) from change
         where committed_at = (select max(committed_at) from change
                                where committed_at <= $1)
        """,
        moment,
    )
    return found or 0


async def names(conn: Connection, target_ids: Iterable[int]) -> list[str]:
    """List the obs_ids by which targets were named, sorted."""
    rows = await conn.fetch(
        "select distinct name from target_name where target_id = any($1)",
        list(target_ids),
    )
    return sorted(row["name"] for row in rows)


class NumberedFact(NamedTuple):
    """A fact, the change that brought it, and the target that it joined."""

    fact: ExposureFact
    number: int
    twin: str | None


async def facts(
    conn: Connection, target_ids: Iterable[int], number: int = LATEST
) -> list[NumberedFact]:
    """Read what sources had said of exposures after a change, oldest first."""
    rows = await conn.fetch(
        """
        select f.number, r.body from exposure_fact f
          join record r on r.record_id = f.record_id
         where f.target_id = any($1) and f.number <= $2
         order by f.number
        """,
        list(target_ids),
        number,
    )
    found = []
    for row in rows:
        fields = msgspec.json.decode(row["body"])
        fact = exposures.fact_from_record(fields)
        found.append(NumberedFact(fact, row["number"], fields.get("twin")))
    return found


def twins_among(found: Iterable[NumberedFact]) -> list[Twin]:
    """Pick the facts that joined two targets."""
    return [Twin(one.number, one.fact.key, one.twin) for one in found if one.twin]


class ShownAnnotation(NamedTuple):
    """An annotation as it was after a change, and whether it counted on a target."""

    counted_here: bool
    row: AnnotationRow


async def annotations(
    conn: Connection, target_ids: Sequence[int], number: int, limit: int
) -> list[ShownAnnotation]:
    """Read the annotations that counted on targets after a change, or had before.

    Parameters
    ----------
    conn
        A connection.
    target_ids
        Targets that are one.
    number
        The change; `LATEST` for now.
    limit
        At most so many.

    Returns
    -------
    list of ShownAnnotation
        Counted ones first, then the latest created first.
    """
    rows = await conn.fetch(
        """
        with named as (
          select s.annotation_id,
                 bool_or(s.source_id = s.annotation_id and s.from_number <= $2
                   and (s.to_number is null or s.to_number > $2)) as here
            from said s
           where s.target_id = any($1) and s.from_number <= $2
           group by s.annotation_id
        )
        select n.here, r.number, r.annotation_id, r.revision_id,
               r.annotation_created_at,
               exists (select from said s
                        where s.source_id = r.annotation_id and s.from_number <= $2
                          and (s.to_number is null or s.to_number > $2)) as counted,
               b.body
          from named n
          cross join lateral (
            select * from revision r
             where r.annotation_id = n.annotation_id and r.current_from <= $2
               and (r.current_to is null or r.current_to > $2)
             limit 1) r
          join record b on b.record_id = r.revision_id
         order by n.here desc, r.annotation_created_at desc, r.annotation_id desc
         limit $3
        """,
        list(target_ids),
        number,
        limit,
    )
    return [
        ShownAnnotation(
            r["here"],
            AnnotationRow(
                (),
                r["number"],
                r["annotation_id"],
                r["revision_id"],
                r["annotation_created_at"],
                current=True,
                counted=r["counted"],
                body=r["body"],
                keys=None,
            ),
        )
        for r in rows
    ]


async def is_known(conn: Connection, keys: Iterable[str]) -> set[str]:
    """Tell which targets were announced or spoken of, themselves or as another's name.

    Parameters
    ----------
    conn
        A connection.
    keys
        Any number of keys; bounded by what the caller takes.
    """
    rows = await conn.fetch(
        """
        select t.key from target t
         where t.key = any($1) and exists (
           select from target m
            where m.class_id = t.class_id
              and (exists (select from exposure e where e.target_id = m.target_id)
                   or exists (select from said s where s.target_id = m.target_id)))
        """,
        list(keys),
    )
    return {row["key"] for row in rows}


async def is_visit(conn: Connection, key: str) -> bool:
    """Tell whether a visit was ever defined."""
    found: bool = await conn.fetchval(
        "select exists (select from visit_exposure where visit_key = $1)", key
    )
    return found


async def known_near(
    conn: Connection,
    instruments: Sequence[str],
    day_obs: int,
    seq_num: int | None,
    limit: int = 5,
) -> list[str]:
    """List the known exposures of a night that are nearest to a sequence number."""
    rows = await conn.fetch(
        """
        select t.key from target t
         where t.instrument = any($1) and t.day_obs = $2 and t.kind = 'exposure'
           and t.class_id = t.target_id
           and (exists (select from exposure e where e.target_id = t.target_id)
                or exists (select from said s where s.target_id = t.target_id))
         order by abs(t.seq_num - coalesce($3, 0)), t.key
         limit $4
        """,
        list(instruments),
        day_obs,
        seq_num,
        limit,
    )
    return [row["key"] for row in rows]


class LoggedStep(NamedTuple):
    """A change with its record's body, as histories show it."""

    number: int
    kind: str
    operation: str
    record_id: UUID
    body: bytes
    keys: bytes | None
    committed_at: datetime


async def logged(conn: Connection, numbers: Iterable[int]) -> Mapping[int, LoggedStep]:
    """Read changes with the bodies of their records."""
    rows = await conn.fetch(
        """
        select c.number, c.kind, c.operation, c.record_id, r.body, l.keys,
               c.committed_at
          from change c
          join record r on r.record_id = c.record_id
          left join review v on v.review_id = c.record_id
          left join target_list l on l.list_id = v.list_id
         where c.number = any($1)
        """,
        list(numbers),
    )
    return {row["number"]: LoggedStep(*row) for row in rows}


async def about(conn: Connection, target_ids: Iterable[int]) -> list[int]:
    """List the changes by which anybody spoke of what stood on targets.

    Returns
    -------
    list of int
        Revisions and reviews of the annotations that ever counted there, made while
        they did (the ones that began or ended it included); ascending.
    """
    rows = await conn.fetch(
        """
        with stood as (
          select annotation_id, min(from_number) as first,
                 case when bool_or(to_number is null) then null
                      else max(to_number) end as last
            from said where target_id = any($1) group by annotation_id
        )
        select v.number from stood s join revision v
          on v.annotation_id = s.annotation_id and v.number >= s.first
         and (s.last is null or v.number <= s.last)
        union
        select v.number from stood s join review v
          on v.annotation_id = s.annotation_id and v.number >= s.first
         and (s.last is null or v.number <= s.last)
        order by 1
        """,
        list(target_ids),
    )
    return [row["number"] for row in rows]
