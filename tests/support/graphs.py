"""Graphs of quanta, as lsst-pipe-base itself builds them on a butler of the tests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Built:
    """What a graph would read, and of which visits it would make tables."""

    raws: set[tuple[int, int]]
    visits: set[int]


def build(uri: str, source: Sequence[str], **more: Any) -> Built:  # noqa: ANN401 - of the builder's
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
    with Butler.from_config(uri, writeable=False) as butler:
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


def pairs(exposures: Iterable[int]) -> set[tuple[int, int]]:
    return {(exposure, part) for exposure in exposures for part in (0, 1)}
