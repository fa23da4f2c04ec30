"""How far a topic is: read back from the topic itself, and held against the log."""

import contextlib
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from annolog.domain.errors import AnnologError, UnavailableError
from annolog.domain.events import Event, from_message, site_of
from annolog.stream.topics import Access, reachable


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
    """

    last: Published | None
    had_more: bool


def held_by(access: Access, topic: str) -> Held:
    """Read back the last event of a topic, as committed. Blocks.

    A cycle is one transaction over all partitions, so with the greatest number all
    lower ones are there, or were until retention took them.

    Parameters
    ----------
    access
        The brokers.
    topic
        A topic of changes.
    """
    with contextlib.closing(_consumer(access)) as consumer:
        parts, begins, ends = _extent(consumer, topic)
        found = [
            event
            for part in parts
            if (event := _last_of(consumer, part, begins[part], ends[part]))
        ]
    last = max(found, key=lambda event: event.number, default=None)
    return Held(
        None if last is None else Published(last.number, last.id, last.source),
        any(begins.values()),
    )


class UnreadableError(UnavailableError):
    """A topic cannot be read now."""

    code = "topic_unreadable"


def greatest(access: Access, topic: str) -> int:
    """Give the greatest number in a topic; 0 if it holds nothing. Blocks.

    Raises
    ------
    UnreadableError
        No broker answers, or it does not let us read.
    """
    if not reachable(access):
        raise UnreadableError(f"no Kafka broker answers at {access.bootstrap}")
    try:
        last = held_by(access, topic).last
    except KafkaError as error:
        raise UnreadableError(
            f"topic {topic} cannot be read ({type(error).__name__})"
        ) from error
    return 0 if last is None else last.number


def ends_of(access: Access, topic: str) -> dict[int, int]:
    """Tell the offset at which the next record of each partition will be. Blocks."""
    with contextlib.closing(_consumer(access)) as consumer:
        _, _, ends = _extent(consumer, topic)
    return {part.partition: end for part, end in ends.items()}


def _consumer(access: Access) -> KafkaConsumer:
    return KafkaConsumer(
        **{
            "group_id": None,
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "bootstrap_timeout_ms": 8000,
            "allow_auto_create_topics": False,
            **access.arguments(),
        }
    )


def _extent(
    consumer: KafkaConsumer, topic: str
) -> tuple[list[TopicPartition], dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Give the partitions, and where each begins and ends."""
    parts = [
        TopicPartition(topic, number)
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    if not parts:
        return [], {}, {}
    return parts, consumer.beginning_offsets(parts), consumer.end_offsets(parts)


def _last_of(
    consumer: KafkaConsumer, part: TopicPartition, begin: int, end: int
) -> Event | None:
    """Find the last event of a partition; markers and foreign records are no events."""
    window = 64
    consumer.assign([part])
    while begin < end:
        start = max(begin, end - window)
        consumer.seek(part, start)
        last: Event | None = None
        while consumer.position(part) < end:
            for record in consumer.poll(timeout_ms=1000).get(part, ()):
                with contextlib.suppress(AnnologError):
                    event = from_message(record.key, record.value, record.headers)
                    last = event if record.offset < end else last
        if last is not None or start == begin:
            return last
        window *= 4
    return None
