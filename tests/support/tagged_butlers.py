"""Butlers with datasets in them, and what is said of these, for collections by rules.

    held = HeldButler.create(folder / "repo")
    raws = held.add("raw", "LSSTCam/raw/all", exposures, detectors=range(4))
    said = InMemory(exposures={"junk": {exposures[0]}})

No dataset has a file: a registry is all that counts here.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID

from lsst.daf.butler import (  # type: ignore[attr-defined] # its __all__ lacks one
    Butler,
    CollectionType,
    DatasetRef,
    DatasetType,
)

from annolog.butler.exporter import Exporter
from annolog.butler.scopes import NightRange, Scope
from annolog.butler.search import DataId
from annolog.domain.errors import NotFoundError
from annolog.domain.flags import Rank, Said
from annolog.domain.history import Standing
from annolog.domain.lasting import Lasting
from annolog.domain.snapshots import SetVersion
from annolog.domain.times import Span
from annolog.domain.vocabulary import Vocabulary
from tests.support.butlers import CAMERA, MadeButler
from tests.support.snapshots import Lines

TYPES: Mapping[str, frozenset[str]] = {
    "raw": frozenset({"instrument", "exposure", "detector"}),
    "post_isr": frozenset({"instrument", "exposure", "detector"}),
    "preliminary_visit_image": frozenset({"instrument", "visit", "detector"}),
    "visit_summary": frozenset({"instrument", "visit"}),
    "night_report": frozenset({"instrument"}),
}
"""Dataset types of every such butler, by their dimensions."""

TAGGED = CollectionType.TAGGED
"""The kind of collection that rules fill."""

TAKEN = datetime(2026, 1, 16, 12, tzinfo=UTC)
"""When a snapshot was taken, unless told otherwise."""

_IDS = uuid.UUID("0191a7e0-5b6e-7c11-8d2f-1f0a77c20000")


@dataclass(frozen=True)
class HeldButler:
    """A butler of a test's own, with datasets in its registry."""

    made: MadeButler

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        universe: int | None = None,
        database: str | None = None,
        detectors: int = 4,
    ) -> Self:
        held = cls(MadeButler.create(root, universe=universe, database=database))
        held.butler.registry.insertDimensionData(
            "detector",
            *(
                {
                    "instrument": CAMERA,
                    "id": number,
                    "full_name": f"R22_S{number}",
                    "raft": "R22",
                    "purpose": "SCIENCE",
                }
                for number in range(detectors)
            ),
        )
        for name, dimensions in TYPES.items():
            held.butler.registry.registerDatasetType(
                DatasetType(
                    name,
                    dimensions,
                    "StructuredDataDict",
                    universe=held.butler.dimensions,
                )
            )
        return held

    def copy(self, root: Path, *, database: str | None = None) -> Self:
        """Give another repository with the same in it, as `MadeButler.copy` does."""
        return replace(self, made=self.made.copy(root, database=database))

    @property
    def butler(self) -> Butler:
        return self.made.butler

    @property
    def uri(self) -> str:
        return self.made.uri

    def add(
        self,
        name: str,
        run: str,
        ids: Iterable[int],
        *,
        detectors: Sequence[int] = (0, 1),
    ) -> list[DatasetRef]:
        """Add datasets of exposures, or of visits, those of one beside each other."""
        self.butler.collections.register(run)
        kind = self.butler.get_dataset_type(name)
        each = "visit" if "visit" in kind.dimensions.required else "exposure"
        rows: list[dict[str, int | str]] = [
            {"instrument": CAMERA, each: one} for one in ids
        ]
        if "detector" in kind.dimensions.required:
            rows = [row | {"detector": part} for row in rows for part in detectors]
        refs = [
            DatasetRef(
                kind,
                self.butler.registry.expandDataId(row),
                run=run,
                id=uuid.uuid5(_IDS, f"{name} {run} {row}"),
            )
            for row in rows
        ]
        self.butler.registry._importDatasets(refs)
        return refs

    def members(self, collection: str) -> set[UUID]:
        """Give what a collection holds."""
        info = self.butler.collections.get_info(collection, include_summary=True)
        return {
            ref.id
            for name in info.dataset_types or ()
            for ref in self.butler.query_datasets(
                name, collection, find_first=False, limit=None, explain=False
            )
        }

    def documentation(self, collection: str) -> str:
        return self.butler.collections.get_info(collection).doc


FLAGS = frozenset({"good", "questionable", "junk"})
"""The words that are flags; the others are tags."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class InMemory:
    """What annolog says, in memory: what has each flag or tag, by that word.

    Exposures, detectors and visits are those of one instrument.
    """

    datasets_by: Mapping[str, Collection[UUID]] = field(default_factory=dict)
    exposures_by: Mapping[str, Collection[int]] = field(default_factory=dict)
    detectors_by: Mapping[str, Collection[tuple[int, int]]] = field(
        default_factory=dict
    )
    visits_by: Mapping[str, Collection[int]] = field(default_factory=dict)
    lasting_by: Mapping[str, Mapping[int, Span]] = field(default_factory=dict)
    """When it held of each detector as such."""
    sets: Mapping[str, Sequence[Sequence[dict[str, int | str]]]] = field(
        default_factory=dict
    )
    """Rows of each version, from 1."""
    number: int = 1
    taken_at: datetime = TAKEN
    instrument: str = CAMERA

    def demand(
        self,
        instrument: str | None,
        flags: Collection[str],
        tags: Collection[str] = (),
        nights: NightRange | None = None,
    ) -> None:
        """Refuse nothing: all that is not said here is not so."""

    def tags(self) -> set[str]:
        return {*_words(self), *self.lasting_by} - FLAGS

    def datasets(self, flags: Collection[str], tags: Collection[str] = ()) -> set[UUID]:
        return _any(self.datasets_by, flags, tags)

    def exposures(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,  # noqa: ARG002 - it has all nights
    ) -> set[int]:
        here = instrument == self.instrument
        return _any(self.exposures_by, flags, tags) if here else set()

    def detectors(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,  # noqa: ARG002 - it has all nights
    ) -> set[tuple[int, int]]:
        here = instrument == self.instrument
        return _any(self.detectors_by, flags, tags) if here else set()

    def visits(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,  # noqa: ARG002 - it has all nights
    ) -> set[int]:
        here = instrument == self.instrument
        return _any(self.visits_by, flags, tags) if here else set()

    def lasting(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> Mapping[int, Lasting]:
        lines = self.timed()
        stood: dict[int, list[tuple[Standing, Span | None]]] = {}
        for number, one in lines.said.items():
            [key] = one.counted_for
            stood.setdefault(int(key.rpartition("=")[2]), []).append(
                (
                    Standing(
                        Said(
                            one.annotation_id,
                            one.annotation_id,
                            one.revision_id,
                            one.author,
                            one.author,
                            Rank.HUMAN,
                            one.flag,
                            one.revision_id,
                            number,
                            None,
                        ),
                        0,
                        one.tags,
                    ),
                    lines.observed[number],
                )
            )
        wanted = frozenset(flags), frozenset(tags)
        known = Vocabulary.from_entries(())
        found = {
            detector: Lasting(tuple(some), *wanted, known, instrument)
            for detector, some in stood.items()
        }
        here = instrument == self.instrument
        return {d: one for d, one in found.items() if one.spans} if here else {}

    def timed(self) -> Lines:
        """Give what is said of detectors as such, one statement each."""
        lines = Lines()
        for word, spans in sorted(self.lasting_by.items()):
            for detector, span in spans.items():
                lines.say(
                    f"record:detector/instrument={CAMERA}/detector={detector}",
                    flag=word if word in FLAGS else None,
                    tags=() if word in FLAGS else [word],
                    observed=span,
                )
        return lines

    def demand_set(self, name: str, version: int | None = None) -> None:
        self.members(name, version)

    def members(
        self, name: str, version: int | None = None
    ) -> list[dict[str, int | str]]:
        versions = self.sets.get(name, ())
        number = len(versions) if version is None else version
        if not 0 < number <= len(versions):
            raise NotFoundError(f"the snapshot has no set {name}")
        return [dict(row) for row in versions[number - 1]]


def exported(held: HeldButler, said: InMemory, scope: Scope | None = None) -> None:
    """Put the same into the tables of a butler, one statement a word.

    What lies outside of a scope is not left out here: services do that.
    """
    lines = said.timed()
    for word in sorted(_words(said)):
        keys = [
            *(f"dataset:{one}" for one in said.datasets_by.get(word, ())),
            *(f"exposure:{CAMERA}/{one}" for one in said.exposures_by.get(word, ())),
            *(
                f"detector:{CAMERA}/{one}/{part}"
                for one, part in said.detectors_by.get(word, ())
            ),
            *(
                f"record:visit/instrument={CAMERA}/visit={one}"
                for one in said.visits_by.get(word, ())
            ),
        ]
        is_flag = word in FLAGS
        lines.say(*keys, flag=word if is_flag else None, tags=() if is_flag else [word])
    sets = [
        _version(name, number, rows)
        for name, versions in said.sets.items()
        for number, rows in enumerate(versions, 1)
    ]
    exporter = Exporter(held.butler, scope or Scope(), now=lambda: TAKEN)
    exporter.export(lines.head, [*lines.lines, *sets], narrow=True)


def _version(name: str, number: int, rows: Sequence[DataId]) -> SetVersion:
    dimensions = tuple(dict.fromkeys(name for row in rows for name in row))
    return SetVersion(
        f"set:{name}@{number}-0000000{number}",
        name,
        number,
        f"0000000{number}" * 8,
        "jdoe",
        TAKEN,
        dimensions,
        tuple(tuple(row.get(one) for one in dimensions) for row in rows),
    )


def _words(said: InMemory) -> set[str]:
    return {
        *said.datasets_by,
        *said.exposures_by,
        *said.detectors_by,
        *said.visits_by,
    }


def _any(
    said: Mapping[str, Collection[_T]], flags: Collection[str], tags: Collection[str]
) -> set[_T]:
    return {one for word in (*flags, *tags) for one in said.get(word, ())}
