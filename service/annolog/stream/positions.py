"""How far a reader of the events came, as a value that it keeps beside its effects.

Whoever acts on events stores the position in the transaction of the effect. Then a
crash can neither lose an event nor bring one twice: effect and position are both
there, or neither is. Kafka's group offsets cannot give this and are not used.

A number says what was had, wherever the events are read: in a topic, in a mirror of
it, or over HTTP. An offset only says where to find the next record quickly, and only
in the very topic that it was taken from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import msgspec
from kafka.partitioner.default import murmur2

from annolog.domain.errors import AnnologError, MalformedError
from annolog.domain.events import STATE_SCHEMA, Event


class PositionError(AnnologError):
    """A position does not lead on where it is used."""

    code = "position"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reader came in one partition.

    Attributes
    ----------
    offset
        The next record to read.
    last, last_id
        Offset of the last event that was had, and its id, by which the record is
        known again; None and empty before the first.
    numbers
        Greatest number that was had, for each source.
    """

    offset: int
    last: int | None = None
    last_id: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Greatest number that was had here; 0 before the first."""
        return max(self.numbers.values(), default=0)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader came. `Position()` is the beginning.

    Attributes
    ----------
    topic, topic_id
        Where the offsets hold: a topic made anew has another id. Empty if the events
        came over HTTP alone; such a position fits each topic of the site.
    places
        Each partition.
    floor
        All up to this change number was had over HTTP, in whichever life of the
        site's database; 0 means nothing.
    at
        When the newest event that was had was written (milliseconds since 1970); 0
        if none was.
    """

    topic: str = ""
    topic_id: str = ""
    places: Mapping[int, Place] = field(default_factory=dict)
    floor: int = 0
    at: int = 0

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` gave.

        Raises
        ------
        MalformedError
            If it is no position.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise MalformedError(f"this is no position: {error}") from None

    def to_json(self) -> str:
        """Give the position as text to be stored: below 1 kB for six partitions."""
        return msgspec.json.encode(self).decode()

    @property
    def upto(self) -> int:
        """All changes up to this number were had, of those in this topic or log."""
        least = min((place.number for place in self.places.values()), default=0)
        return max(self.floor, least)

    def demand_of(self, *, states: bool) -> None:
        """Raise `PositionError` if the numbers are of the other topic's partitions."""
        if self.topic and of_states(self.topic) != states:
            raise PositionError(
                f"this is a position in {self.topic}: it says nothing of the "
                + ("states" if states else "changes")
            )

    def had(self, event: Event, partition: int) -> bool:
        """Tell whether an event was had already.

        Changes have increasing numbers within a partition. Of states the last record
        of a key holds, as compaction has it: states sent anew have low numbers and
        must count. So for states only the floor is asked, and that until the
        partition has come above it.
        """
        place = self.places.get(partition)
        if event.attributes.get("dataschema") == STATE_SCHEMA:
            above = place is not None and place.number > self.floor
            return event.number <= self.floor and not above
        known = place.numbers.get(event.source, 0) if place else 0
        return event.number <= max(self.floor, known)

    def had_anywhere(self, event: Event) -> bool:
        """Tell the same for a change that came over HTTP and so has no partition.

        Its key decides the partition, as it does for the relay that sends it.
        """
        return self.had(event, partition_of(event.key, len(self.places) or 1))

    def past(self, event: Event, partition: int, offset: int) -> "Position":
        """Give the position after an event, which came from a topic."""
        before = self.places.get(partition, Place(0))
        known = max(before.numbers.get(event.source, 0), event.number)
        place = Place(
            offset + 1, offset, event.id, {**before.numbers, event.source: known}
        )
        return replace(self, places={**self.places, partition: place})

    def read_over_http(self, upto: int, at: int) -> "Position":
        """Give the position after all changes up to a number came over HTTP.

        Once these are all that a topic gave, and more, its offsets say nothing any
        longer: the records at them may have been removed meanwhile.
        """
        floor, newest = max(self.floor, upto), max(self.at, at)
        if all(place.number <= floor for place in self.places.values()):
            return Position(floor=floor, at=newest)
        return replace(self, floor=floor, at=newest)


def of_states(topic: str) -> bool:
    """Tell whether a topic, or a mirror or copy of it, is the one of states."""
    return topic.endswith(".targets")


def partition_of(key: str, partitions: int) -> int:
    """Tell in which partition the events of a key are, as every Kafka client does."""
    number: int = murmur2(key.encode())
    return (number & 0x7FFFFFFF) % partitions
