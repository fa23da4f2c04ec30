"""Moments, clocks and spans."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ValidationError

from annolog.domain import times
from annolog.domain.errors import InvalidError
from annolog.domain.times import Span

MOMENTS = st.datetimes(timezones=st.just(UTC))


def at(minute: float) -> datetime:
    return datetime(2026, 11, 19, 3, tzinfo=UTC) + timedelta(minutes=minute)


def span(begin: float | None, end: float | None) -> Span:
    return Span(None if begin is None else at(begin), None if end is None else at(end))


# ----------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-19T03:12:00Z", "2026-11-19T03:12:00.000000Z"),
        ("2026-11-19t03:12:00z", "2026-11-19T03:12:00.000000Z"),
        ("2026-11-19 03:12:00Z", "2026-11-19T03:12:00.000000Z"),
        ("2026-11-19T03:12:00.5Z", "2026-11-19T03:12:00.500000Z"),
        ("2026-11-19T03:12:00.123456000Z", "2026-11-19T03:12:00.123456Z"),
        ("2026-11-19T03:12:00+01:30", "2026-11-19T01:42:00.000000Z"),
        ("2026-11-19T23:12:00-03:00", "2026-11-20T02:12:00.000000Z"),
        ("2026-11-19T03:12:00-00:00", "2026-11-19T03:12:00.000000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_moment_is_read_and_written_in_utc(text: str, written: str) -> None:
    assert times.parse(text).tzinfo is UTC
    assert times.format(times.parse(text)) == written


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-19T03:12:00", "has no zone"),
        ("2026-11-19", "is no time"),
        ("20261119T031200Z", "is no time"),
        ("", "is no time"),
        ("now", "is no time"),
        ("2026-11-19T03:12:00Z\n", "is no time"),
        ("٢٠٢٦-11-19T03:12:00Z", "is no time"),
        ("2026-11-19T03:12Z", "is no time"),
        ("2026-13-19T03:12:00Z", "is no time"),
        ("2025-02-29T03:12:00Z", "is no time"),
        ("2026-11-19T24:00:00Z", "is no time"),
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2026-11-19T03:12:00.1234567Z", "finer than microseconds"),
        ("2026-11-19T03:12:00+24:00", "no possible zone"),
        ("2026-11-19T03:12:00+01:60", "no possible zone"),
        ("0000-01-01T00:00:00Z", "is no time"),
        ("0001-01-01T00:00:00+01:00", "outside the years"),
        ("9999-12-31T23:59:59-01:00", "outside the years"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason) as caught:
        times.parse(text)
    assert caught.value.reason_code == "invalid_time"
    assert caught.value.problems[0].value == text


def test_pydantic_reports_a_bad_time_with_its_place() -> None:
    class Draft(BaseModel):
        written_at: Annotated[datetime, BeforeValidator(times.parse)]

    with pytest.raises(ValidationError, match="has no zone") as caught:
        Draft.model_validate({"written_at": "2026-11-19T03:12:00"})
    assert caught.value.errors()[0]["loc"] == ("written_at",)


def test_a_naive_moment_is_refused_everywhere() -> None:
    naive = at(0).replace(tzinfo=None)
    for use in (times.format, times.to_clock, times.utc, lambda one: Span(one, None)):
        with pytest.raises(InvalidError, match="has no zone"):
            use(naive)


def test_a_moment_of_another_zone_is_brought_to_utc() -> None:
    chile = timezone(timedelta(hours=-3))
    assert times.format(datetime(2026, 11, 19, 21, tzinfo=chile)) == (
        "2026-11-20T00:00:00.000000Z"
    )
    with pytest.raises(InvalidError, match="outside the years"):
        times.format(datetime.max.replace(tzinfo=chile))


@given(MOMENTS)
def test_writing_and_reading_give_the_same_moment(moment: datetime) -> None:
    text = times.format(moment)
    assert len(text) == 27
    assert times.parse(text) == moment


@given(MOMENTS, MOMENTS)
def test_texts_sort_as_moments_do(one: datetime, other: datetime) -> None:
    assert (times.format(one) < times.format(other)) == (one < other)


# ------------------------------------------------------------------------- clocks


def test_a_clock_counts_microseconds_since_1970() -> None:
    assert times.to_clock(times.EPOCH) == 0
    assert times.to_clock(times.parse("1970-01-02T00:00:00.000001Z")) == 86_400_000_001
    assert times.to_clock(times.parse("1969-12-31T23:59:59.999999Z")) == -1


@given(MOMENTS)
def test_a_clock_is_exact_both_ways(moment: datetime) -> None:
    assert times.from_clock(times.to_clock(moment)) == moment


def test_a_clock_beyond_all_years_is_refused() -> None:
    for clock in (2**63 - 1, -(2**63), 10**30):
        with pytest.raises(InvalidError, match="outside the years"):
            times.from_clock(clock)


def test_a_clock_is_the_wall_time_unless_it_answers_a_later_one() -> None:
    assert times.next_clock(100) == 100
    assert times.next_clock(100, [50, 99]) == 100
    assert times.next_clock(100, [50, 100]) == 101
    assert times.next_clock(100, iter([700, 3])) == 701


# -------------------------------------------------------------------------- spans


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidError, match="is before"):
        span(5, 4)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ((0, 10), (5, 15), True),
        ((0, 10), (10, 20), False),
        ((0, 10), (2, 3), True),
        ((0, None), (500, 501), True),
        ((None, 10), (10, None), False),
        ((None, 10), (9, None), True),
        ((None, None), (3, 3), True),
        ((5, 5), (5, 10), True),
        ((10, 10), (5, 10), False),
        ((5, 5), (5, 5), True),
        ((5, 5), (6, 6), False),
        ((7, 7), (5, 10), True),
    ],
)
def test_spans_overlap_where_they_share_a_moment(
    one: tuple[float | None, float | None],
    other: tuple[float | None, float | None],
    overlap: bool,  # noqa: FBT001 the case's answer
) -> None:
    assert span(*one).overlaps(span(*other)) is overlap
    assert span(*other).overlaps(span(*one)) is overlap
    assert (span(*one).clip(span(*other)) is not None) is overlap


def test_the_last_moment_of_all_overlaps_itself() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert Span(last, last).overlaps(Span(last, None))


def test_a_span_is_clipped_to_a_window() -> None:
    assert span(0, 10).clip(span(5, 20)) == span(5, 10)
    assert span(None, None).clip(span(5, 20)) == span(5, 20)
    assert span(0, 10).clip(span(None, None)) == span(0, 10)
    assert span(7, 7).clip(span(5, 20)) == span(7, 7)


def test_a_union_counts_nothing_twice() -> None:
    spans = [span(20, 30), span(0, 10), span(5, 12), span(12, 13), span(25, 26)]
    assert times.union(spans) == (span(0, 13), span(20, 30))
    assert times.total(spans) == timedelta(minutes=23)


def test_a_union_of_open_spans_stays_open() -> None:
    assert times.union([span(5, None), span(0, 6), span(9, 10)]) == (span(0, None),)
    assert times.union([span(None, 3), span(1, 4)]) == (span(None, 4),)
    assert times.union([span(None, 3), span(4, None)]) == (
        span(None, 3),
        span(4, None),
    )
    assert times.union([span(None, 3), span(3, None)]) == (span(None, None),)


def test_single_moments_add_nothing_to_a_union() -> None:
    assert times.union([span(3, 3)]) == ()
    assert times.union([]) == ()


def test_a_fault_counts_only_where_it_meets_the_gaps() -> None:
    fault = [span(0, 60), span(30, None)]
    gaps = [span(10, 20), span(50, 70), span(65, 90)]
    assert times.clip(fault, gaps) == (span(10, 20), span(50, 90))
    assert times.total(times.clip(fault, gaps)) == timedelta(minutes=50)
    assert times.clip([span(0, 5)], gaps) == ()


def test_an_open_span_has_no_length() -> None:
    assert span(0, None).duration is None
    assert span(0, 2).duration == timedelta(minutes=2)
    assert span(2, 2).is_moment
    assert not span(None, None).is_moment
    with pytest.raises(ValueError, match="clip it first"):
        times.total([span(0, None)])


@st.composite
def some_spans(draw: st.DrawFn) -> list[Span]:
    edge = st.none() | st.integers(0, 12)
    found = []
    for _ in range(draw(st.integers(0, 5))):
        begin, end = draw(edge), draw(edge)
        if begin is not None and end is not None and end < begin:
            begin, end = end, begin
        found.append(span(begin, end))
    return found


def _minutes(spans: tuple[Span, ...] | list[Span]) -> set[int]:
    return {
        minute
        for minute in range(-1, 13)
        if any(one.overlaps(span(minute + 0.5, minute + 0.5)) for one in spans)
    }


@given(some_spans(), some_spans())
def test_union_and_clip_are_those_of_sets_of_moments(
    some: list[Span], others: list[Span]
) -> None:
    joined = times.union(some)
    assert _minutes(joined) == _minutes(some)
    assert all(
        one.end is not None and other.begin is not None and one.end < other.begin
        for one, other in pairwise(joined)
    )
    assert _minutes(times.clip(some, others)) == _minutes(some) & _minutes(others)
