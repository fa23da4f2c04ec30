"""Expressions of the butler's language: what they say, and where they end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from annolog.butler import collections, expressions, rulefiles
from annolog.butler.expressions import BOUND, LITERAL, Expression
from annolog.butler.rules import FlaggedRule, Rules, SetRule, UsableRule
from annolog.butler.search import UPLOAD_SQLITE, Repository
from annolog.domain.errors import InvalidError
from tests.support.butlers import CAMERA
from tests.support.tagged_butlers import TAKEN, HeldButler, InMemory

RAWS = "LSSTCam/raw/all"
USABLE: Mapping[str, object] = {
    "sort": "usable",
    "instrument": CAMERA,
    "flags": ["junk"],
    "inherited": True,
    "source": RAWS,
    "dataset_types": ["raw", "preliminary_visit_image", "night_report"],
    "nights": {"first": 20260115},
}
FLAGGED: Mapping[str, object] = {
    "sort": "flagged",
    "instrument": CAMERA,
    "flag": "junk",
    "inherited": True,
    "source": RAWS,
    "dataset_types": "raw",
}


class Night:
    """Six exposures of two detectors; the first two are a visit."""

    def __init__(self, root: Path) -> None:
        self.held = HeldButler.create(root)
        self.exposures = self.held.made.take(range(1, 7))
        one, two, three, _, five, _ = self.exposures
        self.held.made.define_visits({one: [one, two], three: [three], five: [five]})
        self.raws = self.held.add("raw", RAWS, self.exposures)
        self.held.add("preliminary_visit_image", RAWS, [one, three, five])
        self.repository = Repository(self.held.butler, UPLOAD_SQLITE)

    def write(
        self,
        said: InMemory,
        fields: Mapping[str, object],
        kind: str = "raw",
        *,
        literal: bool = False,
    ) -> Expression:
        rule = a_rule(fields)
        return expressions.write(self.repository, said, rule, kind, literal=literal)

    def found(self, written: Expression) -> set[Any]:
        refs = self.held.butler.query_datasets(
            written.dataset_type,
            RAWS,
            where=written.where,
            bind=dict(written.bind),
            limit=None,
            explain=False,
        )
        return {ref.id for ref in refs}

    def filled(self, said: InMemory, fields: Mapping[str, object]) -> set[Any]:
        wanted = Rules("rules.yaml", (a_rule(fields),))
        [done] = collections.refresh(self.repository, said, wanted, lambda: TAKEN)
        return self.held.members(done.collection)


def a_rule(fields: Mapping[str, object]) -> FlaggedRule | UsableRule | SetRule:
    content = {"version": 1, "rules": {"rule": fields}}
    return rulefiles.checked("rules.yaml", content).rules[0]


@pytest.fixture(scope="module")
def night(butlers: Path) -> Night:
    return Night(butlers / "expressions")


@pytest.fixture
def said(night: Night) -> InMemory:
    _, second, third, fourth, *_ = night.exposures
    return InMemory(
        exposures_by={"junk": {second, third}},
        detectors_by={"junk": {(fourth, 0), (fourth, 1), (third, 1)}},
    )


def test_an_expression_says_what_it_leaves_out(night: Night, said: InMemory) -> None:
    written = night.write(said, USABLE)
    _, second, third, fourth, *_ = night.exposures
    assert written.where == (
        "instrument = 'LSSTCam' AND (exposure.day_obs >= 20260115)"
        " AND NOT (exposure IN (flagged_exposures))"
        " AND NOT (detector = 0 AND exposure IN (flagged_exposures_0))"
        " AND NOT (detector = 1 AND exposure IN (flagged_exposures_1))"
    )
    assert written.bind == {
        "flagged_exposures": [second, third],
        "flagged_exposures_0": [fourth],
        "flagged_exposures_1": [fourth],
    }
    assert written.values == 4


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("kind", ["raw", "preliminary_visit_image"])
@pytest.mark.parametrize("fields", [USABLE, FLAGGED], ids=["usable", "flagged"])
def test_an_expression_finds_what_its_collection_holds(
    night: Night,
    said: InMemory,
    fields: Mapping[str, object],
    kind: str,
    *,
    literal: bool,
) -> None:
    narrow = {**fields, "dataset_types": kind, "collection": f"here/{kind}"}
    written = night.write(said, narrow, kind, literal=literal)
    assert (written.bind == {}) is literal
    found = night.found(written)
    assert found == night.filled(said, narrow)
    assert found


def test_what_nothing_is_said_of_needs_no_ids(night: Night) -> None:
    assert len(night.found(night.write(InMemory(), USABLE))) == 12
    assert night.found(night.write(InMemory(), FLAGGED)) == set()
    by_visit = {**FLAGGED, "dataset_types": "preliminary_visit_image"}
    nothing = night.write(InMemory(), by_visit, "preliminary_visit_image")
    assert night.found(nothing) == set()


def test_an_expression_at_its_limit_is_answered_and_beyond_it_refused(
    night: Night,
) -> None:
    first = night.exposures[0]
    many = [first + number for number in range(10, 10 + LITERAL)]
    at_limit = night.write(InMemory(exposures_by={"junk": many}), USABLE, literal=True)
    assert at_limit.values == LITERAL
    assert len(night.found(at_limit)) == 12
    beyond = InMemory(exposures_by={"junk": [*many, first]})
    with pytest.raises(InvalidError) as refused:
        night.write(beyond, USABLE, literal=True)
    assert refused.value.detail == (
        "the expression would name 501 ids, and 500 is what every database takes;"
        " without --literal it may have 60000; fill usable/LSSTCam/raw/all by annologd"
        " export collections, and use that"
    )
    assert len(night.found(night.write(beyond, USABLE))) == 10


def test_bound_ids_have_a_limit_too(night: Night) -> None:
    far = range(3026011500000, 3026011500000 + BOUND)
    at_limit = night.write(InMemory(exposures_by={"junk": far}), USABLE)
    assert len(night.found(at_limit)) == 12
    with pytest.raises(InvalidError, match="60001 ids, and 60000 is what"):
        night.write(InMemory(exposures_by={"junk": [1, *far]}), USABLE)


def test_detectors_of_a_whole_camera_can_be_said(night: Night) -> None:
    first = night.exposures[0]
    every = {(first + number, number) for number in range(205)}
    written = night.write(InMemory(detectors_by={"junk": every}), USABLE, literal=True)
    assert len(night.found(written)) == 12 - 2


def test_what_an_expression_cannot_say_is_refused_with_the_way_that_works(
    night: Night,
) -> None:
    own = InMemory(datasets_by={"junk": {night.raws[0].id}})
    a_set = {"sort": "set", "set": "DRP1", "source": RAWS, "dataset_types": "raw"}
    nameless = {k: v for k, v in FLAGGED.items() if k != "instrument"}
    nameless["inherited"] = False
    for said, fields, kind, words in (
        (own, USABLE, "raw", "1 datasets of type raw are flagged by themselves"),
        (InMemory(), a_set, "raw", "download the set as ECSV"),
        (InMemory(), FLAGGED, "post_isr", "is not about post_isr; it is about raw"),
        (InMemory(), nameless, "raw", "exposures and visits are named by an"),
        (InMemory(), {**USABLE, "sets": [{"set": "x"}]}, "raw", "the rows of sets"),
        (InMemory(), USABLE, "night_report", "neither an exposure nor a visit"),
    ):
        with pytest.raises(InvalidError, match=words):
            night.write(said, fields, kind)
