"""Targets: rows for keys, and the look-ups that names need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annolog.domain.targets import TargetColumns
from annolog.storage.conditions import INSTRUMENTS, fill
from annolog.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Seen:
    """A known exposure, as look-ups by night and name give it."""

    key: str
    seq_num: int
    obs_id: str | None


async def add(conn: Connection, rows: Sequence[tuple[str, TargetColumns]]) -> None:
    """Make rows for keys that have none; a row without statements is invisible.

    Parameters
    ----------
    conn
        A connection that may write; outside the lane.
    rows
        Keys with what can be told from them.
    """
    columns = [c for _, c in rows]
    await conn.execute(
        """
        with fresh as (
          select u.* from unnest($1::text[], $2::text[], $3::text[], $4::integer[],
                                 $5::integer[], $6::bigint[], $7::integer[], $8::uuid[])
            as u(key, kind, instrument, day_obs, seq_num, exposure_id, detector,
                 dataset_id)
            left join lateral (
              select true as here from target where key = u.key offset 0) t on true
           where t.here is null
           order by key
        ), numbered as (
          select nextval(pg_get_serial_sequence('target', 'target_id')) as target_id, *
            from fresh
        )
        insert into target (target_id, key, class_id, kind, instrument, day_obs,
                            seq_num, exposure_id, detector, dataset_id)
        overriding system value
        select target_id, key, target_id, kind, instrument, day_obs, seq_num,
               exposure_id, detector, dataset_id
          from numbered
        on conflict (key) do nothing
        """,
        [key for key, _ in rows],
        [c.kind for c in columns],
        [c.instrument for c in columns],
        [c.day_obs for c in columns],
        [c.seq_num for c in columns],
        [c.exposure_id for c in columns],
        [c.detector for c in columns],
        [c.dataset_id for c in columns],
    )


async def known(conn: Connection, keys: Iterable[str]) -> set[str]:
    """Tell which of the keys have rows."""
    rows = await conn.fetch("select key from target where key = any($1)", list(keys))
    return {row["key"] for row in rows}


async def add_names(conn: Connection, names: Iterable[tuple[str, str, str]]) -> None:
    """Note by which obs_ids exposures were named: (instrument, obs_id, key)."""
    rows = sorted(set(names))
    await conn.execute(
        """
        insert into target_name (instrument, name, target_id)
        select u.instrument, u.name, t.target_id
          from unnest($1::text[], $2::text[], $3::text[]) as u(instrument, name, key)
          join target t on t.key = u.key
        on conflict do nothing
        """,
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
    )


async def by_seq_nums(
    conn: Connection, wanted: Iterable[tuple[str, int, int]]
) -> Mapping[tuple[str, int, int], list[Seen]]:
    """Find the known exposures of (instrument, day_obs, seq_num).

    Returns
    -------
    mapping
        Only those that are known; several where ids or controllers differ. Known are
        exposures with a fact, or named by a counted or earlier statement.
    """
    rows = list(set(wanted))
    found: dict[tuple[str, int, int], list[Seen]] = {}
    for row in await conn.fetch(
        """
        select u.instrument, u.day_obs, u.seq_num, t.key, e.obs_id
          from unnest($1::text[], $2::integer[], $3::integer[])
            as u(instrument, day_obs, seq_num)
          join target t on t.instrument = u.instrument and t.day_obs = u.day_obs
                       and t.seq_num = u.seq_num and t.kind = 'exposure'
          left join exposure e on e.target_id = t.target_id
         where t.class_id = t.target_id
           and (e.target_id is not null
                or exists (select from said s where s.target_id = t.target_id))
         order by t.key
        """,
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
    ):
        at = (row["instrument"], row["day_obs"], row["seq_num"])
        found.setdefault(at, []).append(Seen(row["key"], at[2], row["obs_id"]))
    return found


async def in_ranges(
    conn: Connection,
    instrument: str,
    day_obs: int,
    ranges: Sequence[tuple[int, int]],
    limit: int,
) -> list[Seen]:
    """List the known exposures of a night by closed ranges of sequence numbers.

    Parameters
    ----------
    conn
        A connection.
    instrument, day_obs
        The night.
    ranges
        Closed ranges (first, last), ascending.
    limit
        At most so many.

    Returns
    -------
    list of Seen
        By sequence number, then key.
    """
    rows = await conn.fetch(
        """
        select t.key, t.seq_num, e.obs_id
          from unnest($3::integer[], $4::integer[]) as u(first, last)
          join target t on t.instrument = $1 and t.day_obs = $2
                       and t.seq_num between u.first and u.last
                       and t.kind = 'exposure'
          left join exposure e on e.target_id = t.target_id
         where t.class_id = t.target_id
           and (e.target_id is not null
                or exists (select from said s where s.target_id = t.target_id))
         order by t.seq_num, t.key
         limit $5
        """,
        instrument,
        day_obs,
        [first for first, _ in ranges],
        [last for _, last in ranges],
        limit,
    )
    return [Seen(r["key"], r["seq_num"], r["obs_id"]) for r in rows]


# The index of names begins with the instrument: before 18 PostgreSQL reads all of it
# where none is named, so each is.
_INSTRUMENTS = fill(INSTRUMENTS, table="target_name", test="true")

_BY_OBS_IDS = f"""
select distinct n.instrument, n.name, c.key
  from unnest($1::text[], $2::text[]) as u(instrument, name)
 cross join lateral (
   select instrument, name, target_id from target_name
    where name = u.name and instrument = any(
      case u.instrument when '' then {_INSTRUMENTS}
           else array[u.instrument] end)
   offset 0) n
  join target t on t.target_id = n.target_id
  join target c on c.target_id = t.class_id
 order by c.key
"""  # noqa: S608 - constants of modules of ours


async def by_obs_ids(
    conn: Connection, wanted: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], list[str]]:
    """Find keys by (instrument, obs_id); absent where nobody used that name."""
    rows = list(set(wanted))
    found: dict[tuple[str, str], list[str]] = {}
    for row in await conn.fetch(
        _BY_OBS_IDS,
        [row[0] for row in rows],
        [row[1] for row in rows],
    ):
        found.setdefault((row["instrument"], row["name"]), []).append(row["key"])
    return found


async def by_query(  # noqa: PLR0913 - the members of a query
    conn: Connection,
    *,
    instrument: str,
    first_day: int,
    last_day: int,
    ranges: Sequence[tuple[int, int]],
    flag: str | None,
    tags: Sequence[str],
    observation_type: str | None,
    limit: int,
) -> list[str]:
    """List known exposures by what holds for them now, in the night's order.

    Parameters
    ----------
    conn
        A connection.
    instrument
        Instrument.
    first_day, last_day
        Nights (inclusive).
    ranges
        Closed ranges of sequence numbers; empty for all.
    flag
        Effective flag wanted; None for any.
    tags
        All of these are wanted.
    observation_type
        Type wanted; None for any.
    limit
        At most so many.
    """
    rows = await conn.fetch(
        """
        select t.key
          from target t
          left join exposure e on e.target_id = t.target_id
          left join target_state s on s.target_id = t.target_id
         where t.instrument = $1 and t.day_obs between $2 and $3
           and t.kind = 'exposure' and t.class_id = t.target_id
           and (e.target_id is not null or s.target_id is not null)
           and (cardinality($4::integer[]) = 0 or exists (
                 select from unnest($4::integer[], $5::integer[]) as u(first, last)
                  where t.seq_num between u.first and u.last))
           and ($6::text is null or s.flag = $6)
           and (cardinality($7::text[]) = 0 or s.tags @> $7)
           and ($8::text is null or e.observation_type = $8)
         order by t.day_obs, t.seq_num, t.key
         limit $9
        """,
        instrument,
        first_day,
        last_day,
        [first for first, _ in ranges],
        [last for _, last in ranges],
        flag,
        list(tags),
        observation_type,
        limit,
    )
    return [row["key"] for row in rows]
