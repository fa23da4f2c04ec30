"""TAI and UTC lead to each other, with the leap seconds of today's table."""

from datetime import UTC, datetime, timedelta

import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain import tai

MOMENTS = st.datetimes(datetime(1972, 1, 1), datetime(2027, 1, 1))  # noqa: DTZ001


@given(MOMENTS)
def test_tai_is_what_astropy_says(moment: datetime) -> None:
    theirs = Time(moment, scale="utc").tai.to_datetime()

    assert abs(tai.from_utc(moment.replace(tzinfo=UTC)) - theirs) <= timedelta(
        microseconds=1
    )


@given(MOMENTS)
def test_utc_comes_back_from_tai(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)

    assert tai.to_utc(tai.from_utc(moment)) == moment


def test_today_they_are_37_seconds_apart() -> None:
    utc = datetime(2026, 11, 19, 3, 12, 0, 250_000, tzinfo=UTC)

    assert tai.format(tai.from_utc(utc)) == "2026-11-19T03:12:37.250000"


@pytest.mark.parametrize(
    ("utc", "written"),
    [
        (datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC), "2017-01-01T00:00:35"),
        (datetime(2017, 1, 1, tzinfo=UTC), "2017-01-01T00:00:37"),
        (datetime(1972, 1, 1, tzinfo=UTC), "1972-01-01T00:00:10"),
        (datetime(1901, 1, 1, tzinfo=UTC), "1901-01-01T00:00:10"),
    ],
)
def test_the_offset_changes_with_the_leap_second(utc: datetime, written: str) -> None:
    assert tai.format(tai.from_utc(utc)) == written


def test_a_leap_second_is_the_second_before_it() -> None:
    # 2017-01-01T00:00:36 TAI is 2016-12-31T23:59:60 UTC.
    found = tai.to_utc(tai.parse("2017-01-01T00:00:36"))

    assert found in {
        datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2017, 1, 1, tzinfo=UTC),
    }


def test_dates_are_read_with_a_t_or_a_blank() -> None:
    assert tai.parse("2026-11-19 03:12:37.25") == tai.parse("2026-11-19T03:12:37.25")


def test_tai_has_no_zone() -> None:
    with pytest.raises(ValueError, match="without"):
        tai.parse("2026-11-19T03:12:37Z")
