"""International Atomic Time, as exposurelog's API and the butler speak it.

TAI is written without a zone and held as a naive datetime; UTC is always aware. The
table of leap seconds is that of the package tzdata. Moments before 1972 count as 10
seconds apart, as they were on the day the table begins.
"""

import bisect
import importlib.resources
import re
from datetime import UTC, datetime, timedelta
from functools import cache

_FIRST = 10
"""Seconds between TAI and UTC when the table begins, in 1972."""

_LEAP = re.compile(
    r"^Leap\s+(\d{4})\s+([A-Z][a-z]{2})\s+(\d{1,2})\s+\S+\s+([+-])\s+S", re.MULTILINE
)


@cache
def _steps() -> tuple[list[datetime], list[datetime], list[timedelta]]:
    """Read when the offset changed: in UTC, in TAI, and the offset from then on."""
    table = importlib.resources.files("tzdata.zoneinfo").joinpath("leapseconds")
    utc: list[datetime] = []
    tai: list[datetime] = []
    offsets = [timedelta(seconds=_FIRST)]
    for year, month, day, sign in _LEAP.findall(table.read_text("utf-8")):
        last = datetime.strptime(f"{year} {month} {day} +0000", "%Y %b %d %z")
        step = timedelta(seconds=1 if sign == "+" else -1)
        offsets.append(offsets[-1] + step)
        utc.append(last + timedelta(days=1))
        tai.append(utc[-1].replace(tzinfo=None) + offsets[-1])
    return utc, tai, offsets


def from_utc(moment: datetime) -> datetime:
    """Give a moment in TAI.

    Parameters
    ----------
    moment
        Aware, any zone.

    Returns
    -------
    datetime
        Naive TAI, the same microseconds.
    """
    utc, _, offsets = _steps()
    moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None) + offsets[bisect.bisect_right(utc, moment)]


def to_utc(moment: datetime) -> datetime:
    """Give a moment in UTC.

    Parameters
    ----------
    moment
        Naive TAI.

    Returns
    -------
    datetime
        Aware, in UTC. A leap second, which UTC as computers keep it does not have,
        gives the second before it.
    """
    _, tai, offsets = _steps()
    return (moment - offsets[bisect.bisect_right(tai, moment)]).replace(tzinfo=UTC)


def format(moment: datetime) -> str:  # noqa: A001 - read with its module: tai.format
    """Write TAI as exposurelog does: ISO 8601 with `T` and without a zone.

    Parameters
    ----------
    moment
        Naive TAI; microseconds are written where there are any.
    """
    return moment.isoformat()


def parse(text: str) -> datetime:
    """Read TAI as exposurelog writes it.

    Parameters
    ----------
    text
        ISO 8601 with `T` or a blank; without a zone.

    Raises
    ------
    ValueError
        If it has another form, or a zone.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is not None:
        msg = f"{text!r:.60} has a zone; write TAI without one"
        raise ValueError(msg)
    return moment
