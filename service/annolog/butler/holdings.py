"""What a butler holds, and how old it is: a repository gets rows only of that."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from astropy.time import Time
from lsst.daf.butler import Butler, DatasetRef, MissingCollectionError
from lsst.utils.iteration import chunk_iterable

from annolog.butler.layout import Place
from annolog.butler.tables import Tables
from annolog.butler.wanted import EMBARGOED, NOT_HELD, Key, by_kind, naive
from annolog.domain.errors import AnnologError
from annolog.domain.targets import RecordTarget, parse_key

AT_ONCE = 5_000
"""Ids of one question: PostgreSQL takes 65,535 values in all."""

DATASETS_AT_ONCE = 20_000
"""Datasets that are looked up at once where their data IDs are needed."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Asks a butler what it holds.

    Attributes
    ----------
    butler
        The butler.
    tables
        Its tables.
    before
        Only what was taken before this moment (UTC) may be exported; None: all.
    """

    butler: Butler
    tables: Tables
    before: datetime | None = None

    def held(self, places: Iterable[Place]) -> dict[Place, str | None]:
        """Say of each place why it may have no row; None where it may.

        Parameters
        ----------
        places
            Places of targets.

        Returns
        -------
        dict
            For each of the places: None, `NOT_HELD` or `EMBARGOED`.
        """
        kinds = by_kind(places)
        found: dict[Place, str | None] = {}
        self._exposures(found, kinds["exposure"], kinds["detector"])
        self._visits(found, kinds["visit"])
        self._datasets(found, kinds["dataset"])
        for element, key in kinds["record"]:
            found[Place("record", (element, key))] = self._record(str(key))
        for (name,) in kinds["collection"]:
            found[Place("collection", (name,))] = self._collection(str(name))
        # A set is the observatory's, and belongs to no repository.
        found |= {Place("data_id_set", key): None for key in kinds["data_id_set"]}
        return found

    # ------------------------------------------------------------ exposures

    def _exposures(
        self,
        found: dict[Place, str | None],
        exposures: Collection[Key],
        detectors: Collection[Key],
    ) -> None:
        ids: dict[str, set[int]] = {}
        for instrument, exposure, *_ in (*exposures, *detectors):
            ids.setdefault(str(instrument), set()).add(_int(exposure))
        answers = {
            name: self._by_dimension("exposure", name, wanted)
            for name, wanted in ids.items()
        }
        numbers = {name: self._detectors(name) for name, *_ in map(_words, detectors)}
        for key in exposures:
            name = str(key[0])
            found[Place("exposure", key)] = answers[name].get(_int(key[1]), NOT_HELD)
        for key in detectors:
            name = str(key[0])
            reason = answers[name].get(_int(key[1]), NOT_HELD)
            if key[2] not in numbers[name]:
                reason = NOT_HELD
            found[Place("detector", key)] = reason

    def _visits(self, found: dict[Place, str | None], visits: Collection[Key]) -> None:
        ids: dict[str, set[int]] = {}
        for instrument, visit in visits:
            ids.setdefault(str(instrument), set()).add(_int(visit))
        for name, wanted in ids.items():
            answers = self._by_dimension("visit", name, wanted)
            for one in wanted:
                found[Place("visit", (name, one))] = answers.get(one, NOT_HELD)

    def _by_dimension(
        self, dimension: str, instrument: str, ids: Collection[int]
    ) -> dict[int, str | None]:
        """Say of the exposures or visits that are held whether they are old enough."""
        if not self._has_instrument(instrument):
            return {}
        found: dict[int, str | None] = {}
        for some in chunk_iterable(sorted(ids), AT_ONCE):
            where = f"{dimension} IN (ids)"
            bind: dict[str, Any] = {"ids": list(some)}
            held = self._ids(dimension, instrument, where, bind)
            old = held
            if self.before is not None:
                # Without a known end it may be new.
                where += f" AND {dimension}.timespan.end < before"
                bind["before"] = Time(self.before, scale="utc")
                old = self._ids(dimension, instrument, where, bind)
            found |= {one: None if one in old else EMBARGOED for one in held}
        return found

    def _ids(
        self, dimension: str, instrument: str, where: str, bind: Mapping[str, Any]
    ) -> set[int]:
        with self.butler.query() as query:
            asked = query.where(instrument=instrument).where(where, bind=bind)
            return {int(one[dimension]) for one in asked.data_ids([dimension])}

    def _detectors(self, instrument: str) -> set[int]:
        if not self._has_instrument(instrument):
            return set()
        with self.butler.query() as query:
            asked = query.where(instrument=instrument)
            return {int(one["detector"]) for one in asked.data_ids(["detector"])}

    def _has_instrument(self, instrument: str) -> bool:
        # A query for an instrument that the registry does not know is an error.
        return instrument in instruments(self.butler)

    # ------------------------------------------------------------ others

    def _collection(self, name: str) -> str | None:
        try:
            self.butler.collections.get_info(name)
        except MissingCollectionError:
            return NOT_HELD
        return None

    def _record(self, key: str) -> str | None:
        target = parse_key(key)
        assert isinstance(target, RecordTarget)  # noqa: S101 - its place says so
        data_id = dict(target.data_id)
        universe = self.butler.dimensions
        if target.element not in universe.elements.names:
            return NOT_HELD
        instrument = data_id.get("instrument")
        if isinstance(instrument, str) and not self._has_instrument(instrument):
            return NOT_HELD
        try:
            found = self.butler.query_dimension_records(
                target.element, data_id=data_id, explain=False, limit=1
            )
        except Exception:  # noqa: BLE001 - other universes have other required ones
            return NOT_HELD
        if not found:
            return NOT_HELD
        span = getattr(found[0], "timespan", None)
        if self.before is None or span is None or span.end is None:
            return None
        return None if span.end < Time(self.before, scale="utc") else EMBARGOED

    def _datasets(
        self, found: dict[Place, str | None], datasets: Collection[Key]
    ) -> None:
        ids = {one for (one,) in datasets if isinstance(one, UUID)}
        held = self.tables.held_datasets(ids)
        reasons: dict[UUID, str | None] = dict.fromkeys(ids, NOT_HELD)
        reasons |= dict.fromkeys(held, None)
        if self.before is not None:
            for some in chunk_iterable(sorted(held), DATASETS_AT_ONCE):
                reasons |= self._aged(some)
        found |= {Place("dataset", (one,)): reason for one, reason in reasons.items()}

    def _aged(self, ids: Collection[UUID]) -> dict[UUID, str | None]:
        """Say which datasets are old enough: by exposure or visit, else by ingest."""
        reasons: dict[UUID, str | None] = {}
        places: dict[UUID, Place] = {}
        for ref in self.butler.get_many_datasets(ids):
            place = _taken(ref)
            if place is not None:
                places[ref.id] = place
        taken: dict[Place, str | None] = {}
        kinds = by_kind(places.values())
        self._exposures(taken, kinds["exposure"], ())
        self._visits(taken, kinds["visit"])
        reasons |= {one: taken[place] for one, place in places.items()}
        # What has no time of its own was made of data that had come before it.
        others = [one for one in ids if one not in places]
        assert self.before is not None  # noqa: S101 - who calls has looked
        for one, at in self.tables.ingested(others).items():
            reasons[one] = None if at < naive(self.before) else EMBARGOED
        return reasons


def instruments(butler: Butler) -> list[str]:
    """Give the names of a repository's instruments, in order.

    Parameters
    ----------
    butler
        The repository.
    """
    found = butler.query_dimension_records("instrument", limit=None, explain=False)
    return sorted(str(record.dataId["instrument"]) for record in found)


def _taken(ref: DatasetRef) -> Place | None:
    data_id = ref.dataId
    names = data_id.dimensions.required
    for kind in ("exposure", "visit"):
        if kind in names:
            return Place(kind, (str(data_id["instrument"]), int(data_id[kind])))
    return None


def _words(key: Key) -> Iterator[str]:
    yield str(key[0])


def _int(value: object) -> int:
    if not isinstance(value, int):
        msg = f"{value!r} is no integer"
        raise AnnologError(msg)
    return value
