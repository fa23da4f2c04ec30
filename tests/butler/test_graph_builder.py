"""Processing leaves out what is flagged: seen in lsst-pipe-base's own graph builder."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.table import Table

from annolog.butler import collections, expressions, rulefiles
from annolog.butler.search import UPLOAD_SQLITE, Repository
from tests.support.butlers import CAMERA
from tests.support.graphs import Built, build, pairs
from tests.support.tagged_butlers import HeldButler, InMemory

RAWS, USABLE = "LSSTCam/raw/all", "usable/LSSTCam/raw/all"

NOW = datetime(2026, 1, 16, 13, tzinfo=UTC)

RULES = rulefiles.checked(
    "rules.yaml",
    {
        "version": 1,
        "rules": {
            "usable": {
                "sort": "usable",
                "instrument": CAMERA,
                "flags": ["junk"],
                "inherited": True,
                "source": RAWS,
                "dataset_types": "raw",
                "nights": {"first": 20260115},
            }
        },
    },
)

Night = tuple[HeldButler, list[int]]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """Give four exposures of two detectors; the first two are one visit."""
    held = HeldButler.create(tmp_path / "repo")
    one, two, three, four = held.made.take(range(1, 5))
    held.made.define_visits({one: [one, two], three: [three], four: [four]})
    held.add("raw", RAWS, [one, two, three, four])
    return held, [one, two, three, four]


def refresh(held: HeldButler, said: InMemory) -> None:
    repository = Repository(held.butler, UPLOAD_SQLITE)
    for done in collections.refresh(repository, said, RULES, lambda: NOW):
        assert done.error is None


def some_junk(exposures: list[int]) -> InMemory:
    """Say that the third exposure is junk, and a detector of the fourth."""
    return InMemory(
        exposures_by={"junk": {exposures[2]}},
        detectors_by={"junk": {(exposures[3], 1)}},
    )


def test_a_graph_is_built_with_flagged_inputs_before_and_without_them_after(
    night: Night,
) -> None:
    held, exposures = night
    one, two, three, four = exposures
    whole = Built(pairs(exposures), {one, three, four})
    assert build(held.uri, [RAWS]) == whole
    refresh(held, InMemory())
    assert build(held.uri, [USABLE]) == whole
    refresh(held, some_junk(exposures))
    assert build(held.uri, [USABLE]) == Built(
        pairs([one, two]) | {(four, 0)}, {one, four}
    )
    assert build(held.uri, [RAWS]) == whole
    refresh(held, InMemory())
    assert build(held.uri, [USABLE]) == whole


def test_a_source_behind_its_usable_part_brings_flagged_inputs_back(
    night: Night,
) -> None:
    held, exposures = night
    refresh(held, some_junk(exposures))
    assert build(held.uri, [USABLE, RAWS]).raws == pairs(exposures)


def test_a_visit_with_one_bad_snap_is_built_of_the_other(night: Night) -> None:
    held, (one, two, three, four) = night
    refresh(held, InMemory(exposures_by={"junk": {two}}))
    assert build(held.uri, [USABLE]) == Built(
        pairs([one, three, four]), {one, three, four}
    )


@pytest.mark.parametrize("literal", [False, True])
def test_an_expression_leaves_out_the_same_in_a_graph(
    night: Night, *, literal: bool
) -> None:
    held, exposures = night
    said = some_junk(exposures)
    repository = Repository(held.butler, UPLOAD_SQLITE)
    [rule] = RULES.rules
    said_so = expressions.write(repository, said, rule, "raw", literal=literal)
    refresh(held, said)
    bind = dict(said_so.bind)
    by_expression = build(held.uri, [RAWS], where=said_so.where, bind=bind)
    assert by_expression == build(held.uri, [USABLE])


def test_a_table_of_data_ids_keeps_a_graph_to_its_rows(night: Night) -> None:
    held, (one, two, *_) = night
    table = Table({"instrument": [CAMERA] * 2, "exposure": [one, two]})
    assert build(held.uri, [RAWS], data_id_tables=[table]) == Built(
        pairs([one, two]), {one}
    )
