"""What butlers were asked, and what they answered: local, to answer without them.

`registry_exposure` holds exposures as registries have them, so that lists and names
that are known need no butler. `digest` says in which form the log has an exposure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annolog.domain.registries import ExposureQuery, Position, RegistryExposure
from annolog.storage.database import Connection, one_row

PIECE = 1_000
"""Exposures of one statement: other requests of the process come in between."""

_FIELDS = RegistryExposure.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)

_ARRAYS = {
    "instrument": "text",
    "exposure_id": "bigint",
    "obs_id": "text",
    "day_obs": "bigint",
    "seq_num": "bigint",
    "observation_type": "text",
    "observation_reason": "text",
    "group_name": "text",
    "target_name": "text",
    "science_program": "text",
    "tracking_ra": "double precision",
    "tracking_dec": "double precision",
    "sky_angle": "double precision",
    "timespan_begin": "timestamp",
    "timespan_end": "timestamp",
}

_VALUES = [name for name in _FIELDS if name not in {"instrument", "exposure_id"}]

_REMEMBER = f"""
insert into registry_exposure (registry_id, {_COLUMNS}, digest)
select $1, u.* from unnest(
  {", ".join(f"${n}::{_ARRAYS[name]}[]" for n, name in enumerate(_FIELDS, 2))},
  ${len(_FIELDS) + 2}::bytea[]) as u
on conflict (registry_id, instrument, exposure_id) do update set
  {", ".join(f"{name} = excluded.{name}" for name in _VALUES)},
  digest = coalesce(excluded.digest, registry_exposure.digest)
where ({", ".join(f"registry_exposure.{name}" for name in _VALUES)})
      is distinct from ({", ".join(f"excluded.{name}" for name in _VALUES)})
   or excluded.digest is distinct from registry_exposure.digest
      and excluded.digest is not null
"""  # noqa: S608 - names of our own columns


# ---------------------------------------------------------------- registries


async def ensure(conn: Connection, uri: str) -> int:
    """Give the number of a registry, which it gets when it is first asked for."""
    found = await conn.fetchval("select registry_id from registry where uri = $1", uri)
    if found is None:
        await conn.execute(
            "insert into registry (uri, instruments) values ($1, '{}')"
            " on conflict (uri) do nothing",
            uri,
        )
        found = await conn.fetchval(
            "select registry_id from registry where uri = $1", uri
        )
    return int(found)


async def instruments(conn: Connection, registry_id: int) -> tuple[list[str], float]:
    """Give the instruments that a registry had.

    Returns
    -------
    tuple of list and float
        Names, sorted, and how many seconds ago it said so; infinity for never.
    """
    row = await one_row(
        conn,
        "select instruments, coalesce("
        " extract(epoch from clock_timestamp() - instruments_at), 'infinity')::float8"
        " as age from registry where registry_id = $1",
        registry_id,
    )
    return list(row["instruments"]), row["age"]


async def set_instruments(
    conn: Connection, registry_id: int, names: Sequence[str]
) -> None:
    """Note which instruments a registry has."""
    await conn.execute(
        "update registry set instruments = $2, instruments_at = clock_timestamp()"
        " where registry_id = $1",
        registry_id,
        list(names),
    )


# ---------------------------------------------------------------- readings


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of the reading of an instrument.

    Attributes
    ----------
    position
        How far it was read.
    read_age, swept_age
        Seconds since the end of the last reading, and of the last of everything.
    """

    position: Position
    read_age: float
    swept_age: float


async def reading_of(
    conn: Connection, registry_id: int, instrument: str
) -> Read | None:
    """Give how far an instrument was read; None if it never was to the end."""
    row = await conn.fetchrow(
        """
        select since_id, exposures_before, visits_before,
               extract(epoch from clock_timestamp() - read_at)::float8 as read_age,
               extract(epoch from clock_timestamp() - swept_at)::float8 as swept_age
          from registry_reading where registry_id = $1 and instrument = $2
        """,
        registry_id,
        instrument,
    )
    if row is None:
        return None
    position = Position(row["since_id"], row["exposures_before"], row["visits_before"])
    return Read(position, row["read_age"], row["swept_age"])


async def set_reading(
    conn: Connection,
    registry_id: int,
    instrument: str,
    position: Position,
    *,
    swept: bool,
) -> None:
    """Note that an instrument was read to the end.

    Parameters
    ----------
    conn
        A connection.
    registry_id, instrument
        What was read.
    position
        How far.
    swept
        Whether everything was read, not the last nights alone.
    """
    await conn.execute(
        """
        insert into registry_reading as r
          values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp())
        on conflict (registry_id, instrument) do update set
          since_id = excluded.since_id,
          exposures_before = excluded.exposures_before,
          visits_before = excluded.visits_before,
          read_at = excluded.read_at,
          swept_at = case when $6 then excluded.swept_at else r.swept_at end
        """,
        registry_id,
        instrument,
        position.since_id,
        position.exposures_before,
        position.visits_before,
        swept,
    )


# ---------------------------------------------------------------- exposures


async def remember(
    conn: Connection,
    registry_id: int,
    exposures: Iterable[RegistryExposure],
    digests: Mapping[tuple[str, int], bytes] | None = None,
) -> None:
    """Note exposures as a registry has them; what is noted already costs little.

    Parameters
    ----------
    conn
        A connection.
    registry_id
        The registry.
    exposures
        The exposures, any order.
    digests
        By instrument and id, of those that the log has in this form. The others keep
        what they have.
    """
    # In one order, or two callers would wait for each other's rows.
    rows = {(one.instrument, one.exposure_id): one for one in exposures}
    ordered = [rows[key] for key in sorted(rows)]
    known = digests or {}
    for first in range(0, len(ordered), PIECE):
        piece = ordered[first : first + PIECE]
        await conn.execute(
            _REMEMBER,
            registry_id,
            *([getattr(one, name) for one in piece] for name in _FIELDS),
            [known.get((one.instrument, one.exposure_id)) for one in piece],
        )


async def forget_between(
    conn: Connection,
    registry_id: int,
    instrument: str,
    span: tuple[int, int],
    there: Iterable[int],
) -> None:
    """Forget exposures that a registry has no more.

    Parameters
    ----------
    conn
        A connection.
    registry_id, instrument
        Whose.
    span
        First and last id of those that were looked for.
    there
        Ids of those that are there.
    """
    await conn.execute(
        """
        delete from registry_exposure e
         where registry_id = $1 and instrument = $2
           and exposure_id between $3 and $4
           and not exists (select from unnest($5::bigint[]) as u(id)
                            where u.id = e.exposure_id)
        """,
        registry_id,
        instrument,
        *span,
        list(there),
    )


async def digests(
    conn: Connection, registry_id: int, instrument: str, ids: Iterable[int]
) -> Mapping[int, bytes]:
    """Give the forms in which the log has exposures, by id; of some it has none."""
    rows = await conn.fetch(
        """
        select exposure_id, digest from registry_exposure
         where registry_id = $1 and instrument = $2 and exposure_id = any($3)
           and digest is not null
        """,
        registry_id,
        instrument,
        list(ids),
    )
    return {row["exposure_id"]: row["digest"] for row in rows}


@dataclass(frozen=True, slots=True)
class Found:
    """An exposure that was noted, and where.

    Attributes
    ----------
    registry_id
        The registry that has it.
    exposure
        As it has it.
    entered
        Whether the log has it.
    """

    registry_id: int
    exposure: RegistryExposure
    entered: bool


async def named(
    conn: Connection,
    registry_ids: Sequence[int],
    instrument: str,
    obs_ids: Iterable[str],
) -> Mapping[str, Found]:
    """Find exposures by their obs_ids.

    Parameters
    ----------
    conn
        A connection.
    registry_ids
        Where to look, the first one first.
    instrument
        Of which instrument.
    obs_ids
        The names.

    Returns
    -------
    mapping
        By obs_id, of those that were noted. Of several the one in the first registry,
        there the one that has the least id.
    """
    rows = await conn.fetch(
        f"""
        select distinct on (obs_id) {_COLUMNS}, registry_id,
               digest is not null as entered
          from registry_exposure
         where instrument = $1 and obs_id = any($2) and registry_id = any($3)
         order by obs_id, array_position($3::smallint[], registry_id), exposure_id
        """,  # noqa: S608 - names of our own columns
        instrument,
        list(obs_ids),
        list(registry_ids),
    )
    return {
        row["obs_id"]: Found(
            row["registry_id"],
            RegistryExposure(*row[: len(_FIELDS)]),
            row["entered"],
        )
        for row in rows
    }


async def exposures(
    conn: Connection, registry_id: int, wanted: ExposureQuery
) -> list[RegistryExposure]:
    """Answer a query with what was noted.

    Returns
    -------
    list of RegistryExposure
        In the order asked for.
    """
    if wanted.is_empty:
        return []
    order = ", ".join(
        _WORDS.get(name, name) + (" desc" if descends else "")
        for name, descends in wanted.order()
    )
    where, bound = _where(wanted)
    rows = await conn.fetch(
        f"select {_COLUMNS} from registry_exposure"  # noqa: S608 - our own words
        f" where registry_id = $1 and {where} order by {order} offset $2 limit $3",
        registry_id,
        wanted.offset,
        wanted.limit,
        *bound,
    )
    return [RegistryExposure(*row) for row in rows]


def _where(wanted: ExposureQuery) -> tuple[str, list[object]]:
    """Write the conditions; their values are bound from $4 on."""
    dated = wanted.min_date is not None or wanted.max_date is not None
    before = "<=" if wanted.min_date == wanted.max_date else "<"
    conditions: tuple[tuple[str, object], ...] = (
        ("instrument = {}::text", wanted.instrument),
        ("day_obs >= {}::bigint", wanted.min_day_obs),
        ("day_obs < {}::bigint", wanted.max_day_obs),
        ("seq_num >= {}::bigint", wanted.min_seq_num),
        ("seq_num < {}::bigint", wanted.max_seq_num),
        ("group_name = any({}::text[])", list(wanted.group_names) or None),
        (
            "observation_reason = any({}::text[])",
            list(wanted.observation_reasons) or None,
        ),
        ("observation_type = any({}::text[])", list(wanted.observation_types) or None),
        # What has no timespan at all overlaps nothing.
        (
            "(timespan_begin is not null or timespan_end is not null) = {}::boolean",
            dated or None,
        ),
        ("coalesce(timespan_end, 'infinity') > {}::timestamp", wanted.min_date),
        (
            f"coalesce(timespan_begin, '-infinity') {before} {{}}::timestamp",
            wanted.max_date,
        ),
    )
    used = [one for one in conditions if one[1] is not None]
    words = [words.format(f"${n}") for n, (words, _) in enumerate(used, 4)]
    return " and ".join(words), [value for _, value in used]


_WORDS = {
    name: f'{name} collate "C"' for name, kind in _ARRAYS.items() if kind == "text"
}
"""How text is put in order: by code points, as everywhere where exposures are."""


async def has_any(conn: Connection, registry_id: int, instrument: str) -> bool:
    """Tell whether any exposure of an instrument was noted."""
    found: bool = await conn.fetchval(
        "select exists (select from registry_exposure"
        " where registry_id = $1 and instrument = $2)",
        registry_id,
        instrument,
    )
    return found
