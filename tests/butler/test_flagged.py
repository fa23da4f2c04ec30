"""What rules ask a snapshot: the tables of a butler, and memory, answer the same."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from annolog.butler import open_reader
from annolog.butler.flagged import Flagged
from annolog.domain.errors import AnnologError
from annolog.domain.times import Span
from tests.support.butlers import CAMERA
from tests.support.tagged_butlers import HeldButler, InMemory, exported

FIRST, SECOND = 2026011500001, 2026011500002
DAY = Span(datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 1, 16, tzinfo=UTC))
BEFORE = Span(datetime(2026, 1, 14, tzinfo=UTC), DAY.begin)
AFTER = Span(DAY.end, datetime(2026, 1, 17, tzinfo=UTC))


@pytest.fixture(scope="module")
def held(butlers: Path) -> HeldButler:
    held = HeldButler.create(butlers / "flagged")
    exposures = held.made.take(range(1, 3))
    held.made.define_visits({exposures[0]: exposures})
    held.add("raw", "LSSTCam/raw/all", exposures)
    return held


@pytest.fixture(scope="module")
def in_memory(held: HeldButler) -> InMemory:
    [raw, other, *_] = held.add("raw", "LSSTCam/raw/all", [FIRST])
    return InMemory(
        datasets_by={"junk": {raw.id}, "donuts": {other.id}},
        exposures_by={"junk": {FIRST}, "questionable": {SECOND}, "donuts": {SECOND}},
        detectors_by={"junk": {(SECOND, 1)}},
        visits_by={"junk": {FIRST}},
        lasting_by={"junk": {1: DAY}, "donuts": {2: Span(DAY.end, None)}},
        sets={"DRP1": [[row(FIRST)], [row(FIRST), row(SECOND)]]},
    )


def row(exposure: int) -> dict[str, int | str]:
    return {"instrument": CAMERA, "exposure": exposure}


@pytest.fixture(scope="module", params=["memory", "tables"])
def flagged(
    held: HeldButler, in_memory: InMemory, request: pytest.FixtureRequest
) -> Flagged:
    if request.param == "memory":
        return in_memory
    exported(held, in_memory)
    reader: Flagged = open_reader(held.butler)
    return reader


def test_what_has_any_of_the_flags_is_given(flagged: Flagged) -> None:
    assert flagged.exposures(CAMERA, ["junk"]) == {FIRST}
    assert flagged.exposures(CAMERA, ["junk", "questionable"]) == {FIRST, SECOND}
    assert flagged.detectors(CAMERA, ["junk"]) == {(SECOND, 1)}
    assert flagged.visits(CAMERA, ["junk"]) == {FIRST}
    assert len(flagged.datasets(["junk"])) == 1


def test_what_has_any_of_the_tags_is_given_too(flagged: Flagged) -> None:
    assert flagged.exposures(CAMERA, [], ["donuts"]) == {SECOND}
    assert flagged.exposures(CAMERA, ["junk"], ["donuts"]) == {FIRST, SECOND}
    assert len(flagged.datasets(["junk"], ["donuts"])) == 2


def test_what_has_none_is_not_given(flagged: Flagged) -> None:
    assert flagged.exposures(CAMERA, ["good"], ["trailed"]) == set()
    assert flagged.exposures(CAMERA, []) == set()
    assert flagged.datasets([]) == set()


def test_what_is_said_of_a_detector_is_given_with_its_time(flagged: Flagged) -> None:
    junk = flagged.lasting(CAMERA, ["junk"])
    assert {detector: one.spans for detector, one in junk.items()} == {1: (DAY,)}
    assert [junk[1].holds(one) for one in (BEFORE, DAY, AFTER)] == [False, True, False]
    donuts = flagged.lasting(CAMERA, [], ["donuts"])
    assert [donuts[2].holds(one) for one in (DAY, AFTER)] == [False, True]
    assert flagged.lasting(CAMERA, ["good"]) == {}


def test_a_snapshot_says_which_one_it_is(flagged: Flagged) -> None:
    assert flagged.number > 0
    assert flagged.taken_at.utcoffset() is not None


def test_a_set_gives_the_rows_of_a_version_or_of_the_latest(flagged: Flagged) -> None:
    assert flagged.members("DRP1", 1) == [row(FIRST)]
    assert flagged.members("DRP1") == [row(FIRST), row(SECOND)]
    for name, version in (("DRP2", None), ("DRP1", 3)):
        with pytest.raises(AnnologError):
            flagged.members(name, version)
