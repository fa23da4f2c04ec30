"""How far a topic is: read back from the topic itself, and held against the log."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from annolog.domain.errors import AnnologError, UnavailableError
from annolog.domain.events import Event, from_message, site_of
from annolog.stream.topics import (
    Access,
    BrokerAwayError,
    MissingTopicError,
    partitions_of,
    reachable,
)


@dataclass(frozen=True, slots=True)
class Published:
    """The last event that a topic holds."""

    number: int
    event_id: str
    source: str

    def is_of(self, site_id: str) -> bool:
        """Tell whether it is a site's own."""
        origin = site_of(self.source)
        return origin is not None and origin[0] == site_id


@dataclass(frozen=True, slots=True)
class Held:
    """What a topic holds.

    Attributes
    ----------
    last
        The last event; None if there is none.
    had_more
        Whether something was there that is gone: retention took it. A topic that was
        made anew has had nothing.
    behind
        Numbers of events that stand behind the last one of their partition, in
        transactions that were aborted, so nobody sees them. Each may have been sent
        again in vain, but none is in the topic.
    """

    last: Published | None
    had_more: bool
    behind: frozenset[int] = frozenset()

    def lost(self, position: int) -> list[int]:
        """Give the numbers up to a position that the topic lacks, ascending."""
        return sorted(number for number in self.behind if number <= position)


def held_by(access: Access, topic: str) -> Held:
    """Read back the last event of a topic, as committed. Blocks.

    A cycle is one transaction over all partitions, so with the greatest number all
    lower ones are there, or were until retention took them; but for what a broker
    forgot (`annolog.stream.mending`).

    Parameters
    ----------
    access
        The brokers.
    topic
        A topic of changes.

    Raises
    ------
    MissingTopicError
        If there is no such topic.
    BrokerAwayError
        If the broker does not show it just now.
    """
    with contextlib.closing(_consumer(access)) as consumer:
        parts, begins, ends = _extent(consumer, access, topic)
        found = {
            part: one
            for part in parts
            if (one := _last_of(consumer, part, begins[part], ends[part]))
        }
    tails = {
        part: (found[part].offset + 1 if part in found else begins[part], ends[part])
        for part in parts
    }
    events = [each.event for each in found.values()]
    last = max(events, key=lambda event: event.number, default=None)
    return Held(
        None if last is None else Published(last.number, last.id, last.source),
        any(begins.values()),
        _behind(access, tails),
    )


class UnreadableError(UnavailableError):
    """A topic cannot be read now."""

    code = "topic_unreadable"


def greatest(access: Access, topic: str) -> int:
    """Give the greatest number in a topic; 0 if it holds nothing, or is none. Blocks.

    Raises
    ------
    UnreadableError
        No broker answers, or it does not let us read.
    """
    if not reachable(access):
        raise UnreadableError(f"no Kafka broker answers at {access.bootstrap}")
    try:
        last = held_by(access, topic).last
    except MissingTopicError:
        return 0
    except (KafkaError, BrokerAwayError) as error:
        raise UnreadableError(
            f"topic {topic} cannot be read ({type(error).__name__})"
        ) from error
    return 0 if last is None else last.number


def ends_of(access: Access, topic: str) -> dict[int, int]:
    """Tell the offset at which the next record of each partition will be. Blocks.

    Raises
    ------
    MissingTopicError, BrokerAwayError
        As `held_by`.
    """
    with contextlib.closing(_consumer(access)) as consumer:
        _, _, ends = _extent(consumer, access, topic)
    return {part.partition: end for part, end in ends.items()}


@dataclass(frozen=True, slots=True)
class _Found:
    """An event and its place in its partition."""

    event: Event
    offset: int


def _consumer(access: Access, isolation: str = "read_committed") -> KafkaConsumer:
    return KafkaConsumer(
        **{
            "group_id": None,
            "isolation_level": isolation,
            "enable_auto_commit": False,
            "bootstrap_timeout_ms": 8000,
            "allow_auto_create_topics": False,
            **access.arguments(),
        }
    )


def _extent(
    consumer: KafkaConsumer, access: Access, topic: str
) -> tuple[list[TopicPartition], dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Give the partitions, and where each begins and ends."""
    parts = partitions_of(consumer, access, topic)
    return parts, consumer.beginning_offsets(parts), consumer.end_offsets(parts)


def _last_of(
    consumer: KafkaConsumer, part: TopicPartition, begin: int, end: int
) -> _Found | None:
    """Find the last event of a partition; markers and foreign records are no events."""
    window = 64
    while begin < end:
        start = max(begin, end - window)
        found = None
        for found in _between(consumer, part, start, end):  # noqa: B007 # the last one
            pass
        if found is not None or start == begin:
            return found
        window *= 4
    return None


def _behind(
    access: Access, tails: Mapping[TopicPartition, tuple[int, int]]
) -> frozenset[int]:
    """Read what stands in parts of partitions though nobody is to see it."""
    # One offset is the marker that ended the last transaction.
    more = {part: tail for part, tail in tails.items() if tail[1] - tail[0] > 1}
    if not more:
        return frozenset()
    with contextlib.closing(_consumer(access, "read_uncommitted")) as consumer:
        return frozenset(
            found.event.number
            for part, (begin, end) in more.items()
            for found in _between(consumer, part, begin, end)
        )


def _between(
    consumer: KafkaConsumer, part: TopicPartition, begin: int, end: int
) -> Iterator[_Found]:
    """Read the events of a partition in [begin, end)."""
    consumer.assign([part])
    consumer.seek(part, begin)
    while consumer.position(part) < end:
        for record in consumer.poll(timeout_ms=1000).get(part, ()):
            with contextlib.suppress(AnnologError):
                event = from_message(record.key, record.value, record.headers)
                if record.offset < end:
                    yield _Found(event, record.offset)
