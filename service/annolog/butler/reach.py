"""Which datasets a flag or a tag reaches, by themselves or by their data IDs.

A data ID says of which exposure, detector or visit a dataset is made. With `inherited`
a statement reaches

- on an exposure: the datasets of that exposure and of its visits;
- on a detector of an exposure: those of that detector, of the exposure or its visits;
- on a visit: the datasets of the visit and of its exposures, and of the other visits
  that these are in. One bad snap does not spoil its sister: what an exposure gives to
  its visit does not come down again.

Which exposures make a visit is what the repository's `visit_definition` says.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from lsst.daf.butler import Butler, DatasetRef
from lsst.utils.iteration import chunk_iterable

from annolog.butler.flagged import Flagged

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
    """

    datasets: frozenset[UUID] = frozenset()
    exposures: frozenset[int] = frozenset()
    visits: frozenset[int] = frozenset()
    detectors: frozenset[tuple[int, int]] = frozenset()
    visit_detectors: frozenset[tuple[int, int]] = frozenset()

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
        return False

    def ids(self, dimension: str) -> frozenset[int]:
        """Give all that could matter of one dimension, detectors' included.

        Parameters
        ----------
        dimension
            Either "exposure" or "visit".

        Returns
        -------
        frozenset of int
            Every dataset that is reached by its data ID has one of them, if its type
            has the dimension.
        """
        if dimension == "exposure":
            return self.exposures | {exposure for exposure, _ in self.detectors}
        return self.visits | {visit for visit, _ in self.visit_detectors}


def of(
    butler: Butler,
    flagged: Flagged,
    instrument: str | None,
    flags: Collection[str],
    tags: Collection[str],
) -> Reach:
    """Find what any of these flags or tags reaches.

    Parameters
    ----------
    butler
        The repository that says which exposures make a visit.
    flagged
        What annolog says.
    instrument
        Whose exposures, detectors and visits count; None leaves them out, and only
        what is said of datasets themselves counts.
    flags, tags
        Any of them is enough.

    Returns
    -------
    Reach
        By data IDs, ready to be compared.
    """
    datasets = frozenset(flagged.datasets(flags, tags))
    if instrument is None:
        return Reach(datasets)
    exposures = flagged.exposures(instrument, flags, tags)
    detectors = flagged.detectors(instrument, flags, tags)
    visits = flagged.visits(instrument, flags, tags)
    down = _defined(butler, instrument, "visit", visits)
    exposures |= {exposure for visit in visits for exposure in down[visit]}
    touched = exposures | {exposure for exposure, _ in detectors}
    up = _defined(butler, instrument, "exposure", touched)
    return Reach(
        datasets,
        frozenset(exposures),
        frozenset(visits | {visit for one in exposures for visit in up[one]}),
        frozenset(detectors),
        frozenset((visit, part) for one, part in detectors for visit in up[one]),
    )


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
