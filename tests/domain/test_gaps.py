"""Gaps and the time lost in them."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.exposures import ExposureState
from annolog.domain.gaps import (
    Gap,
    Reason,
    Taken,
    find_gaps,
    overlapping,
    taken_of,
    time_lost,
)
from annolog.domain.instruments import SHIPPED
from annolog.domain.nights import NightEdges
from annolog.domain.targets import GapTarget
from annolog.domain.times import Span
from tests.domain.test_exposures import a_fact, merged

DAY = 20261119
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
EDGES = NightEdges(MIDNIGHT, MIDNIGHT + timedelta(minutes=480))
LATER = MIDNIGHT + timedelta(days=1)
MINIMUM = timedelta(seconds=120)


def at(minute: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def an_exposure(
    seq: int,
    begin: float | None,
    end: float | None,
    *,
    on_sky: bool = True,
    in_progress: bool = False,
    exposure_time: float | None = None,
) -> Taken:
    return Taken(
        f"exposure:LSSTCam/{DAY * 100_000 + seq}",
        None if begin is None else at(begin),
        None if end is None else at(end),
        exposure_time,
        on_sky=on_sky,
        in_progress=in_progress,
    )


def gaps_of(*exposures: Taken, now: datetime = LATER) -> tuple[Gap, ...]:
    return find_gaps("LSSTCam", DAY, exposures, EDGES, minimum=MINIMUM, now=now)


def shown(
    *exposures: Taken, now: datetime = LATER
) -> list[tuple[str, int, int | None]]:
    return [
        (
            gap.target.key.rpartition("=")[2][-5:],
            round((gap.begin - MIDNIGHT).total_seconds() / 60),
            None
            if gap.end is None
            else round((gap.end - MIDNIGHT).total_seconds() / 60),
        )
        for gap in gaps_of(*exposures, now=now)
    ]


def test_night_without_exposures_is_one_gap() -> None:
    (gap,) = gaps_of()
    assert gap == Gap(GapTarget("LSSTCam", DAY, None), at(0), at(480))


def test_first_middle_and_last_gap_are_found() -> None:
    found = shown(an_exposure(1, 10, 11), an_exposure(2, 60, 61))
    assert found == [("start", 0, 10), ("00001", 11, 60), ("00002", 61, 480)]


def test_last_gap_is_open_while_the_night_goes_on() -> None:
    one = an_exposure(1, 10, 11)
    assert shown(one, now=at(100)) == [("start", 0, 10), ("00001", 11, None)]
    assert shown(one, now=at(12)) == [("start", 0, 10)]
    assert shown(now=at(-30)) == []
    assert shown(now=at(1)) == []
    assert shown(now=at(480)) == [("start", 0, 480)]


def test_pause_shorter_than_the_minimum_is_no_gap() -> None:
    def pause(minutes: float) -> int:
        return len(gaps_of(an_exposure(1, 0, 100), an_exposure(2, 100 + minutes, 480)))

    assert pause(1.99) == 0
    assert pause(2) == 1


def test_bias_frames_stand_inside_a_gap_and_unknown_types_end_it() -> None:
    bias = an_exposure(2, 30, 31, on_sky=False)
    found = gaps_of(an_exposure(1, 0, 10), bias, an_exposure(3, 60, 480))
    (gap,) = found
    assert (gap.begin, gap.end, gap.inside) == (at(10), at(60), (bias.key,))


def test_late_record_splits_a_gap_whose_name_stays() -> None:
    before = shown(an_exposure(1, 0, 10), an_exposure(3, 100, 480))
    after = shown(
        an_exposure(1, 0, 10), an_exposure(3, 100, 480), an_exposure(2, 50, 51)
    )
    assert before == [("00001", 10, 100)]
    assert after == [("00001", 10, 50), ("00002", 51, 100)]


def test_exposures_outside_the_night_are_not_what_gaps_follow() -> None:
    twilight = an_exposure(1, -20, -19)
    dawn = an_exposure(9, 490, 491)
    assert shown(twilight, dawn) == [("start", 0, 480)]
    over_the_edge = an_exposure(2, -1, 5)
    assert shown(twilight, over_the_edge, dawn) == [("00002", 5, 480)]


def test_exposure_in_progress_lasts_until_its_end_is_overdue() -> None:
    one = an_exposure(1, 0, None, in_progress=True, exposure_time=60)
    assert shown(one, now=at(5)) == []
    assert shown(one, now=at(20)) == [("00001", 1, None)]


def test_exposure_without_a_begin_neither_makes_nor_ends_a_gap() -> None:
    assert shown(an_exposure(1, None, None)) == [("start", 0, 480)]


def test_exposure_within_another_does_not_name_the_gap() -> None:
    found = shown(an_exposure(1, 0, 100), an_exposure(2, 20, 30))
    assert found == [("00001", 100, 480)]


def test_gap_after_an_exposure_without_integer_names_its_obs_id() -> None:
    taken = Taken("exposure:HSC/obs_id=HSCA01", at(0), at(10))
    (gap,) = find_gaps("HSC", DAY, [taken], EDGES, minimum=MINIMUM, now=LATER)
    assert gap.target.key == f"gap:HSC/{DAY}/after=obs_id=HSCA01"


@pytest.mark.parametrize(
    ("event", "counted"), [("announce", False), ("cancel", False), ("end", True)]
)
def test_only_exposures_that_were_taken_end_gaps(event: str, *, counted: bool) -> None:
    view = merged(a_fact(event, observation_type="bias", begin="2026-11-20T01:00:00Z"))
    found = taken_of(view, SHIPPED["LSSTCam"])
    assert (found is not None) == counted
    assert found is None or not found.on_sky
    assert (view.state is ExposureState.ENDED) == counted


exposures = st.lists(
    st.builds(
        an_exposure,
        st.integers(1, 99_999),
        st.integers(-60, 500),
        st.none() | st.integers(-60, 540),
        on_sky=st.booleans(),
        in_progress=st.booleans(),
        exposure_time=st.none() | st.integers(0, 600),
    ),
    max_size=12,
    unique_by=lambda one: one.key,
)


@given(exposures, st.integers(-60, 700), st.randoms(use_true_random=False))
def test_gaps_and_on_sky_time_share_nothing(
    taken: list[Taken], minute: int, random: Random
) -> None:
    now = at(minute)
    found = gaps_of(*taken, now=now)
    shuffled = random.sample(taken, len(taken))
    assert gaps_of(*shuffled, now=now) == found
    assert len({gap.target.key for gap in found}) == len(found)
    for gap in found:
        span = gap.span(now)
        assert span.duration is not None
        assert span.duration >= MINIMUM
        assert span.begin is not None
        assert span.begin >= EDGES.evening
        assert span.end is not None
        assert span.end <= min(EDGES.morning, now)
        for one in taken:
            other = one.span(now)
            assert other is not None
            assert not (one.on_sky and other.duration and span.overlaps(other))
    assert [gap.end for gap in found[:-1]].count(None) == 0


# ------------------------------------------------------------------------- time lost


def a_reason(
    cause: str, begin: float | None, end: float | None, clock: int = 1
) -> Reason:
    span = Span(None if begin is None else at(begin), None if end is None else at(end))
    return Reason(span, cause, clock, UUID(int=clock))


def test_fault_then_clouds_are_counted_once() -> None:
    # A fault from 03:10 to 05:00 with test images inside, then clouds until dawn.
    gaps = gaps_of(
        an_exposure(1, 0, 190),
        an_exposure(2, 240, 241, on_sky=False),
        an_exposure(3, 300, 301),
    )
    lost = time_lost(
        [a_reason("fault", 190, 300, 1), a_reason("weather", 301, None, 2)],
        gaps,
        LATER,
    )
    assert lost.by_cause == {"fault": 110 * 60, "weather": 179 * 60}
    assert lost.unexplained == 0


def test_time_about_which_two_differ_goes_to_the_latest() -> None:
    gaps = gaps_of()
    reasons = [a_reason("fault", 0, 100, 5), a_reason("weather", 50, 200, 9)]
    lost = time_lost(reasons, gaps, LATER)
    assert lost.by_cause == {"fault": 50 * 60, "weather": 150 * 60}
    assert lost.unexplained == 280 * 60
    assert lost.total == 480 * 60


def test_what_is_said_of_a_time_shows_on_every_gap_it_overlaps() -> None:
    gaps = gaps_of(an_exposure(1, 100, 101), an_exposure(2, 200, 201))
    span = Span(at(90), at(150))
    assert overlapping(span, gaps, LATER) == gaps[:2]
    assert overlapping(Span(at(300), None), gaps, LATER) == gaps[2:]


reasons = st.lists(
    st.builds(
        lambda cause, begin, length, clock: a_reason(
            cause, begin, None if length is None else begin + length, clock
        ),
        st.sampled_from(["weather", "fault", "idle"]),
        st.integers(-60, 500),
        st.none() | st.integers(0, 300),
        st.integers(0, 50),
    ),
    max_size=8,
    unique_by=lambda one: one.clock,
)


@given(exposures, reasons, st.integers(0, 700), st.randoms(use_true_random=False))
def test_seconds_by_cause_and_unexplained_add_up(
    taken: list[Taken], said: list[Reason], minute: int, random: Random
) -> None:
    now = at(minute)
    gaps = gaps_of(*taken, now=now)
    lost = time_lost(said, gaps, now)
    assert lost == time_lost(random.sample(said, len(said)), gaps, now)
    assert sum(lost.by_cause.values()) + lost.unexplained == lost.total
    assert lost.unexplained >= 0
    assert all(seconds > 0 for seconds in lost.by_cause.values())
    lengths = [gap.span(now).duration for gap in gaps]
    assert lost.total == sum(one.total_seconds() for one in lengths if one is not None)


@given(reasons)
def test_every_moment_goes_to_the_latest_that_spoke_of_it(said: list[Reason]) -> None:
    gaps = gaps_of()
    lost = time_lost(said, gaps, LATER)
    expected: dict[str, float] = {}
    for minute in range(480):
        moment = Span(at(minute), at(minute + 1))
        about = [one for one in said if one.span.overlaps(moment)]
        about = [one for one in about if not one.span.is_moment]
        if about:
            latest = max(about, key=lambda one: one.clock)
            expected[latest.cause] = expected.get(latest.cause, 0) + 60
    assert lost.by_cause == expected
