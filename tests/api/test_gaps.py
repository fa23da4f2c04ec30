"""Gaps over HTTP: where they lie, what is said about them, where the time went."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from annolog.domain.instruments import SHIPPED
from annolog.domain.nights import edges
from tests.support.nights import (
    DAY,
    INSTRUMENT,
    NIGHT,
    announce,
    at,
    decoded,
    gap,
    held,
    key,
    stamp,
    taken,
)
from tests.support.service import Service

running = pytest.fixture(held, name="annolog")

_SITE = SHIPPED[INSTRUMENT].site
assert _SITE is not None
EDGES = edges(_SITE, DAY)


async def gaps_of(annolog: Service) -> dict[str, Any]:
    return decoded(await annolog.get("/exposures/gaps", **NIGHT))


def texts(shown: dict[str, Any]) -> list[list[str]]:
    return [[one["text"] for one in each["annotations"]] for each in shown["gaps"]]


def spans(shown: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(one["key"], one["begin"], one["end"]) for one in shown["gaps"]]


EVENING, MORNING = stamp(EDGES.evening), stamp(EDGES.morning)


async def test_gaps_are_first_last_and_between(annolog: Service) -> None:
    await announce(
        annolog,
        taken(1, "02:00", "02:01"),
        taken(2, "02:02", "03:10"),
        taken(3, "05:00", "06:00"),
    )
    shown = await gaps_of(annolog)
    assert spans(shown) == [
        (gap(None), EVENING, stamp(at("02:00"))),
        (gap(2), stamp(at("03:10")), stamp(at("05:00"))),
        (gap(3), stamp(at("06:00")), MORNING),
    ]
    assert [one["after"] for one in shown["gaps"]] == [None, key(2), key(3)]
    assert shown["edges"] == {"evening": EVENING, "morning": MORNING}
    lost = shown["time_lost"]
    length = (EDGES.morning - EDGES.evening) / timedelta(seconds=1)
    assert lost["total"] == pytest.approx(length - 2 * 60 - 68 * 60 - 3600)
    assert (lost["by_cause"], lost["unexplained"]) == ({}, lost["total"])


async def test_the_last_gap_is_open_while_the_night_goes_on(annolog: Service) -> None:
    await announce(annolog, taken(1, "01:05", "03:10"))
    annolog.runtime.clock = lambda: at("03:40")
    shown = await gaps_of(annolog)
    last = shown["gaps"][-1]
    assert (last["key"], last["open"], last["end"]) == (gap(1), True, None)
    assert last["time_lost"]["total"] == 1800
    annolog.runtime.clock = lambda: at("03:11")
    assert gap(1) not in [one["key"] for one in (await gaps_of(annolog))["gaps"]]


async def test_a_night_without_exposures_is_one_gap(annolog: Service) -> None:
    shown = await gaps_of(annolog)
    assert spans(shown) == [(gap(None), EVENING, MORNING)]
    annolog.runtime.clock = lambda: datetime(2025, 11, 19, 13, tzinfo=UTC)
    assert (await gaps_of(annolog))["gaps"] == []


async def test_bias_frames_lie_inside_a_gap(annolog: Service) -> None:
    await announce(
        annolog,
        taken(1, "00:15", "03:10"),
        taken(2, "04:00", "04:01", "bias"),
        taken(3, "04:02", "04:03", "bias"),
        taken(4, "05:00", "08:50"),
    )
    (only,) = (await gaps_of(annolog))["gaps"]
    assert (only["key"], only["inside"]) == (gap(1), [key(2), key(3)])


async def test_a_fault_and_then_clouds_are_counted_once(annolog: Service) -> None:
    await announce(
        annolog,
        taken(1, "00:15", "03:10"),
        taken(2, "03:40", "03:41", "dark"),
        taken(3, "05:00", "07:00"),
    )
    await annolog.say(gap(1), text="mount fault", cause="fault")
    await annolog.say(
        gap(1),
        by="ann",
        text="the same, from the other chair",
        cause="fault",
        observed_at={"begin": stamp(at("03:20")), "end": stamp(at("05:30"))},
    )
    await annolog.say(gap(3), text="clouds", cause="weather")
    await annolog.say(gap(3), text="still clouds")
    shown = await gaps_of(annolog)
    assert texts(shown) == [
        ["mount fault", "the same, from the other chair"],
        ["clouds", "still clouds"],
    ]
    rest = (EDGES.morning - at("07:00")) / timedelta(seconds=1)
    assert shown["time_lost"] == {
        "by_cause": {"fault": 110 * 60, "weather": pytest.approx(rest)},
        "unexplained": 0,
        "total": pytest.approx(110 * 60 + rest),
    }


async def test_a_late_record_splits_a_gap_and_words_show_on_both(
    annolog: Service,
) -> None:
    await announce(annolog, taken(1, "00:15", "03:10"), taken(3, "05:00", "08:50"))
    await annolog.say(gap(1), text="all of it", cause="fault")
    await annolog.say(
        gap(1),
        text="only its end",
        observed_at={"begin": stamp(at("04:50")), "end": stamp(at("05:00"))},
    )
    await announce(annolog, taken(2, "04:00", "04:10"))
    shown = await gaps_of(annolog)
    assert [one["key"] for one in shown["gaps"]] == [gap(1), gap(2)]
    assert texts(shown) == [["all of it"], ["all of it", "only its end"]]
    assert shown["time_lost"]["by_cause"] == {"fault": 100 * 60}


async def test_what_turns_out_to_be_a_bias_merges_two_gaps(annolog: Service) -> None:
    await announce(
        annolog,
        taken(1, "00:15", "03:10"),
        taken(2, "04:00", "04:01"),
        taken(3, "05:00", "08:50"),
    )
    await annolog.say(gap(1), text="first")
    await annolog.say(gap(2), text="second", cause="idle")
    bias = taken(2, "04:00", "04:01", "bias")
    await announce(annolog, {**bias, "source": "butler", "event": "record"})
    shown = await gaps_of(annolog)
    assert [one["key"] for one in shown["gaps"]] == [gap(1)]
    assert texts(shown) == [["first", "second"]]
    assert shown["time_lost"]["by_cause"] == {"idle": 59 * 60}


async def test_words_that_overlap_no_gap_any_more_are_not_lost(
    annolog: Service,
) -> None:
    await announce(annolog, taken(1, "00:15", "03:10"))
    await annolog.say(
        gap(1),
        text="a pause",
        observed_at={"begin": stamp(at("03:20")), "end": stamp(at("03:30"))},
    )
    await announce(annolog, taken(2, "03:11", "08:50"))
    shown = await gaps_of(annolog)
    assert (shown["gaps"], [one["text"] for one in shown["elsewhere"]]) == (
        [],
        ["a pause"],
    )


async def test_retracted_words_explain_nothing(annolog: Service) -> None:
    said = await annolog.say(gap(None), text="rain", cause="weather")
    assert (await gaps_of(annolog))["time_lost"]["unexplained"] == 0
    await annolog.retract(said)
    shown = await gaps_of(annolog)
    assert (shown["gaps"][0]["annotations"], shown["time_lost"]["by_cause"]) == ([], {})


async def test_cancelled_exposures_make_no_gaps(annolog: Service) -> None:
    fact = taken(1, "03:00", "03:01")
    await announce(annolog, fact, {**fact, "event": "cancel"})
    assert spans(await gaps_of(annolog)) == [(gap(None), EVENING, MORNING)]


async def test_without_a_night_there_are_no_gaps_to_list(annolog: Service) -> None:
    answer = await annolog.get("/exposures/gaps", instrument=INSTRUMENT)
    assert decoded(answer, 422)["errors"][0]["pointer"] == "?day_obs"
