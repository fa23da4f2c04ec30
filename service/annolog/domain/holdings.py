"""What a turn has before it: all that was loaded of what its requests touch.

Rows come in with `load_*`, in any order and more than once; `require` says what of
something wanted is not there yet. `domain.book` enters records on top of this.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain.exposures import ExposureFact
from annolog.domain.history import Review, Standing, Version
from annolog.domain.ids import read_id
from annolog.domain.ledger import (
    NOTHING_SAID,
    Known,
    NeedMore,
    Place,
    State,
    Wants,
    review_of,
    state_of,
    version_of,
)
from annolog.domain.setrecords import HeldSet
from annolog.domain.setredactions import SetRedaction
from annolog.domain.vocabulary import Vocabulary

_ROW_BYTES = 50
# About so many a row of a data-ID set has.


class Holdings:
    """What is known of the annotations, targets and records that a turn touches.

    Parameters
    ----------
    known
        Vocabularies, policies, aliases.
    """

    def __init__(self, known: Known) -> None:
        self.known = known
        self.places: dict[str, Place] = {}
        self.lists: dict[UUID, Sequence[str]] = {}
        self.bodies: dict[UUID, bytes] = {}
        self.versions: dict[UUID, list[Version]] = {}
        self.reviews: dict[UUID, list[Review]] = {}
        self.facts: dict[str, list[ExposureFact]] = {}
        self.redactions: dict[UUID, UUID] = {}
        self.set_redactions: dict[UUID, dict[UUID, SetRedaction]] = {}
        self.states: dict[int, State] = {}
        self.members: dict[int, dict[str, Place]] = {}
        self.known_records: set[UUID] = set()
        self.known_lists: set[UUID] = set()
        self.sets: dict[str, HeldSet] = {}
        self._standing: dict[int, dict[tuple[UUID, str], Standing]] = {}
        self._named = 0
        self._seen_annotations: set[UUID] = set()
        self._seen_facts: set[str] = set()
        self._seen_records: set[UUID] = set()
        self._seen_bodies: set[UUID] = set()
        self.waiting: dict[UUID, list[Mapping[str, Any]]] = {}

    # ------------------------------------------------------------ loading

    def load_places(self, places: Iterable[tuple[Place, State | None]]) -> None:
        """Take in places (all members of their classes) and their classes' states."""
        for place, state in places:
            self.places[place.key] = place
            self.members.setdefault(place.class_id, {})[place.key] = place
            self._standing.setdefault(place.class_id, {})
            if state is not None:
                self.states.setdefault(place.class_id, state)

    def load_standing(self, key: str, standing: Standing) -> None:
        """Take in one standing as the database has it."""
        place = self.places[key]
        slot = self._standing[place.class_id]
        slot.setdefault((standing.said.source_id, key), standing)

    def load_annotations(
        self,
        ids: Iterable[UUID],
        bodies: Iterable[bytes],
        reviews: Iterable[bytes],
        lists: Iterable[tuple[UUID, bytes]],
    ) -> None:
        """Take in annotations whole; those asked for and not found do not exist."""
        fresh = set(ids) - self._seen_annotations
        self._seen_annotations |= fresh
        for list_id, keys in lists:
            self.known_lists.add(list_id)
            self.lists.setdefault(list_id, msgspec.json.decode(keys))
        for body in bodies:
            fields = msgspec.json.decode(body)
            annotation_id = read_id(fields["annotation_id"])
            if annotation_id in fresh:
                version = version_of(fields, self.lists)
                self.bodies[version.revision_id] = body
                self.versions.setdefault(annotation_id, []).append(version)
                self._named += len(version.targets)
        for body in reviews:
            fields = msgspec.json.decode(body)
            if read_id(fields["annotation_id"]) in fresh:
                review = review_of(fields, self.lists)
                self.bodies[review.review_id] = body
                self.reviews.setdefault(review.annotation_id, []).append(review)

    def begin_annotation(self, annotation_id: UUID) -> None:
        """Note an annotation that has just got its id: nothing of it is anywhere."""
        self._seen_annotations.add(annotation_id)

    def load_facts(self, keys: Iterable[str], facts: Iterable[ExposureFact]) -> None:
        """Take in all facts of the exposures asked for."""
        fresh = set(keys) - self._seen_facts
        self._seen_facts |= fresh
        for fact in facts:
            if fact.key in fresh:
                self.facts.setdefault(fact.key, []).append(fact)

    def load_records(
        self,
        ids: Iterable[UUID],
        known: Iterable[UUID],
        redactions: Iterable[tuple[UUID, UUID]],
        lists: Iterable[tuple[UUID, bytes]],
        waiting: Iterable[tuple[UUID, bytes]],
        bodies: Iterable[tuple[UUID, bytes]] = (),
    ) -> None:
        """Take in what is here of the records asked for.

        Parameters
        ----------
        ids
            Those asked for.
        known
            Those of them that are here.
        redactions
            (revision, redaction) of those that were redacted before they came.
        lists
            Those of them that are lists: id and keys.
        waiting
            (list, body) of statements that wait for one of them.
        bodies
            Those of them that are statements: id and body.
        """
        self._seen_records |= set(ids)
        self.known_records |= set(known)
        for revision_id, redaction_id in redactions:
            self._note_redaction(revision_id, redaction_id)
        for record_id, body in bodies:
            self.bodies.setdefault(record_id, body)
        for list_id, keys in lists:
            self.known_lists.add(list_id)
            self.lists.setdefault(list_id, msgspec.json.decode(keys))
        for list_id, body in waiting:
            fields = msgspec.json.decode(body)
            self.waiting.setdefault(list_id, []).append(fields)
            # A review names a revision too, but that one is not what it is.
            own = "record_id" if fields["kind"] == "review" else "revision_id"
            record_id = read_id(fields[own])
            self.bodies.setdefault(record_id, body)

    def _note_redaction(self, revision_id: UUID, redaction_id: UUID) -> None:
        """Remember of several redactions the least, as `blank` does."""
        known = self.redactions.get(revision_id, redaction_id)
        self.redactions[revision_id] = min(known, redaction_id)

    def load_set_redactions(self, bodies: Iterable[bytes]) -> None:
        """Take in redactions of versions of sets, for records that come after them."""
        for body in bodies:
            self._note_set_redaction(SetRedaction.read(msgspec.json.decode(body)))

    def _note_set_redaction(self, order: SetRedaction) -> None:
        """Remember what was taken out of records of sets, also of those yet to come."""
        for one in order.records:
            self.set_redactions.setdefault(one, {})[order.record_id] = order

    def load_bodies(
        self, ids: Iterable[UUID], bodies: Iterable[tuple[UUID, bytes]]
    ) -> None:
        """Take in bodies of records of sets; those that are not given are not here."""
        self._seen_bodies |= set(ids)
        for record_id, body in bodies:
            self.bodies.setdefault(record_id, body)
            self.weigh(len(body) // _ROW_BYTES)

    # ------------------------------------------------------------ looking

    @property
    def size(self) -> int:
        """Tell about how many targets there are to be worked through."""
        return max(len(self.places), self._named)

    def weigh(self, rows: int) -> None:
        """Count rows that are worked through like targets."""
        self._named += rows

    def load_sets(self, sets: Iterable[HeldSet]) -> None:
        """Take in all but the rows of data-ID sets, also of those that have nothing."""
        for one in sets:
            self.sets.setdefault(one.name, one)

    def require(self, wants: Wants) -> None:
        """Make sure that all this is loaded.

        Raises
        ------
        NeedMore
            If something is not; load it and ask again.
        """
        if (  # as nearly always; most parts of what is wanted are empty
            (not wants.keys or wants.keys <= self.places.keys())
            and (not wants.annotations or wants.annotations <= self._seen_annotations)
            and (not wants.facts or wants.facts <= self._seen_facts)
            and (not wants.records or wants.records <= self._seen_records)
            and (not wants.sets or wants.sets <= self.sets.keys())
            and (not wants.bodies or wants.bodies <= self._seen_bodies)
        ):
            return
        annotations = wants.annotations - self._seen_annotations
        keys = wants.keys.difference(self.places)
        facts = wants.facts - self._seen_facts
        records = wants.records - self._seen_records
        sets = wants.sets.difference(self.sets)
        bodies = wants.bodies - self._seen_bodies
        raise NeedMore(Wants(annotations, keys, facts, records, sets, bodies))

    def is_told_of(self, key: str, obs_id: str) -> bool:
        """Tell whether somebody told of an exposure, under this name or without one.

        Parameters
        ----------
        key
            The exposure, which was wanted; it may have no row.
        obs_id
            Its name. An exposure joined with it may be the one that has it.
        """
        place = self.places.get(key)
        return place is not None and any(
            one.obs_id in ("", obs_id) for one in self.members[place.class_id].values()
        )

    def standing_on(self, key: str) -> Iterable[Standing]:
        """Give all that counts on a target and those joined with it."""
        return self._standing[self.places[key].class_id].values()

    def greatest_clock(self, keys: Iterable[str]) -> int:
        """Give the greatest clock among the votes that stand on these targets."""
        return max(
            [one.said.vote_clock for key in keys for one in self.standing_on(key)],
            default=0,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, with what the turn added to it."""
        return self.known.vocabulary

    def representative(self, class_id: int) -> Place:
        """Give the target that stands for a class: the one with the least key."""
        members = self.members[class_id]
        if not members:  # it was joined to another class, and stands for none now
            return next(p for p in self.places.values() if p.target_id == class_id)
        return members[min(members)]

    def state_now(self, class_id: int) -> State:
        """Work out what holds for the targets of a class."""
        place = self.representative(class_id)
        return state_of(
            self._standing[class_id].values(), self.vocabulary, place.instrument
        )

    def outdated(self, keys: Iterable[str]) -> set[int]:
        """Give the classes of these targets whose states are not what now holds."""
        classes = {self.places[key].class_id for key in keys}
        return {
            one
            for one in classes
            if self.state_now(one) != self.states.get(one, NOTHING_SAID)
        }

    def _require_classes(self, keys: frozenset[str]) -> None:
        """Load all that decides which targets are one with these."""
        self.require(Wants(keys=keys))
        members = {
            place.key
            for key in keys
            for place in self.members[self.places[key].class_id].values()
            if place.kind == "exposure"
        }
        self.require(Wants(facts=frozenset(members)))
