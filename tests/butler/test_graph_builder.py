"""Processing leaves out what is flagged: seen in lsst-pipe-base's own graph builder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from lsst.daf.butler import Butler
from lsst.pipe.base.all_dimensions_quantum_graph_builder import (
    AllDimensionsQuantumGraphBuilder,
)
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.pipe.base.tests.mocks import (
    DynamicConnectionConfig,
    DynamicTestPipelineTask,
    DynamicTestPipelineTaskConfig,
)

from annolog.butler import collections, expressions, rules
from annolog.butler.search import UPLOAD_SQLITE, Repository
from tests.support.butlers import CAMERA
from tests.support.tagged_butlers import HeldButler, InMemory

RAWS, USABLE = "LSSTCam/raw/all", "usable/LSSTCam/raw/all"

NOW = datetime(2026, 1, 16, 13, tzinfo=UTC)

RULES = rules.checked(
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


@dataclass(frozen=True)
class Built:
    """What a graph would read, and of which visits it would make tables."""

    raws: set[tuple[int, int]]
    visits: set[int]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """Give four exposures of two detectors; the first two are one visit."""
    held = HeldButler.create(tmp_path / "repo")
    one, two, three, four = held.made.take(range(1, 5))
    held.made.define_visits({one: [one, two], three: [three], four: [four]})
    held.add("raw", RAWS, [one, two, three, four])
    return held, [one, two, three, four]


def build(held: HeldButler, source: Sequence[str], **more: Any) -> Built:  # noqa: ANN401 - of the builder's
    """Build the graph of two tasks: exposures are cleaned, visits summed up."""
    pipeline = PipelineGraph()
    by_exposure = ["instrument", "exposure", "detector"]
    for label, before, after, dimensions in (
        ("isr", "raw", "post_isr", by_exposure),
        ("sum", "post_isr", "visit_table", ["instrument", "visit"]),
    ):
        config: Any = DynamicTestPipelineTaskConfig()  # type: ignore[no-untyped-call]
        config.dimensions = dimensions
        config.inputs["input"] = _connection(before, by_exposure, several=True)
        config.outputs["output"] = _connection(after, dimensions)
        pipeline.add_task(label, DynamicTestPipelineTask, config)
    with Butler.from_config(held.uri, writeable=False) as butler:
        builder = AllDimensionsQuantumGraphBuilder(
            pipeline,
            butler,
            input_collections=list(source),
            output_run="u/jdoe/out",
            **more,
        )
        graph = builder.finish(attach_datastore_records=False).assemble()
    return Built(
        {
            (int(ids["exposure"]), int(ids["detector"]))
            for ids in graph.datasets_by_type["raw"]
        },
        {int(ids["visit"]) for ids in graph.quanta_by_task["sum"]},
    )


def _connection(
    name: str, dimensions: list[str], *, several: bool = False
) -> DynamicConnectionConfig:
    return DynamicConnectionConfig(  # type: ignore[no-untyped-call]
        dataset_type_name=name,
        dimensions=dimensions,
        storage_class="StructuredDataDict",
        mock_storage_class=False,
        multiple=several,
    )


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


def pairs(exposures: Iterable[int]) -> set[tuple[int, int]]:
    return {(exposure, part) for exposure in exposures for part in (0, 1)}


def test_a_graph_is_built_with_flagged_inputs_before_and_without_them_after(
    night: Night,
) -> None:
    held, exposures = night
    one, two, three, four = exposures
    whole = Built(pairs(exposures), {one, three, four})
    assert build(held, [RAWS]) == whole
    refresh(held, InMemory())
    assert build(held, [USABLE]) == whole
    refresh(held, some_junk(exposures))
    assert build(held, [USABLE]) == Built(pairs([one, two]) | {(four, 0)}, {one, four})
    assert build(held, [RAWS]) == whole
    refresh(held, InMemory())
    assert build(held, [USABLE]) == whole


def test_a_source_behind_its_usable_part_brings_flagged_inputs_back(
    night: Night,
) -> None:
    held, exposures = night
    refresh(held, some_junk(exposures))
    assert build(held, [USABLE, RAWS]).raws == pairs(exposures)


def test_a_visit_with_one_bad_snap_is_built_of_the_other(night: Night) -> None:
    held, (one, two, three, four) = night
    refresh(held, InMemory(exposures_by={"junk": {two}}))
    assert build(held, [USABLE]) == Built(pairs([one, three, four]), {one, three, four})


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
    by_expression = build(held, [RAWS], where=said_so.where, bind=bind)
    assert by_expression == build(held, [USABLE])


def test_a_table_of_data_ids_keeps_a_graph_to_its_rows(night: Night) -> None:
    held, (one, two, *_) = night
    table = Table({"instrument": [CAMERA] * 2, "exposure": [one, two]})
    assert build(held, [RAWS], data_id_tables=[table]) == Built(
        pairs([one, two]), {one}
    )
