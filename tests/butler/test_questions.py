"""What tables cannot answer in whole they refuse, and say what they hold."""

from collections.abc import Callable
from typing import Any

import pytest

from annolog.butler.exporter import Exporter
from annolog.butler.questions import (
    ScopeError,
    UnknownFlagError,
    UnknownInstrumentError,
)
from annolog.butler.reader import Reader
from annolog.butler.scopes import Scope
from annolog.butler.setrows import UnknownSetError
from annolog.domain.snapshots import Weighing
from tests.support.butlers import CAMERA, MadeButler
from tests.support.snapshots import TAKEN, Lines

FIRST = 2026011500001
LATER = 2026011600001


def exported(made: MadeButler, scope: Scope, *more: Weighing) -> Reader:
    """Export what a service gives where an exposure of the 15th is junk."""
    lines = Lines()
    lines.say(f"exposure:{CAMERA}/{FIRST}", tags=["donuts"])
    exporter = Exporter(made.butler, scope, now=lambda: TAKEN)
    exporter.export(lines.head, [*lines.lines, *more])
    return Reader(made.butler)


@pytest.fixture
def made(fresh: MadeButler) -> MadeButler:
    fresh.add_instrument("LSSTComCam")
    fresh.take([1, 2])
    fresh.take([1], day_obs=20260116)
    return fresh


QUESTIONS: dict[str, Callable[[Reader, str], Any]] = {
    "exposures": lambda said, camera: said.exposures(camera, ["junk"]),
    "visits": lambda said, camera: said.visits(camera, ["junk"]),
    "detectors": lambda said, camera: said.detectors(camera, ["junk"]),
    "lasting": lambda said, camera: said.lasting(camera, ["junk"]),
    "of_exposures": lambda said, camera: said.of_exposures(camera, [FIRST]),
    "of_visits": lambda said, camera: said.of_visits(camera, [FIRST]),
    "of_detectors": lambda said, camera: said.of_detectors(camera, [FIRST]),
    "statements": lambda said, camera: said.statements_of_exposures(camera, [FIRST]),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_instruments_that_were_not_exported_are_refused(
    made: MadeButler, question: str
) -> None:
    said = exported(made, Scope(instrument=(CAMERA,)))
    with pytest.raises(ScopeError, match="the tables hold LSSTCam only, and LSSTComC"):
        QUESTIONS[question](said, "LSSTComCam")
    QUESTIONS[question](said, CAMERA)


@pytest.mark.parametrize("question", QUESTIONS)
def test_instruments_that_nobody_knows_are_refused(
    made: MadeButler, question: str
) -> None:
    said = exported(made, Scope())
    words = "no instrument 'LSSTCan'; did you mean LSSTCam.*there are LSSTCam, LSSTComC"
    with pytest.raises(UnknownInstrumentError, match=words):
        QUESTIONS[question](said, "LSSTCan")
    QUESTIONS[question](said, "LSSTComCam")


def test_an_instrument_that_was_asked_for_may_come_later(made: MadeButler) -> None:
    said = exported(made, Scope(instrument=(CAMERA, "LATISS")))
    assert said.exposures("LATISS", ["junk"]) == set()


def test_nights_that_were_not_exported_are_refused(made: MadeButler) -> None:
    said = exported(made, Scope(day_obs_min=20260115, day_obs_max=20260115))
    held = "the tables hold nights from 20260115 to 20260115 only, and"
    for nights, asked in (
        (None, "all nights"),
        ((20260115, None), "nights from 20260115"),
        ((None, 20260115), "nights to 20260115"),
        ((20260115, 20260116), "nights from 20260115 to 20260116"),
    ):
        with pytest.raises(ScopeError, match=f"{held} {asked} are asked for"):
            said.exposures(CAMERA, ["junk"], nights=nights)
    only = (20260115, 20260115)
    assert said.exposures(CAMERA, ["junk"], nights=only) == {FIRST}
    # What is said of a detector for a time is of no night, and all there.
    assert said.lasting(CAMERA, ["junk"]) == {}


def test_ids_say_of_which_night_they_are(made: MadeButler) -> None:
    made.add_instrument("OddCam")
    said = exported(made, Scope(day_obs_min=20260115, day_obs_max=20260115))
    assert set(said.of_exposures(CAMERA, [FIRST])) == {FIRST}
    assert said.of_exposures(CAMERA, []) == {}
    for some in ([LATER], [FIRST, LATER], [7]):
        with pytest.raises(ScopeError, match="nights"):
            said.of_exposures(CAMERA, some)
    with pytest.raises(ScopeError, match="all nights are asked for"):
        said.of_exposures("OddCam", [FIRST])
    nights = (20260115, 20260115)
    assert said.of_exposures("OddCam", [7], nights=nights) == {}


def test_flags_that_nobody_knows_are_refused_with_the_nearest(made: MadeButler) -> None:
    own = Weighing(
        "flag",
        "saturated",
        {"name": "saturated", "severity": 300, "title": "s", "description": ""},
    )
    said = exported(made, Scope(), own)
    for ask in (
        lambda flags: said.exposures(CAMERA, flags),
        lambda flags: said.lasting(CAMERA, flags),
        said.datasets,
    ):
        words = "the flag 'jnuk' is not known; did you mean junk.*there are .*saturated"
        with pytest.raises(UnknownFlagError, match=words):
            ask(["junk", "jnuk"])
        assert not ask(["saturated"])


def test_a_flag_whose_definition_was_lost_is_known_by_what_has_it(
    made: MadeButler,
) -> None:
    lines = Lines()
    lines.say(f"exposure:{CAMERA}/{FIRST}", flag="odd")
    lines.say(f"record:detector/instrument={CAMERA}/detector=1", flag="strange")
    made.add_detectors([1])
    exporter = Exporter(made.butler, Scope(), now=lambda: TAKEN)
    exporter.export(lines.head, lines.lines)
    said = Reader(made.butler)
    assert said.exposures(CAMERA, ["odd"]) == {FIRST}
    assert said.detectors(CAMERA, ["odd"]) == set()
    assert list(said.lasting(CAMERA, ["strange"])) == [1]


def test_one_text_is_not_taken_letter_by_letter(made: MadeButler) -> None:
    said = exported(made, Scope())
    with pytest.raises(TypeError, match=r'flags=\["junk"\]'):
        said.exposures(CAMERA, "junk")
    with pytest.raises(TypeError, match=r'tags=\["donuts"\]'):
        said.datasets([], "donuts")


def test_tags_are_open(made: MadeButler) -> None:
    said = exported(made, Scope())
    assert said.exposures(CAMERA, [], ["donut"]) == set()
    assert said.tags() == {"donuts"}


def test_a_set_that_was_not_exported_is_refused_with_the_way(made: MadeButler) -> None:
    said = exported(made, Scope())
    with pytest.raises(UnknownSetError, match="no set drp1 in the tables: export with"):
        said.members("drp1")
    with pytest.raises(UnknownSetError, match=r"no set drp1 with the version 2 in"):
        said.demand_set("drp1", 2)
