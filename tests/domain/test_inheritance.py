"""What is said of one target and holds for another."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.inheritance import (
    Direction,
    Inherited,
    Relations,
    inherited,
    reached_from,
)
from annolog.domain.instruments import SHIPPED
from annolog.domain.targets import parse_key
from annolog.domain.times import Span

FIRST = "exposure:LSSTCam/2026111900123"
SECOND = "exposure:LSSTCam/2026111900124"
VISIT = "record:visit/instrument=LSSTCam/visit=2026111900123"
OTHER_VISIT = "record:visit/instrument=LSSTCam/visit=2026111900124"
DETECTOR = "detector:LSSTCam/2026111900123/94"
CHIP = "record:detector/instrument=LSSTCam/detector=94"
NIGHT = "night:LSSTCam/20261119"
PART = "night:Simonyi/20261119"
BEGIN = datetime(2026, 11, 20, 3, tzinfo=UTC)

SNAPS = Relations(
    visits_of={FIRST: [VISIT], SECOND: [VISIT]},
    exposures_of={VISIT: [FIRST, SECOND]},
    spans={FIRST: Span(BEGIN, BEGIN + timedelta(seconds=30))},
    nights={FIRST: 20261119, SECOND: 20261119},
    instruments=SHIPPED,
)


def sources(key: str, relations: Relations = SNAPS) -> dict[str, Inherited]:
    return {one.source: one for one in inherited(parse_key(key), relations)}


def test_visit_inherits_from_its_snaps_and_they_from_it() -> None:
    assert set(sources(VISIT)) >= {FIRST, SECOND}
    assert VISIT in sources(FIRST)
    assert VISIT in sources(SECOND)


def test_bad_snap_does_not_spoil_its_sister() -> None:
    assert FIRST not in sources(SECOND)
    assert not reached_from(parse_key(SECOND), parse_key(FIRST), SNAPS)


def test_detector_inherits_from_its_exposure_and_the_visit() -> None:
    found = sources(DETECTOR)
    assert set(found) >= {FIRST, VISIT, CHIP}
    assert SECOND not in found
    assert [step.relation for step in found[VISIT].path] == ["visit", "exposure"]
    assert [step.target for step in found[VISIT].path] == [FIRST, DETECTOR]


def test_exposure_inherits_nothing_from_its_detectors() -> None:
    assert not {DETECTOR, CHIP} & set(sources(FIRST))


def test_night_gives_words_only_also_that_of_a_part() -> None:
    found = sources(FIRST)
    assert found[NIGHT].words_only
    assert found[PART].words_only
    assert not found[VISIT].words_only
    assert sources(DETECTOR)[NIGHT].words_only
    assert "night:AuxTel/20261119" not in found


def test_down_then_up_is_chained() -> None:
    # One exposure in two visits: what is said of the one visit comes down to the
    # exposure and up to the other.
    relations = Relations(
        visits_of={FIRST: [VISIT, OTHER_VISIT]},
        exposures_of={VISIT: [FIRST], OTHER_VISIT: [FIRST]},
        nights={FIRST: 20261119},
        instruments=SHIPPED,
    )
    found = sources(OTHER_VISIT, relations)
    assert [step.direction for step in found[VISIT].path] == [
        Direction.DOWN,
        Direction.UP,
    ]
    assert found[NIGHT].words_only


@pytest.mark.parametrize(
    ("begin", "end", "holds"),
    [
        (-1_000_000, None, True),
        (None, None, True),
        (-100, 0, False),
        (-100, 1, True),
        (29, None, True),
        (30, None, False),
        (None, 10, True),
    ],
)
def test_bad_detector_holds_for_exposures_that_its_time_overlaps(
    begin: int | None, end: int | None, *, holds: bool
) -> None:
    def moment(seconds: int | None) -> datetime | None:
        return None if seconds is None else BEGIN + timedelta(seconds=seconds)

    chip = sources(DETECTOR)[CHIP]
    assert chip.holds(Span(moment(begin), moment(end))) == holds


def test_statement_without_a_time_holds_always() -> None:
    assert sources(DETECTOR)[CHIP].holds(None)
    late = Span(BEGIN + timedelta(days=9), None)
    assert sources(DETECTOR)[FIRST].holds(late)


def test_exposure_of_unknown_time_overlaps_nothing() -> None:
    chip = sources(DETECTOR, Relations())[CHIP]
    assert chip.holds(None)
    assert not chip.holds(Span(None, None))


@pytest.mark.parametrize(
    "key",
    [
        "dataset:018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f",
        "gap:LSSTCam/20261119/after=start",
        "night:LSSTCam/20261119",
        "collection:main/a",
        "set:badlist@3",
        CHIP,
    ],
)
def test_target_without_relations_inherits_nothing(key: str) -> None:
    assert inherited(parse_key(key), SNAPS) == ()


exposure_keys = [f"exposure:LSSTCam/202611190000{n}" for n in range(1, 6)]
visit_keys = [f"record:visit/instrument=LSSTCam/visit={n}" for n in range(1, 5)]


@given(
    st.sets(st.tuples(st.sampled_from(visit_keys), st.sampled_from(exposure_keys))),
    st.sampled_from(exposure_keys + visit_keys),
)
def test_no_path_goes_down_after_it_went_up(
    pairs: set[tuple[str, str]], asking: str
) -> None:
    relations = Relations(
        visits_of={e: [v for v, x in pairs if x == e] for e in exposure_keys},
        exposures_of={v: [e for x, e in pairs if x == v] for v in visit_keys},
    )
    found = inherited(parse_key(asking), relations)
    for one in found:
        ways = [step.direction for step in one.path]
        assert ways == sorted(ways)
        assert one.path[0].source == one.source != asking
        assert one.path[-1].target == asking
        joints = zip(one.path, one.path[1:], strict=False)
        assert all(step.target == after.source for step, after in joints)
    keys = {one.source for one in found}
    assert len(keys) == len(found)
    if asking in exposure_keys:
        assert keys == {v for v, e in pairs if e == asking}
    else:
        mine = {e for v, e in pairs if v == asking}
        assert keys == (mine | {v for v, e in pairs if e in mine}) - {asking}
