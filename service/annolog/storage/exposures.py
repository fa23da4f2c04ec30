"""Exposures of nights: what is known of them, what holds for them, who looked.

One statement makes the rows of a night, for its list and for its counts alike, so
they agree. Targets that were joined are one row: the least key of those that have
facts stands for them; what all of them say is merged when read, as it is rare.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import msgspec

from annolog.domain import times
from annolog.domain.exposures import (
    ExposureFact,
    ExposureState,
    ExposureView,
    fact_from_record,
    merge,
)
from annolog.domain.instruments import Instruments
from annolog.domain.nightviews import ExposureFilter, Listed
from annolog.domain.orders import Key
from annolog.storage.database import Connection

# Joined targets: one with facts stands for all, if possible one that knows its night,
# of several the least key.
_WITH_FACTS = """
select e.target_id, t.class_id, c.key, e.instrument, e.day_obs, e.seq_num,
       e.exposure_id, e.obs_id, e.state, e.begin_at, e.end_at, e.exposure_time,
       e.observation_type, e.fields, e.contradictions, e.number,
       exists (select from target o join exposure x on x.target_id = o.target_id
                where o.class_id = t.class_id and o.target_id <> t.target_id) as joined
  from exposure e
  join target t on t.target_id = e.target_id
  join target c on c.target_id = t.class_id
 where {where}
   and not exists (select from target o join exposure x on x.target_id = o.target_id
                    where o.class_id = t.class_id
                      and (x.day_obs is null, x.seq_num is null, o.key)
                        < (e.day_obs is null, e.seq_num is null, t.key))
"""

# Nobody announced these: a statement named them.
_NAMED = """
select t.target_id, t.class_id, t.key, t.instrument, t.day_obs, t.seq_num,
       t.exposure_id,
       (select min(n.name) from target o join target_name n on n.target_id = o.target_id
         where o.class_id = t.class_id) as obs_id,
       'named' as state, null::timestamptz as begin_at, null::timestamptz as end_at,
       null::integer as exposure_time, null::text as observation_type,
       '{{}}'::jsonb as fields, '{{}}'::jsonb as contradictions, null::bigint as number,
       false as joined
  from target_state e
  join target t on t.target_id = e.target_id
 where e.kind = 'exposure' and t.class_id = t.target_id and {where}
   and not exists (select from target o join exposure x on x.target_id = o.target_id
                    where o.class_id = t.class_id)
"""

_SHOWN = """
select x.*, s.flag, coalesce(s.disputed, false) as disputed,
       coalesce(s.bots_differ, false) as bots_differ,
       coalesce(s.tags, '{{}}') as tags, coalesce(s.notes, 0) as notes,
       coalesce(s.follow_ups, '{{}}') as follow_ups,
       exists (select from target o
                 join said v on v.target_id = o.target_id and v.to_number is null
                where o.class_id = x.class_id and v.flag is not null
                  and v.flag <> all($1)) as voted,
       exists (select from checked k
                where k.instrument = x.instrument and k.day_obs = x.day_obs
                  and k.revokes is null
                  and (k.seq_first is null or x.seq_num >= k.seq_first)
                  and (k.seq_last is null or x.seq_num <= k.seq_last)
                  and not exists (select from checked r
                                   where r.revokes = k.record_id)) as checked,
       (select min(f.clock) from exposure_fact f
         where f.target_id = x.target_id) as first_clock,
       case when x.begin_at is null then
         (select max(f.clock) from exposure_fact f
           where f.target_id = x.target_id and f.event = 'start') end as started
  from ({rows}) x left join target_state s on s.target_id = x.class_id
"""

_FILTERED = """
select * from ({shown}) y
 where (cardinality($2::text[]) = 0 or y.joined or y.state = any($2))
   and (cardinality($3::text[]) = 0 or y.joined or y.observation_type = any($3))
   and ($4::boolean is null or y.joined or $4 = (y.contradictions <> '{{}}'::jsonb))
   and ($5::boolean is null or $5 = (y.notes > 0))
   and ($6::boolean is null or y.joined or $6 = (
         not (y.voted or y.checked) and y.state not in ('cancelled', 'removed')))
 order by day_obs, seq_num, target_id
"""

NO_VOTE = ("withdraw",)
"""What stands in the place of a flag and is no vote, beside the flags that ask."""


async def of_night(
    conn: Connection,
    wanted: ExposureFilter,
    instruments: Instruments,
    asking: Iterable[str],
    *,
    after: Key | None = None,
    limit: int | None = None,
) -> tuple[list[Listed], Key | None]:
    """List exposures in the night's order.

    Parameters
    ----------
    conn
        A connection.
    wanted
        Which ones.
    instruments
        The known instruments, for what their rules derive.
    asking
        Flags that ask, and so are no votes.
    after
        Place of the last row seen; None for the beginning.
    limit
        At most so many; None for all.

    Returns
    -------
    tuple of list and place
        The rows, and where to go on; None at the end. Where joined targets turn out
        not to fit there are fewer rows than the limit, though the list goes on.
    """
    bound: list[Any] = [
        sorted({*asking, *NO_VOTE}),
        list(wanted.state),
        list(wanted.observation_type),
        wanted.contradicted,
        wanted.annotated,
        wanted.unlooked,
    ]
    where = _where(wanted, after, bound)
    facts = where
    if wanted.contradicted and None in wanted.nights:
        facts += " and e.contradictions <> '{}'::jsonb"
    parts = [_WITH_FACTS.format(where=facts)]
    if not wanted.observation_type and wanted.contradicted is not True:
        parts.append(_NAMED.format(where=where))
    shown = _SHOWN.format(rows=" union all ".join(parts))
    sql = _FILTERED.format(shown=shown)
    if limit is not None:
        bound.append(limit + 1)
        sql += f" limit ${len(bound)}"
    found = await conn.fetch(sql, *bound)
    more = limit is not None and len(found) > limit
    rows = await _read(conn, found[:limit], instruments)
    place = _place(found[limit - 1]) if more and limit is not None else None
    return [row for row in rows if _fits(row, wanted)], place


async def of_keys(
    conn: Connection,
    keys: Iterable[str],
    instruments: Instruments,
    asking: Iterable[str],
) -> Mapping[str, Listed]:
    """Read exposures that have facts, by the keys of any targets joined with them.

    Returns
    -------
    mapping
        By the keys asked for.
    """
    wanted = list(keys)
    classes = {
        row["key"]: row["class_id"]
        for row in await conn.fetch(
            "select key, class_id from target where key = any($1)", wanted
        )
    }
    known = _WITH_FACTS.format(where="t.class_id = any($2::bigint[])")
    found = await conn.fetch(
        _SHOWN.format(rows=known),
        sorted({*asking, *NO_VOTE}),
        sorted(set(classes.values())),
    )
    rows = await _read(conn, found, instruments)
    by_class = {
        record["class_id"]: row for record, row in zip(found, rows, strict=True)
    }
    return {
        key: by_class[classes[key]]
        for key in wanted
        if key in classes and classes[key] in by_class
    }


async def by_numbers(
    conn: Connection, wanted: Iterable[tuple[str, int, int]]
) -> Mapping[tuple[str, int, int], list[str]]:
    """Find known exposures by (instrument, day_obs, seq_num).

    Returns
    -------
    mapping
        Keys, sorted, of those that facts or statements placed there; also where no
        rule of the instrument says so.
    """
    rows = list(set(wanted))
    found: dict[tuple[str, int, int], list[str]] = {}
    for row in await conn.fetch(
        """
        with asked as (
          select * from unnest($1::text[], $2::integer[], $3::integer[])
            as u(instrument, day_obs, seq_num)
        ), hit as (
          select u.*, e.target_id from asked u
            join exposure e on e.instrument = u.instrument
             and e.day_obs = u.day_obs and e.seq_num = u.seq_num
          union
          select u.*, s.target_id from asked u
            join target_state s on s.instrument = u.instrument
             and s.day_obs = u.day_obs and s.seq_num = u.seq_num
             and s.kind = 'exposure'
        )
        select distinct h.instrument, h.day_obs, h.seq_num, c.key
          from hit h join target t on t.target_id = h.target_id
          join target c on c.target_id = t.class_id
         order by c.key
        """,
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
    ):
        at = (row["instrument"], row["day_obs"], row["seq_num"])
        found.setdefault(at, []).append(row["key"])
    return found


# ---------------------------------------------------------------- visits


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of a visit that holds now."""

    clock: int
    exposures: tuple[str, ...]


async def definitions(
    conn: Connection, visits: Iterable[str]
) -> Mapping[str, Definition]:
    """Give the definitions that hold of visits, by their keys."""
    rows = await conn.fetch(
        """
        select visit_key, max(clock) as clock, array_agg(exposure_key) as exposures
          from visit_exposure
         where visit_key = any($1) and to_number is null group by visit_key
        """,
        list(visits),
    )
    return {
        row["visit_key"]: Definition(row["clock"], tuple(sorted(row["exposures"])))
        for row in rows
    }


# ---------------------------------------------------------------- inner works


def _where(wanted: ExposureFilter, after: Key | None, bound: list[Any]) -> str:
    """Write the conditions that an index serves; `e` is the table of the night."""

    def bind(value: object, cast: str) -> str:
        bound.append(value)
        return f"${len(bound)}::{cast}"

    parts = [f"e.instrument = {bind(wanted.instrument, 'text')}"]
    first, last_day = wanted.nights
    if first is not None and last_day is not None:
        if after is not None and isinstance(after[0], int):
            first = max(first, after[0])
        parts.append(
            f"e.day_obs between {bind(first, 'integer')} "
            f"and {bind(last_day, 'integer')}"
        )
    if wanted.ranges:
        firsts = bind([first for first, _ in wanted.ranges], "integer[]")
        lasts = bind([last for _, last in wanted.ranges], "integer[]")
        parts.append(
            f"exists (select from unnest({firsts}, {lasts}) as u(first, last)"
            " where e.seq_num between u.first and u.last)"
        )
    if after is not None:
        day, seq, last = after
        a, b, c = bind(day, "integer"), bind(seq, "integer"), bind(last, "bigint")
        # Nulls come last, in both columns.
        parts.append(
            f"((e.day_obs is null and {a} is not null) or e.day_obs > {a}"
            f" or (e.day_obs is not distinct from {a}"
            f" and ((e.seq_num is null and {b} is not null) or e.seq_num > {b}"
            f" or (e.seq_num is not distinct from {b} and e.target_id > {c}))))"
        )
    return " and ".join(parts)


def _place(record: asyncpg.Record) -> Key:
    return record["day_obs"], record["seq_num"], record["target_id"]


async def _read(
    conn: Connection, found: Sequence[asyncpg.Record], instruments: Instruments
) -> list[Listed]:
    joined = [record["class_id"] for record in found if record["joined"]]
    merged = await _merged(conn, joined, instruments) if joined else {}
    return [_row(record, merged) for record in found]


def _row(
    record: asyncpg.Record, merged: Mapping[int, tuple[ExposureView, int, int]]
) -> Listed:
    if record["joined"]:
        view, number, first = merged[record["class_id"]]
    else:
        view, number, first = _view(record), record["number"], record["first_clock"]
    return Listed(
        place=_place(record),
        view=view,
        number=number,
        flag=record["flag"],
        disputed=record["disputed"],
        bots_differ=record["bots_differ"],
        tags=tuple(record["tags"]),
        notes=record["notes"],
        follow_ups=tuple(record["follow_ups"]),
        voted=record["voted"],
        checked=record["checked"],
        first_clock=first,
    )


def _view(record: asyncpg.Record) -> ExposureView:
    milliseconds, started = record["exposure_time"], record["started"]
    return ExposureView(
        key=record["key"],
        instrument=record["instrument"],
        state=ExposureState(record["state"]),
        exposure_id=record["exposure_id"],
        obs_id=record["obs_id"],
        day_obs=record["day_obs"],
        seq_num=record["seq_num"],
        begin=record["begin_at"],
        end=record["end_at"],
        exposure_time=None if milliseconds is None else milliseconds / 1000,
        observation_type=record["observation_type"],
        fields=msgspec.json.decode(record["fields"]),
        sources={},
        contradictions=msgspec.json.decode(record["contradictions"]),
        started=None if started is None else times.from_clock(started),
    )


async def _merged(
    conn: Connection, class_ids: Sequence[int], instruments: Instruments
) -> Mapping[int, tuple[ExposureView, int, int]]:
    """Merge the facts of targets that were joined: by class, with number and clock."""
    facts: dict[int, list[ExposureFact]] = {}
    keys: dict[int, str] = {}
    numbers: dict[int, int] = {}
    for row in await conn.fetch(
        """
        select t.class_id, c.key, f.number, r.body
          from target t
          join target c on c.target_id = t.class_id
          join exposure_fact f on f.target_id = t.target_id
          join record r on r.record_id = f.record_id
         where t.class_id = any($1)
        """,
        class_ids,
    ):
        class_id = row["class_id"]
        fact = fact_from_record(msgspec.json.decode(row["body"]))
        keys[class_id] = row["key"]
        numbers[class_id] = max(numbers.get(class_id, 0), row["number"])
        facts.setdefault(class_id, []).append(replace(fact, key=row["key"]))
    found = {}
    for class_id, known in facts.items():
        view = merge(known, instruments)
        shown = replace(view, contradictions=_as_read(view))
        clock = min(fact.clock for fact in known)
        found[class_id] = (shown, numbers[class_id], clock)
    return found


def _as_read(view: ExposureView) -> Mapping[str, Any]:
    return view.contradictions_as_dict()


def _fits(row: Listed, wanted: ExposureFilter) -> bool:
    """Tell whether a row fits whose facts had to be merged first."""
    view = row.view
    return (
        (not wanted.state or view.state.value in wanted.state)
        and (
            not wanted.observation_type
            or view.observation_type in wanted.observation_type
        )
        and (
            wanted.contradicted is None
            or wanted.contradicted == bool(view.contradictions)
        )
        and (wanted.unlooked is None or wanted.unlooked == row.unlooked)
    )
