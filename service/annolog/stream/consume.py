"""Reading the topics, for whoever wants to see what was said.

`follow` remembers nothing beyond its process. Whoever keeps results reads by
`annolog.stream.batches`, which brings a position to be kept beside them. Kafka's group
offsets are a convenience and never the truth: no group is used here.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from annolog.domain.errors import AnnologError, MalformedError
from annolog.domain.events import (
    CHANGE_SCHEMA,
    STATE_SCHEMA,
    Event,
    from_message,
)
from annolog.stream.topics import (
    Access,
    TopicError,
    demand_reachable,
    mute,
    partitions_of,
)

Start = Literal["beginning", "now"] | int
"""Where to begin; a number is that of the first change wanted."""

POLL_MS = 200
"""A follower looks at its stop conditions so often."""

REMEMBERED = 100_000
"""A follower remembers so many keys and partitions, the latest ones."""

_SCHEMAS = (CHANGE_SCHEMA, STATE_SCHEMA)

_log = logging.getLogger("annolog.consume")


@dataclass(frozen=True, slots=True)
class Received:
    """An event and the place where it stood.

    Attributes
    ----------
    event
        The event; its body is opened by `event.body()`.
    topic, partition, offset
        Its place.
    """

    event: Event
    topic: str
    partition: int
    offset: int


class Seen:
    """Tells what a reader has had already, as far as it remembers.

    Changes have increasing numbers in each partition. One change may alter many
    targets, and states may be sent again in place, so for states the rule holds for
    each key.

    Parameters
    ----------
    most
        So many keys and partitions are remembered; the longest silent are forgotten,
        and their next event counts as new.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._last: OrderedDict[tuple[str, int | str], int] = OrderedDict()
        self._most = most

    def is_new(self, event: Event, partition: int) -> bool:
        """Tell whether an event is above what was had, and remember it."""
        is_state = event.attributes.get("dataschema") == STATE_SCHEMA
        place = (event.source, event.key if is_state else partition)
        if event.number <= self._last.get(place, -1):
            return False
        self._last[place] = event.number
        self._last.move_to_end(place)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True)
class Until:
    """When a reader ends; by default never.

    Attributes
    ----------
    end
        At what is the topic's end when the reader starts.
    seconds
        After so long.
    idle
        When nothing came for so many seconds.
    """

    end: bool = False
    seconds: float | None = None
    idle: float | None = None

    def is_over(self, run: float, idle: float) -> bool:
        """Tell whether a reader has run, or heard nothing, for too many seconds."""
        return (self.seconds is not None and run >= self.seconds) or (
            self.idle is not None and idle >= self.idle
        )


NEVER = Until()
"""A reader that goes on until it is stopped."""


def follow(
    access: Access,
    topic: str,
    *,
    start: Start = "beginning",
    until: Until = NEVER,
    dedupe: bool = True,
) -> Generator[Received, None, None]:
    """Read a topic's events as they were committed, each once. Blocks.

    Parameters
    ----------
    access
        The brokers.
    topic
        Name of one of the two topics.
    start
        The beginning, what comes from now on, or the number of the first change
        wanted (what is before it is read and passed over).
    until
        When to end.
    dedupe
        Whether to drop what was had already. The relay writes nothing twice; who
        replays a topic, or reads a mirror of it, may.

    Yields
    ------
    Received
        In order within a partition. A broker that goes away for a while makes a
        pause and nothing else. What is no event of annolog is passed over.

    Raises
    ------
    BrokerAwayError
        If no broker answers at the start.
    TopicError
        If there is no such topic, or we may not read it.
    """
    # Where retention has overtaken a slow reader, it goes on with the oldest there is.
    consumer, parts = open_topic(access, topic, auto_offset_reset="earliest")
    seen = Seen()
    least = start if isinstance(start, int) else 0
    try:
        ends = _seek(consumer, parts, start)
        began = heard = time.monotonic()
        while True:
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                heard = time.monotonic()
                for received in filter(None, map(_received, records)):
                    if received.event.number < least:
                        continue
                    if dedupe and not seen.is_new(received.event, received.partition):
                        continue
                    yield received
            now = time.monotonic()
            if until.is_over(now - began, now - heard) or (
                until.end
                and all(consumer.position(part) >= end for part, end in ends.items())
            ):
                return
    except TopicAuthorizationFailedError as error:
        raise TopicError(f"the broker does not let us read topic {topic}") from error
    finally:
        consumer.close()


def _received(record: ConsumerRecord) -> Received | None:
    try:
        event = event_of(record)
    except AnnologError as error:
        _log.warning(
            "passed over offset %d of %s-%d: %s",
            record.offset,
            record.topic,
            record.partition,
            error.detail,
        )
        return None
    return Received(event, record.topic, record.partition, record.offset)


def event_of(record: ConsumerRecord) -> Event:
    """Read a record of a topic as an event that this version understands.

    Parameters
    ----------
    record
        As the consumer gives it.

    Returns
    -------
    Event
        Its body is not opened.

    Raises
    ------
    MalformedError
        If it is no event of annolog, or of a schema that came later: its publisher
        sends the old one beside it for a time.
    """
    event = from_message(record.key, record.value, record.headers)
    schema = event.attributes.get("dataschema")
    if schema not in _SCHEMAS:
        raise MalformedError(
            f"an event of type {event.type} and schema {schema}, which this version"
            " does not know"
        )
    return event


def open_topic(
    access: Access, topic: str, **options: str | int
) -> tuple[KafkaConsumer, list[TopicPartition]]:
    """Make a consumer of all partitions of a topic, in no group. Blocks.

    Parameters
    ----------
    access
        The brokers.
    topic
        Name of the topic.
    **options
        Further options of kafka-python's consumer.

    Returns
    -------
    tuple
        The consumer, which stands nowhere yet, and the partitions in their order.

    Raises
    ------
    BrokerAwayError
        If no broker answers.
    TopicError
        If there is no such topic.
    """
    demand_reachable(access)
    try:
        consumer = KafkaConsumer(
            **{
                "group_id": None,
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "allow_auto_create_topics": False,
                "bootstrap_timeout_ms": 8000,
                **options,
                **access.arguments(),
            }
        )
    except KafkaError as error:
        raise mute(access, error) from error
    try:
        parts = partitions_of(consumer, access, topic)
    except BaseException:
        consumer.close()
        raise
    consumer.assign(parts)
    return consumer, parts


def _seek(
    consumer: KafkaConsumer, parts: list[TopicPartition], start: Start
) -> dict[TopicPartition, int]:
    """Go to the start and give what is the end now."""
    ends: dict[TopicPartition, int] = consumer.end_offsets(parts)
    begins = ends if start == "now" else consumer.beginning_offsets(parts)
    for part in parts:
        consumer.seek(part, begins[part])
    return ends
