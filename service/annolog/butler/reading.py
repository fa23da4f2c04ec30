"""The butler's own side: questions in its query language, records to our values.

Runs in the child alone. Everything goes through the public query interface, which is
the same for a repository on disk, in PostgreSQL and behind a server, and for every
dimension universe: in old ones `day_obs`, `seq_num` and the group are fields of an
exposure, in newer ones the first and the last are dimensions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby, islice
from math import isfinite
from operator import itemgetter
from typing import Any, Self

from astropy.time import Time
from lsst.daf.butler import Butler, DimensionRecord, Timespan
from lsst.daf.butler.time_utils import TimeConverter

from annolog.butler.wire import (
    CHUNK,
    Count,
    Exposures,
    Instruments,
    Named,
    Page,
    Question,
    Reading,
    VisitDefinition,
    Visits,
)
from annolog.domain.registries import ExposureQuery, RegistryExposure

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - TAI has no zone

SORTED_HERE = 20_000
"""Exposures that are put in order here, so that nulls and text come as `ExposureQuery`
says. More are left to the registry's database, which has its own ways with both."""

_MORE = (
    "physical_filter",
    "exposure_time",
    "dark_time",
    "azimuth",
    "zenith_angle",
    "seq_start",
    "seq_end",
    "has_simulated",
    "can_see_sky",
)
"""Fields of the record that facts hold beside those of `RegistryExposure`."""


@dataclass(frozen=True, slots=True)
class Registry:
    """One butler, open to be read.

    Attributes
    ----------
    butler
        The butler.
    universe
        Number of its dimension universe.
    """

    butler: Butler
    universe: int

    @classmethod
    def open(cls, uri: str) -> Self:
        """Open a repository to be read; its files do not matter."""
        butler = Butler.from_config(uri, writeable=False, without_datastore=True)
        return cls(butler, butler.dimensions.version)

    def answer(self, question: Question) -> Iterator[list[Any]]:
        """Answer a question.

        Yields
        ------
        list
            Rows in order, `CHUNK` at a time.
        """
        rows: Iterable[Any]
        match question:
            case Instruments():
                rows = self._instruments()
            case Exposures(query):
                rows = self._exposures(query) if self._has(query.instrument) else []
            case Named(instrument, obs_ids):
                rows = self._named(instrument, obs_ids) if self._has(instrument) else []
            case Page(instrument):
                rows = self._page(question) if self._has(instrument) else []
            case Visits(instrument):
                rows = self._visits(question) if self._has(instrument) else []
            case Count(instrument):
                rows = [self._count(question) if self._has(instrument) else 0]
        remaining = iter(rows)
        while chunk := list(islice(remaining, CHUNK)):
            yield chunk

    # ------------------------------------------------------------ questions

    def _instruments(self) -> list[str]:
        with self.butler.query() as query:
            records = query.dimension_records("instrument")
            return sorted(str(record.dataId["instrument"]) for record in records)

    def _has(self, instrument: str) -> bool:
        # A query for an instrument that the registry does not know is an error.
        return instrument in self._instruments()

    def _named(self, instrument: str, obs_ids: Sequence[str]) -> Iterator[Reading]:
        where = "exposure.obs_id IN (obs_ids)"
        return self._read(
            instrument, where, {"obs_ids": list(obs_ids)}, ["exposure.id"]
        )

    def _page(self, page: Page) -> Iterator[Reading]:
        bound = {"after": page.after}
        return self._read(
            page.instrument, "exposure > after", bound, ["exposure.id"], page.limit
        )

    def _exposures(self, wanted: ExposureQuery) -> Iterable[Reading]:
        if wanted.is_empty:
            return []
        where, bound = self._conditions(wanted)
        end = None if wanted.limit is None else wanted.offset + wanted.limit
        order = wanted.order()
        by_id_alone = order[0][0] == "exposure_id"
        if by_id_alone or self._number(wanted.instrument, where, bound) > SORTED_HERE:
            words = [self._word(name, descends=down) for name, down in order]
            found = self._read(wanted.instrument, where, bound, words, end)
            return islice(found, wanted.offset, None)
        rows = list(self._read(wanted.instrument, where, bound, []))
        for name, descends in reversed(order):
            rows.sort(key=partial(_placed, name), reverse=descends)
        return rows[wanted.offset : end]

    def _visits(self, wanted: Visits) -> Iterator[VisitDefinition]:
        # Two plain questions: a condition on both sides at once makes SQLite join all
        # exposures of a night with all its visits.
        bound: Mapping[str, Any] = {"first": wanted.first, "last": wanted.last}
        touched = self._defined(
            wanted.instrument, "exposure >= first AND exposure <= last", bound
        )
        visits = sorted({visit for visit, _ in touched})
        for start in range(0, len(visits), CHUNK):
            bound = {"visits": visits[start : start + CHUNK]}
            whole = sorted(self._defined(wanted.instrument, "visit IN (visits)", bound))
            for visit, group in groupby(whole, key=itemgetter(0)):
                yield VisitDefinition(visit, tuple(exposure for _, exposure in group))

    def _defined(
        self, instrument: str, where: str, bound: Mapping[str, Any]
    ) -> set[tuple[int, int]]:
        with self.butler.query() as query:
            found = query.where(instrument=instrument).where(where, bind=bound)
            return {
                (int(record.visit), int(record.exposure))
                for record in found.dimension_records("visit_definition")
            }

    def _count(self, wanted: Count) -> int:
        element = "visit_definition" if wanted.visits else "exposure"
        bound = {"before": wanted.before}
        return self._number(wanted.instrument, "exposure < before", bound, element)

    # ------------------------------------------------------------ queries

    def _number(
        self,
        instrument: str,
        where: str,
        bound: Mapping[str, Any],
        element: str = "exposure",
    ) -> int:
        with self.butler.query() as query:
            found = query.where(instrument=instrument).dimension_records(element)
            return found.where(where, bind=bound).count() if where else found.count()

    def _read(
        self,
        instrument: str,
        where: str,
        bound: Mapping[str, Any],
        order: Sequence[str],
        limit: int | None = None,
    ) -> Iterator[Reading]:
        bands = self._bands(instrument)
        with self.butler.query() as query:
            found = query.where(instrument=instrument).dimension_records("exposure")
            if where:
                found = found.where(where, bind=bound)
            for record in found.order_by(*order).limit(limit):
                yield _reading(record, bands)

    def _bands(self, instrument: str) -> Mapping[str, str | None]:
        with self.butler.query() as query:
            found = query.where(instrument=instrument)
            return {
                record.name: record.band
                for record in found.dimension_records("physical_filter")
            }

    def _conditions(self, wanted: ExposureQuery) -> tuple[str, dict[str, Any]]:
        group = self._word("group_name")
        overlap = None
        if wanted.min_date is not None or wanted.max_date is not None:
            overlap = Timespan(_time(wanted.min_date), _time(wanted.max_date))
        conditions = {
            "min_day_obs": ("exposure.day_obs >= {}", wanted.min_day_obs),
            "max_day_obs": ("exposure.day_obs < {}", wanted.max_day_obs),
            "min_seq_num": ("exposure.seq_num >= {}", wanted.min_seq_num),
            "max_seq_num": ("exposure.seq_num < {}", wanted.max_seq_num),
            "groups": (f"{group} IN ({{}})", list(wanted.group_names) or None),
            "reasons": (
                "exposure.observation_reason IN ({})",
                list(wanted.observation_reasons) or None,
            ),
            "types": (
                "exposure.observation_type IN ({})",
                list(wanted.observation_types) or None,
            ),
            "overlap": ("exposure.timespan OVERLAPS {}", overlap),
        }
        used = {name: one for name, one in conditions.items() if one[1] is not None}
        where = " AND ".join(words.format(name) for name, (words, _) in used.items())
        return where, {name: value for name, (_, value) in used.items()}

    def _word(self, name: str, *, descends: bool = False) -> str:
        """Give what the registry calls one of our values."""
        words = {
            "exposure_id": "exposure.id",
            "timespan_begin": "exposure.timespan.begin",
            "timespan_end": "exposure.timespan.end",
        }
        if "group" in self.butler.dimensions["exposure"].implied:
            words["group_name"] = "exposure.group"
        return ("-" if descends else "") + words.get(name, f"exposure.{name}")


def _reading(record: DimensionRecord, bands: Mapping[str, str | None]) -> Reading:
    fields = {name: _sound(value) for name, value in record.toDict().items()}
    begin, end = limits_of(fields["timespan"])
    exposure = RegistryExposure(
        instrument=fields["instrument"],
        exposure_id=fields["id"],
        obs_id=fields["obs_id"],
        day_obs=fields["day_obs"],
        seq_num=fields["seq_num"],
        observation_type=fields["observation_type"],
        observation_reason=fields["observation_reason"],
        group_name=fields.get("group", fields.get("group_name")),
        target_name=fields["target_name"],
        science_program=fields["science_program"],
        tracking_ra=fields["tracking_ra"],
        tracking_dec=fields["tracking_dec"],
        sky_angle=fields["sky_angle"],
        timespan_begin=begin,
        timespan_end=end,
    )
    more = {name: fields.get(name) for name in _MORE}
    more["band"] = bands.get(fields["physical_filter"])
    return Reading(exposure, {k: v for k, v in more.items() if v is not None})


def _sound(value: Any) -> Any:  # noqa: ANN401 - whatever a record has
    """Leave out what neither JSON nor PostgreSQL has a word for."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    # Some cameras fill in NaN for what they do not know.
    return None if isinstance(value, float) and not isfinite(value) else value


def limits_of(span: Timespan | None) -> tuple[datetime | None, datetime | None]:
    """Give the begin and end of a timespan of the butler's.

    Parameters
    ----------
    span
        As a record has it; None or empty: not known.

    Returns
    -------
    begin, end : datetime or None
        Naive TAI, to the microsecond; None where it is open or not known.
    """
    if span is None or span.isEmpty():
        return None, None
    limits = TimeConverter()
    begin, end = span.nsec
    return (
        None if begin <= limits.min_nsec else _moment(begin),
        None if end >= limits.max_nsec else _moment(end),
    )


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=(nanoseconds + 500) // 1_000)


def _time(moment: datetime | None) -> Time | None:
    return None if moment is None else Time(moment, scale="tai")


def _placed(name: str, reading: Reading) -> tuple[bool, Any]:
    value = getattr(reading.exposure, name)
    return (value is None, 0 if value is None else value)
