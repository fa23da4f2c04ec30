"""Which datasets a flag or a tag reaches, by themselves or by their data IDs.

A data ID says of which exposure, detector or visit a dataset is made. With `inherited`
a statement reaches

- on an exposure: the datasets of that exposure and of its visits;
- on a detector of an exposure: those of that detector, of the exposure or its visits;
- on a detector as such, for a time or always: the same, for each exposure that the time
  overlaps;
- on a visit: the datasets of the visit and of its exposures, and of the other visits
  that these are in. One bad snap does not spoil its sister: what an exposure gives to
  its visit does not come down again.

Which exposures make a visit is what the repository's `visit_definition` says.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from lsst.daf.butler import Butler, DatasetRef
from lsst.utils.iteration import chunk_iterable

from annolog.butler import during
from annolog.butler.flagged import Flagged
from annolog.butler.rules import FlaggedRule, UsableRule
from annolog.butler.search import DataId
from annolog.domain.lasting import Lasting

IDS = 10_000
"""Ids in one question: PostgreSQL takes 65,535 parameters a statement."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What has a flag or a tag, in the words of data IDs of one instrument.

    Attributes
    ----------
    datasets
        Ids of datasets of which it was said.
    exposures, visits
        Their ids.
    detectors, visit_detectors
        A detector of an exposure, or of a visit: the exposure or visit first.
    others
        Values of other data IDs, by the names of their dimensions.
    lasting
        Numbers of the detectors of which it was said for a time: what there is now of
        that time stands among the others, and more may come.
    """

    datasets: frozenset[UUID] = frozenset()
    exposures: frozenset[int] = frozenset()
    visits: frozenset[int] = frozenset()
    detectors: frozenset[tuple[int, int]] = frozenset()
    visit_detectors: frozenset[tuple[int, int]] = frozenset()
    others: Mapping[tuple[str, ...], frozenset[tuple[int | str, ...]]] = field(
        default_factory=dict
    )
    lasting: tuple[int, ...] = ()

    def holds(self, ref: DatasetRef) -> bool:
        """Tell whether a dataset is reached.

        Parameters
        ----------
        ref
            Of the instrument, or of none.

        Returns
        -------
        bool
            Whether it is, by any of its names.
        """
        if ref.id in self.datasets:
            return True
        said = ref.dataId.required
        detector = said.get("detector")
        for name, ids, parts in (
            ("exposure", self.exposures, self.detectors),
            ("visit", self.visits, self.visit_detectors),
        ):
            if name in said:
                one = said[name]
                if one in ids or (detector is not None and (one, detector) in parts):
                    return True
        return any(
            all(name in ref.dataId for name in names)
            and tuple(ref.dataId[name] for name in names) in values
            for names, values in self.others.items()
        )

    def ids(self, dimension: str) -> frozenset[int]:
        """Give the exposures, or visits, that are reached as wholes.

        Parameters
        ----------
        dimension
            Either "exposure" or "visit".
        """
        return self.exposures if dimension == "exposure" else self.visits

    def parts(self, dimension: str) -> Mapping[int, list[int]]:
        """Give those of which single detectors are reached, and not the whole.

        Parameters
        ----------
        dimension
            Either "exposure" or "visit".

        Returns
        -------
        mapping
            Their ids, sorted, by the detector.
        """
        whole = self.ids(dimension)
        parts = self.detectors if dimension == "exposure" else self.visit_detectors
        found: dict[int, list[int]] = {}
        for detector, one in sorted((detector, one) for one, detector in parts):
            if one not in whole:
                found.setdefault(detector, []).append(one)
        return found


def of(
    butler: Butler,
    flagged: Flagged,
    rule: FlaggedRule | UsableRule,
    rows: Iterable[DataId] = (),
) -> Reach:
    """Find what the flags and tags of a rule reach, and the rows of its sets.

    Parameters
    ----------
    butler
        The repository that says which exposures make a visit.
    flagged
        What annolog says.
    rule
        Any of its flags or tags is enough; unless they are inherited, only what is said
        of datasets themselves counts.
    rows
        Data IDs that are reached besides. Those of other instruments are passed over.

    Returns
    -------
    Reach
        By data IDs, ready to be compared.
    """
    flags, tags, instrument = rule.flags, rule.tags, rule.instrument
    datasets = frozenset(flagged.datasets(flags, tags))
    if instrument is None:
        return Reach(datasets)
    named = _by_dimensions(rows, instrument)
    exposures = {one for (one,) in named.pop(("exposure",), ())}
    detectors = {(one, part) for part, one in named.pop(("detector", "exposure"), ())}
    visits = {one for (one,) in named.pop(("visit",), ())}
    alone: set[tuple[int, int]] = set()
    lasting: Mapping[int, Lasting] = {}
    if rule.inherited and (flags or tags):
        nights = rule.night_range
        exposures |= flagged.exposures(instrument, flags, tags, nights=nights)
        detectors |= flagged.detectors(instrument, flags, tags, nights=nights)
        visits |= flagged.visits(instrument, flags, tags, nights=nights)
        lasting = flagged.lasting(instrument, flags, tags)
    if lasting:
        asked = (lasting, rule.nights)
        detectors |= during.reached(butler, instrument, "exposure", *asked)
        alone = during.reached(butler, instrument, "visit", *asked)
        # What is known of a visit's exposures counts, its own time only else.
        made = _defined(butler, instrument, "visit", {visit for visit, _ in alone})
        alone = {one for one in alone if one[0] not in made}
    down = _defined(butler, instrument, "visit", visits)
    exposures |= {exposure for visit in visits for exposure in down[visit]}
    touched = exposures | {exposure for exposure, _ in detectors}
    up = _defined(butler, instrument, "exposure", touched)
    return Reach(
        datasets,
        frozenset(exposures),
        frozenset(visits | {visit for one in exposures for visit in up[one]}),
        frozenset(detectors),
        frozenset(
            alone | {(visit, part) for one, part in detectors for visit in up[one]}
        ),
        {names: frozenset(values) for names, values in named.items()},
        tuple(lasting),
    )


def _by_dimensions(
    rows: Iterable[DataId], instrument: str
) -> dict[tuple[str, ...], set[tuple[Any, ...]]]:
    """Part data IDs of one instrument by the other dimensions that they name."""
    found: dict[tuple[str, ...], set[tuple[Any, ...]]] = defaultdict(set)
    for row in rows:
        if row.get("instrument", instrument) == instrument:
            names = tuple(sorted(row.keys() - {"instrument"}))
            if names:
                found[names].add(tuple(row[name] for name in names))
    return found


def _defined(
    butler: Butler, instrument: str, by: str, ids: Iterable[int]
) -> Mapping[int, set[int]]:
    """Give the exposures of visits, or the visits of exposures."""
    other = {"visit": "exposure", "exposure": "visit"}[by]
    found: dict[int, set[int]] = defaultdict(set)
    for some in chunk_iterable(sorted(ids), IDS):
        for record in butler.query_dimension_records(
            "visit_definition",
            instrument=instrument,
            where=f"{by} IN (ids)",
            bind={"ids": list(some)},
            limit=None,
            explain=False,
        ):
            found[getattr(record, by)].add(getattr(record, other))
    return found
