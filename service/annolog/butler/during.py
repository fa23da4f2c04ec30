"""Which exposures and visits of a repository lie in the time of what was said.

The butler keeps time in TAI, annolog in UTC: moments are converted by the same function
as when exposures are brought, so that both find the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from astropy.time import Time
from lsst.daf.butler import Butler, DimensionRecord, Timespan

from annolog.butler.reading import limits_of
from annolog.butler.rules import Nights
from annolog.domain import tai
from annolog.domain.inheritance import window_of
from annolog.domain.lasting import Lasting, hull
from annolog.domain.times import Span

_MARGIN = timedelta(seconds=1)
"""By which more is asked for than is needed: what is found is looked at again."""

_FIRST, _LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
# The butler has no times before 1970 and after 2100.


def reached(
    butler: Butler,
    instrument: str,
    dimension: str,
    lasting: Mapping[int, Lasting],
    nights: Nights | None = None,
) -> set[tuple[int, int]]:
    """Find the exposures, or visits, for which something holds of a detector.

    Parameters
    ----------
    butler
        The repository.
    instrument
        The instrument.
    dimension
        Either "exposure" or "visit".
    lasting
        What is asked for, by detector.
    nights
        Only of these nights; None: of all.

    Returns
    -------
    set of tuple
        The exposure or visit, and the detector.
    """
    whole = hull(span for one in lasting.values() for span in one.spans)
    if whole is None:
        return set()
    return {
        (record.id, detector)
        for record in _records(butler, instrument, dimension, whole, nights)
        for taken in (window(record),)
        for detector, one in lasting.items()
        if one.holds(taken)
    }


def window(record: DimensionRecord) -> Span | None:
    """Give the time of an exposure or a visit; if it has none, that of its night.

    Parameters
    ----------
    record
        Its dimension record.

    Returns
    -------
    Span or None
        In UTC; None where nothing is known.
    """
    begin, end = (
        None if moment is None else tai.to_utc(moment)
        for moment in limits_of(record.timespan)
    )
    seconds = record.exposure_time
    lasts = None if seconds is None else timedelta(milliseconds=round(seconds * 1000))
    return window_of(begin, end, lasts, record.day_obs)


def _records(
    butler: Butler,
    instrument: str,
    dimension: str,
    whole: Span,
    nights: Nights | None,
) -> Iterator[DimensionRecord]:
    """Give the records that may lie in a time, those without one included."""
    with butler.query() as query:
        x = query.expression_factory
        time = getattr(x, dimension).timespan
        found = query.where(x.any(time.overlaps(_timespan(whole)), time.is_null))
        for condition in _bounds(dimension, nights):
            found = found.where(condition)
        yield from found.where(instrument=instrument).dimension_records(dimension)


def _bounds(dimension: str, nights: Nights | None) -> Iterable[str]:
    if nights is not None and nights.first is not None:
        yield f"{dimension}.day_obs >= {nights.first}"
    if nights is not None and nights.last is not None:
        yield f"{dimension}.day_obs <= {nights.last}"


def _timespan(span: Span) -> Timespan:
    begin, end = span.begin, span.end
    return Timespan(
        None if begin is None or begin < _FIRST else _time(min(begin, _LAST) - _MARGIN),
        None if end is None or end > _LAST else _time(max(end, _FIRST) + _MARGIN),
    )


def _time(moment: datetime) -> Time:
    return Time(tai.from_utc(moment), scale="tai")
