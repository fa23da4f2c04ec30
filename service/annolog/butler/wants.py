"""What a rule wants: the datasets, and what stands in the way of some of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from lsst.daf.butler import DatasetRef, DatasetType
from lsst.utils.iteration import chunk_iterable

from annolog.butler import reach, setfiles
from annolog.butler.flagged import Flagged
from annolog.butler.reach import Reach
from annolog.butler.rules import FlaggedRule, SetRule, UsableRule
from annolog.butler.search import Bounds, DataId, Repository


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two datasets of one type and data ID, of which a collection holds one.

    Attributes
    ----------
    dataset_type
        Their type.
    data_id
        Their data ID, by dimension.
    kept, left
        The one that is in the collection, and the one that is not.
    """

    dataset_type: str
    data_id: DataId
    kept: UUID
    left: UUID


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A data ID of a set for which there is no dataset here.

    Attributes
    ----------
    dataset_type
        What was looked for.
    data_id
        As the set has it.
    """

    dataset_type: str
    data_id: DataId


def of_rule(
    repository: Repository,
    flagged: Flagged,
    rule: FlaggedRule | UsableRule | SetRule,
    folder: Path,
) -> tuple[list[DatasetRef], list[Unresolved]]:
    """Find the datasets that a rule wants.

    Parameters
    ----------
    repository
        Where they are.
    flagged
        What annolog says.
    rule
        What is wanted.
    folder
        Where the files of sets are found from.

    Returns
    -------
    wanted : list of DatasetRef
        In the order in which one is preferred to another of its data ID.
    unresolved : list of Unresolved
        What a set names besides.

    Raises
    ------
    AnnologError
        If the rule cannot be followed here.
    """
    kinds = [repository.butler.get_dataset_type(name) for name in rule.dataset_types]
    match rule:
        case SetRule():
            return _of_set(
                repository, setfiles.rows_of(flagged, rule, folder), rule, kinds
            )
        case UsableRule():
            rows = _excluded(flagged, rule, folder)
            reached = reach.of(repository.butler, flagged, rule, rows)
            found = [
                ref
                for kind in kinds
                for ref in repository.within(
                    kind, rule.source, repository.bounds(rule, kind)
                )
                if not reached.holds(ref)
            ]
            return found, []
        case FlaggedRule():
            reached = reach.of(repository.butler, flagged, rule)
            named = _known(repository, reached)
            return [
                ref
                for kind in kinds
                for ref in _flagged(repository, rule, kind, reached, named)
            ], []


def _excluded(flagged: Flagged, rule: UsableRule, folder: Path) -> list[DataId]:
    """Give the rows of all sets that leave datasets out."""
    return [
        row
        for one in rule.sets
        for row in setfiles.rows_of(flagged, one, folder, rule.instrument)
    ]


def _known(repository: Repository, reached: Reach) -> list[DatasetRef]:
    """Give the datasets of which something is said and that are here."""
    return [
        ref
        for some in chunk_iterable(sorted(reached.datasets), repository.upload)
        for ref in repository.butler.get_many_datasets(some)
    ]


def _flagged(
    repository: Repository,
    rule: FlaggedRule,
    kind: DatasetType,
    reached: Reach,
    named: Sequence[DatasetRef],
) -> Iterator[DatasetRef]:
    """Find what is reached without reading all that is not."""
    bounds = repository.bounds(rule, kind)
    own = [dict(ref.dataId.required) for ref in named if ref.datasetType == kind]
    # Each collection by itself: what is flagged in the second one is flagged, whether
    # or not the first has something of its data ID.
    for source in rule.source:
        for piece in _pieces(kind, reached, bounds):
            found = repository.within(kind, [source], piece)
            yield from (ref for ref in found if reached.holds(ref))
        refs, _ = repository.named(kind, [source], own, bounds)
        yield from (ref for ref in refs if ref.id in reached.datasets)


def _pieces(kind: DatasetType, reached: Reach, bounds: Bounds) -> Iterator[Bounds]:
    has = kind.dimensions.required
    for dimension in ("exposure", "visit"):
        if dimension not in has:
            continue
        among = f"{dimension} IN (ids)"
        for some in chunk_iterable(sorted(reached.ids(dimension)), reach.IDS):
            yield bounds.also(among, {"ids": list(some)})
        # By detector: one that was bad for months has that many of one, and not of all.
        parts = reached.parts(dimension) if "detector" in has else {}
        for detector, ids in parts.items():
            for some in chunk_iterable(ids, reach.IDS):
                where = f"detector = {detector} AND {among}"
                yield bounds.also(where, {"ids": list(some)})


def _of_set(
    repository: Repository,
    rows: Sequence[DataId],
    rule: SetRule,
    kinds: Iterable[DatasetType],
) -> tuple[list[DatasetRef], list[Unresolved]]:
    found: list[DatasetRef] = []
    unresolved: list[Unresolved] = []
    for kind in kinds:
        refs, missing = repository.named(kind, rule.source, rows)
        found += refs
        unresolved += [Unresolved(kind.name, row) for row in missing]
    return found, unresolved


def one_each(
    wanted: Iterable[DatasetRef],
) -> tuple[dict[UUID, DatasetRef], tuple[Conflict, ...]]:
    """Keep the first dataset of each type and data ID.

    Parameters
    ----------
    wanted
        In the order of preference.

    Returns
    -------
    kept : dict
        Those that a collection can hold together, by id.
    conflicts : tuple of Conflict
        Those that it cannot hold beside them.
    """
    first: dict[Any, DatasetRef] = {}
    conflicts = {}
    for ref in wanted:
        there = first.setdefault((ref.datasetType.name, ref.dataId), ref)
        if there.id != ref.id:
            data_id: DataId = dict(ref.dataId.required)
            name = ref.datasetType.name
            conflicts[ref.id] = Conflict(name, data_id, there.id, ref.id)
    return {ref.id: ref for ref in first.values()}, tuple(conflicts.values())
