"""What a rule wants: the datasets, and what stands in the way of some of them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from lsst.daf.butler import DatasetRef, DatasetType
from lsst.utils.iteration import chunk_iterable

from annolog.butler import reach, setfiles
from annolog.butler.flagged import Flagged
from annolog.butler.reach import Reach
from annolog.butler.rules import FlaggedRule, SetRows, SetRule, UsableRule
from annolog.butler.search import Bounds, DataId, Repository
from annolog.domain.vocabulary import nearest

TAGS_NAMED = 8
"""Tags that are named at most where one is missing."""


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


def demand(flagged: Flagged, rule: FlaggedRule | UsableRule | SetRule) -> None:
    """Refuse a rule that asks a snapshot for more than it holds.

    Parameters
    ----------
    flagged
        What annolog says.
    rule
        What is wanted.

    Raises
    ------
    AnnologError
        If it cannot answer; it says what it holds.
    """
    if not isinstance(rule, SetRule) and (rule.flags or rule.tags):
        instrument = rule.instrument if rule.inherited else None
        flagged.demand(instrument, rule.flags, rule.tags, rule.night_range)
    sets = () if isinstance(rule, FlaggedRule) else _sets(rule)
    for one in sets:
        if one.file is None:
            flagged.demand_set(one.set, one.version)


def _sets(rule: UsableRule | SetRule) -> tuple[SetRows, ...]:
    return (rule,) if isinstance(rule, SetRule) else rule.sets


def warnings(
    flagged: Flagged, rule: FlaggedRule | UsableRule | SetRule
) -> tuple[str, ...]:
    """Say what of a rule looks like a mistake and may be none.

    Parameters
    ----------
    flagged
        What annolog says.
    rule
        What is wanted.

    Returns
    -------
    tuple of str
        One for each tag that nothing has: a new one, or a wrong one.
    """
    tags = () if isinstance(rule, SetRule) else rule.tags
    there = flagged.tags() if tags else set()
    return tuple(
        f"no target has the tag {tag!r}; {_instead(tag, there)}"
        for tag in tags
        if tag not in there
    )


def _instead(tag: str, there: Collection[str]) -> str:
    # The likeliest first; then any, to show what tags look like here.
    named = dict.fromkeys((*nearest(tag, there), *sorted(there)))
    some = ", ".join(list(named)[:TAGS_NAMED])
    more = ", ..." if len(named) > TAGS_NAMED else ""
    return f"the tables have {some or 'none'}{more}"


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
    demand(flagged, rule)
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
    # Each collection by itself: what is flagged in the second one is flagged, whether
    # or not the first has something of its data ID.
    for source in rule.source:
        for piece in _pieces(kind, reached, bounds):
            found = repository.within(kind, [source], piece)
            yield from (ref for ref in found if reached.holds(ref))
    yield from _own(repository, rule, kind, reached, named)


def own(
    repository: Repository,
    rule: FlaggedRule | UsableRule,
    kind: DatasetType,
    reached: Reach,
) -> list[DatasetRef]:
    """Give the datasets of a type that are reached by themselves.

    Parameters
    ----------
    repository
        Where they are.
    rule
        Only those in its source, of its instrument and nights, where its condition
        holds.
    kind
        Their type.
    reached
        What is reached.

    Returns
    -------
    list of DatasetRef
        Each source's, one after the other.
    """
    named = _known(repository, reached)
    return list(_own(repository, rule, kind, reached, named))


def _own(
    repository: Repository,
    rule: FlaggedRule | UsableRule,
    kind: DatasetType,
    reached: Reach,
    named: Sequence[DatasetRef],
) -> Iterator[DatasetRef]:
    bounds = repository.bounds(rule, kind)
    data_ids = [dict(ref.dataId.required) for ref in named if ref.datasetType == kind]
    for source in rule.source:
        refs, _ = repository.named(kind, [source], data_ids, bounds)
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
