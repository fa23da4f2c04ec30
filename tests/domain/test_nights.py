"""Nights and their edges."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.errors import InvalidError
from annolog.domain.instruments import SHIPPED, Site
from annolog.domain.nights import (
    date_of,
    day_obs_of,
    edges,
    nights_between,
    shift,
    span_of,
    to_day_obs,
)

PACHON = SHIPPED["LSSTCam"].site

# Sun's centre at -12 degrees without refraction at latitude -30.244639, longitude
# -70.749417, found with astropy 8.0.2 (get_sun in AltAz).
PUBLISHED = [
    (20240229, "2024-03-01T00:09:45.8", "2024-03-01T09:41:08.7"),
    (20250115, "2025-01-16T00:47:32.3", "2025-01-16T08:58:07.7"),
    (20250620, "2025-06-20T22:46:54.6", "2025-06-21T10:42:40.0"),
    (20251231, "2026-01-01T00:48:45.4", "2026-01-01T08:44:11.0"),
    (20261119, "2026-11-20T00:18:58.6", "2026-11-20T08:37:50.5"),
]


@pytest.mark.parametrize(("day_obs", "evening", "morning"), PUBLISHED)
def test_edges_agree_with_another_library(
    day_obs: int, evening: str, morning: str
) -> None:
    assert PACHON is not None
    found = edges(PACHON, day_obs)
    second = timedelta(seconds=1)
    assert abs(found.evening - datetime.fromisoformat(evening + "00000Z")) < second
    assert abs(found.morning - datetime.fromisoformat(morning + "00000Z")) < second


@given(st.dates(date(2015, 1, 1), date(2045, 12, 31)))
def test_dark_time_lies_in_its_night(day: date) -> None:
    assert PACHON is not None
    found = edges(PACHON, to_day_obs(day))
    whole = span_of(to_day_obs(day))
    assert whole.begin is not None
    assert whole.end is not None
    assert whole.begin < found.evening < found.morning < whole.end
    assert day_obs_of(found.evening) == day_obs_of(found.morning) == to_day_obs(day)
    assert found.span.duration == found.morning - found.evening


def test_night_without_darkness_has_no_length_and_one_without_day_all() -> None:
    pole = Site(latitude=80, longitude=0, elevation=0)
    summer, winter = edges(pole, 20260621), edges(pole, 20261221)
    assert summer.morning == summer.evening
    assert winter.morning - winter.evening == timedelta(days=1)


@pytest.mark.parametrize(
    ("moment", "day_obs"),
    [
        ("2026-11-19T11:59:22Z", 20261118),
        ("2026-11-19T11:59:23Z", 20261119),
        ("2026-11-20T03:00:00Z", 20261119),
        ("2026-11-20T00:00:00-03:00", 20261119),
        ("2027-01-01T05:00:00Z", 20261231),
    ],
)
def test_night_changes_at_noon_tai(moment: str, day_obs: int) -> None:
    assert day_obs_of(datetime.fromisoformat(moment)) == day_obs


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)))  # noqa: DTZ001 - made aware below
def test_every_moment_belongs_to_one_night(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    span = span_of(day_obs_of(moment))
    assert span.begin is not None
    assert span.end is not None
    assert span.begin <= moment < span.end


def test_nights_are_counted_across_months_and_years() -> None:
    assert shift(20261231, 1) == 20270101
    assert shift(20240301, -1) == 20240229
    assert nights_between(20261230, 20270102) == 4
    assert nights_between(20270102, 20261230) == 0
    assert date_of(20261119) == date(2026, 11, 19)


@pytest.mark.parametrize("day_obs", [0, 20260230, 2026111, 99991231, -20261119])
def test_number_that_is_no_date_is_refused(day_obs: int) -> None:
    with pytest.raises(InvalidError):
        date_of(day_obs)
