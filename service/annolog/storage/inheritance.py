"""What lies around a target, and what is said of that: feeds `domain.inheritance`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from annolog.domain.history import Standing
from annolog.domain.inheritance import Relations, window_of
from annolog.domain.instruments import Instruments
from annolog.domain.targets import (
    DetectorTarget,
    ExposureTarget,
    Target,
)
from annolog.domain.times import Span
from annolog.storage.database import Connection
from annolog.storage.standings import standing

_AT = "{0}.from_number <= $2 and ({0}.to_number is null or {0}.to_number > $2)"


async def relations(
    conn: Connection, targets: Sequence[Target], instruments: Instruments, number: int
) -> Relations:
    """Read what the steps into targets need.

    Parameters
    ----------
    conn
        A connection.
    targets
        The targets that ask.
    instruments
        The known instruments.
    number
        Visit definitions as of this change; `LATEST` for now. Times and nights of
        exposures are always the best known.
    """
    visits = [one.key for one in targets]
    exposures_of: dict[str, list[str]] = {}
    for row in await conn.fetch(
        f"""
        select v.visit_key, v.exposure_key from visit_exposure v
         where v.visit_key = any($1) and {_AT.format("v")}
        """,  # noqa: S608 - put together from constants
        visits,
        number,
    ):
        exposures_of.setdefault(row["visit_key"], []).append(row["exposure_key"])
    exposures = {key for keys in exposures_of.values() for key in keys}
    exposures.update(one.key for one in targets if isinstance(one, ExposureTarget))
    exposures.update(
        one.exposure.key for one in targets if isinstance(one, DetectorTarget)
    )
    visits_of: dict[str, list[str]] = {}
    for row in await conn.fetch(
        f"""
        select v.visit_key, v.exposure_key from visit_exposure v
         where v.exposure_key = any($1) and {_AT.format("v")}
        """,  # noqa: S608 - put together from constants
        list(exposures),
        number,
    ):
        visits_of.setdefault(row["exposure_key"], []).append(row["visit_key"])
    spans: dict[str, Span] = {}
    days: dict[str, int] = {}
    for row in await conn.fetch(
        """
        select t.key, coalesce(e.day_obs, t.day_obs) as day_obs, e.begin_at, e.end_at,
               e.exposure_time
          from target t
          left join exposure e on e.target_id = t.target_id
         where t.key = any($1)
        """,
        list(exposures),
    ):
        if row["day_obs"] is not None:
            days[row["key"]] = row["day_obs"]
        span = span_of(dict(row), row["day_obs"])
        if span is not None:
            spans[row["key"]] = span
    around = {one.key for one in targets} | exposures
    around.update(visit for keys in visits_of.values() for visit in keys)
    sets_of = await _sets_of(conn, around, number)
    return Relations(visits_of, exposures_of, spans, days, sets_of, instruments)


async def _sets_of(
    conn: Connection, keys: Iterable[str], number: int
) -> Mapping[str, list[str]]:
    """Read in which versions of data-ID sets targets are, if anybody spoke of them."""
    rows = await conn.fetch(
        """
        select m.key, v.subject from set_member m
          join set_version v on v.list_id = m.list_id and v.number <= $2
         where m.key = any($1) and exists (select from target t where t.key = v.subject)
        """,
        list(keys),
        number,
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(row["subject"])
    return found


def span_of(row: Mapping[str, Any] | None, day_obs: int | None) -> Span | None:
    """Give the time of an exposure; where nobody knows it, that of its night.

    Parameters
    ----------
    row
        `begin_at`, `end_at` and `exposure_time` (milliseconds), each may be None; None:
        nothing is known of the exposure.
    day_obs
        Its night; None where that is not known either.
    """
    if row is None:
        return window_of(None, None, None, day_obs)
    shutter = row["exposure_time"]
    lasts = None if shutter is None else timedelta(milliseconds=shutter)
    return window_of(row["begin_at"], row["end_at"], lasts, day_obs)


class Statement(NamedTuple):
    """What stands on a target, with the time that it is about.

    Attributes
    ----------
    key
        The target.
    standing
        How it stands.
    observed
        The time that it is about; None where it gives none.
    """

    key: str
    standing: Standing
    observed: Span | None


async def statements(
    conn: Connection, keys: Iterable[str], number: int
) -> Mapping[str, list[Statement]]:
    """Read what stood on targets, and on all that are one with them, after a change.

    Returns
    -------
    mapping
        By the key asked for; absent where nothing stood.
    """
    rows = await conn.fetch(
        f"""
        select t.key, s.source_id, s.annotation_id, s.revision_id, s.author, s.voter,
               s.rank, s.flag, s.vote_id, s.vote_clock, s.contested, s.ordinal, s.tags,
               r.observed_begin, r.observed_end
          from target t
          join target m on m.class_id = t.class_id
          join said s on s.target_id = m.target_id and {_AT.format("s")}
          left join lateral (
            select * from revision v
             where v.annotation_id = s.annotation_id and v.current_from <= $2
               and (v.current_to is null or v.current_to > $2)
             limit 1) r on true
         where t.key = any($1)
         order by t.key, s.vote_clock, s.source_id
        """,  # noqa: S608 - put together from constants
        list(keys),
        number,
    )
    found: dict[str, list[Statement]] = {}
    for row in rows:
        begin, end = row["observed_begin"], row["observed_end"]
        observed = None if begin is None and end is None else Span(begin, end)
        one = Statement(row["key"], standing(row), observed)
        found.setdefault(row["key"], []).append(one)
    return found


async def bodies(
    conn: Connection, annotation_ids: Iterable[object], number: int
) -> Mapping[object, bytes]:
    """Read the revisions of annotations that were current after a change, by id."""
    rows = await conn.fetch(
        """
        select r.annotation_id, b.body from revision r
          join record b on b.record_id = r.revision_id
         where r.annotation_id = any($1) and r.current_from <= $2
           and (r.current_to is null or r.current_to > $2)
        """,
        list(annotation_ids),
        number,
    )
    return {row["annotation_id"]: row["body"] for row in rows}
