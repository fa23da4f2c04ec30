"""Nights: their dates, and when they are dark at a site.

A night is named by its day_obs, YYYYMMDD: the date that TAI shows 12 hours earlier.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import ephem

from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Site, is_day_obs
from annolog.domain.times import Span

TAI_MINUS_UTC = timedelta(seconds=37)
"""TAI - UTC since 2017-01-01.

A constant will do: it only says to which night a moment belongs, at noon UTC, when
nobody observes; before 2017 it was less by seconds, and no further leap second is
announced.
"""

SUN_HEIGHT_DEGREES = -12.0
"""Height of the sun's centre at which a night begins and ends (nautical twilight)."""

_ROLLOVER = timedelta(hours=12)


def day_obs_of(moment: datetime) -> int:
    """Give the night to which a moment belongs.

    Parameters
    ----------
    moment
        Aware, in any zone.

    Returns
    -------
    int
        YYYYMMDD: the TAI date of 12 hours earlier. It changes 37 s before noon UTC.
    """
    shown = moment.astimezone(UTC) + TAI_MINUS_UTC - _ROLLOVER
    return to_day_obs(shown.date())


def to_day_obs(day: date) -> int:
    """Write a date as YYYYMMDD."""
    return day.year * 10_000 + day.month * 100 + day.day


def date_of(day_obs: int) -> date:
    """Read a day_obs.

    Raises
    ------
    InvalidError
        If it is no calendar date that can name a night.
    """
    if not is_day_obs(day_obs):
        raise InvalidError.at("", day_obs, f"{day_obs} is no date written as YYYYMMDD")
    return date(day_obs // 10_000, day_obs // 100 % 100, day_obs % 100)


def shift(day_obs: int, days: int) -> int:
    """Give the night that is so many days later (earlier if negative)."""
    return to_day_obs(date_of(day_obs) + timedelta(days=days))


def nights_between(first: int, last: int) -> int:
    """Count the nights from the first to the last (both inclusive); 0 if none."""
    return max(0, (date_of(last) - date_of(first)).days + 1)


def span_of(day_obs: int) -> Span:
    """Give all moments that belong to a night: noon to noon, but for 37 s."""
    day = date_of(day_obs)
    begin = (
        datetime(day.year, day.month, day.day, tzinfo=UTC) + _ROLLOVER - TAI_MINUS_UTC
    )
    return Span(begin, begin + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class NightEdges:
    """When a night is dark.

    Attributes
    ----------
    evening
        When the sun's centre sinks below -12 degrees, UTC; or the night's first moment
        where it is lower all the time.
    morning
        When it rises above, UTC; or the night's last moment likewise. Equal to
        `evening` where the sun does not sink as low.
    """

    evening: datetime
    morning: datetime

    @property
    def span(self) -> Span:
        """The dark time."""
        return Span(self.evening, self.morning)


def edges(site: Site, day_obs: int) -> NightEdges:
    """Work out when a night is dark at a site.

    Parameters
    ----------
    site
        Where; its elevation does not matter, as the sun's height is meant without
        refraction and dip of the horizon.
    day_obs
        The night.

    Returns
    -------
    NightEdges
        To within seconds, of the dark time that begins in the night (noon to noon UTC,
        which holds all of it at the longitudes of the Americas).
    """
    whole = span_of(day_obs)
    assert whole.begin is not None  # noqa: S101 - a night has both ends
    assert whole.end is not None  # noqa: S101 - as above
    observer = ephem.Observer()
    observer.lat, observer.lon = str(site.latitude), str(site.longitude)
    observer.elevation = 0
    observer.pressure = 0
    observer.horizon = str(SUN_HEIGHT_DEGREES)
    sun = ephem.Sun()
    observer.date = _naive(whole.begin)
    try:
        evening = _aware(observer.next_setting(sun, use_center=True))
        observer.date = _naive(evening)
        morning = _aware(observer.next_rising(sun, use_center=True))
    except ephem.AlwaysUpError:
        return NightEdges(whole.begin, whole.begin)
    except ephem.NeverUpError:
        return NightEdges(whole.begin, whole.end)
    return NightEdges(evening, morning)


def _naive(moment: datetime) -> datetime:
    # The library reads naive datetimes as UTC and ignores zones.
    return moment.astimezone(UTC).replace(tzinfo=None)


def _aware(found: ephem.Date) -> datetime:
    moment: datetime = found.datetime()
    return moment.replace(tzinfo=UTC)
