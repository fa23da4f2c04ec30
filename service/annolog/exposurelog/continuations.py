"""Where a message goes on when it is changed.

A client of exposurelog knows one exposure a message, and an annotation may name many.
An exposure of many whose message is changed leaves the annotation, and goes on in one
of its own. The id of that follows from the two, so a turn of the lane finds it without
a search, however many clients change the same message at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import msgspec

from annolog.actions.revisions import known_versions
from annolog.domain import history, records
from annolog.domain.book import Book
from annolog.domain.errors import NotFoundError
from annolog.domain.history import Version
from annolog.domain.ledger import Wants
from annolog.domain.records import MAX_INLINE_TARGETS
from annolog.exposurelog import votes

_NAMESPACE = UUID("5b0c47a1-6f0e-4f39-9d5b-6f3a2f1f4a10")

Fields = Mapping[str, Any]
"""The decoded body of a revision."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands. None of it ever changes.

    Attributes
    ----------
    message_id
        The message.
    annotation_id
        The annotation that it is a part of.
    revision_id
        The revision with which it began: it has the words.
    key
        The exposure.
    target_count
        How many targets that revision names.
    """

    message_id: UUID
    annotation_id: UUID
    revision_id: UUID
    key: str
    target_count: int

    @property
    def wants(self) -> Wants:
        """What a decision about it has to see, as far as that is known before."""
        own = self.annotation_id
        known = frozenset({own, continuation_id(own, self.key)})
        return Wants(annotations=known, keys=frozenset({self.key}))


@dataclass(frozen=True, slots=True)
class Line:
    """Where a message goes on.

    Attributes
    ----------
    key
        The exposure.
    annotation_id
        The annotation, of this exposure alone, that gets the words.
    now
        Its current revision; None where it has yet to be made.
    leaves
        Current revisions that name the exposure among others: it leaves them.
    continues
        The message that is continued; None for a new one.
    start
        The revision with which that one began; empty for a new one.
    """

    key: str
    annotation_id: UUID
    now: Version | None = None
    leaves: Sequence[Version] = ()
    continues: UUID | None = None
    start: Fields = field(default_factory=dict)

    @property
    def is_fresh(self) -> bool:
        """Whether a flag that stays is said anew, as nothing there says it now."""
        return self.now is None or not self.now.named

    @property
    def left(self) -> frozenset[UUID]:
        """The annotations that the exposure leaves."""
        return frozenset(version.annotation_id for version in self.leaves)

    @property
    def answers(self) -> int:
        """The greatest clock among the revisions that are answered; 0 for none."""
        said = [one.clock for one in (*self.leaves, self.now) if one is not None]
        begun: int = self.start.get("clock", 0)
        return max([begun, *said])

    def standing(self, book: Book) -> Fields:
        """Give the revision whose flag now stands where the message goes on.

        Where none does, that with which the message began.
        """
        if self.now is not None and self.now.named:
            return body_of(book, self.now)
        return body_of(book, self.leaves[0]) if self.leaves else self.start


def continuation_id(annotation_id: UUID, key: str) -> UUID:
    """Name the annotation that goes on with what another said about one exposure.

    Parameters
    ----------
    annotation_id
        The other annotation.
    key
        The exposure.
    """
    return uuid5(_NAMESPACE, f"{annotation_id} {key}")


def line_of(book: Book, place: Place) -> Line:
    """Follow a message to where it can be changed, past what a curator settled.

    Parameters
    ----------
    book
        Has, or asks for, the annotations that are passed.
    place
        The message.

    Raises
    ------
    NotFoundError
        There is no such message any more.
    """
    key, annotation_id = place.key, place.annotation_id
    known_versions(book, annotation_id)
    if place.revision_id not in book.bodies:
        raise NotFoundError(f"there is no message {place.message_id}")
    start = msgspec.json.decode(book.bodies[place.revision_id])
    leaves: list[Version] = []
    while True:
        book.require(Wants(annotations=frozenset({annotation_id})))
        versions = book.versions.get(annotation_id)
        now = history.current(versions) if versions else None
        if versions is None or now is None:
            break
        if not votes.is_settled(book, annotation_id, key):
            if now.targets == (key,) or all(v.targets == (key,) for v in versions):
                break
            if key in now.named:
                leaves.append(now)
        annotation_id = continuation_id(annotation_id, key)
    return Line(key, annotation_id, now, leaves, place.message_id, start)


def without(version: Version, key: str) -> tuple[str, ...]:
    """Give the targets of a revision but for one."""
    return tuple(one for one in version.targets if one != key)


def wants_without(version: Version, key: str) -> Wants:
    """Say what must be there so that an exposure may leave an annotation.

    It is asked for before anything is entered, as a decision that lacks something is
    made again from its beginning.

    Parameters
    ----------
    version
        The annotation's current revision.
    key
        The exposure.
    """
    rest = without(version, key)
    lists = frozenset[UUID]()
    if len(rest) > MAX_INLINE_TARGETS:
        lists = frozenset({records.list_of(rest)[0]})
    return Wants(keys=frozenset(version.targets), records=lists)


def body_of(book: Book, version: Version) -> dict[str, Any]:
    """Read a revision's body."""
    fields: dict[str, Any] = msgspec.json.decode(book.bodies[version.revision_id])
    return fields
