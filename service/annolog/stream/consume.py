"""Reading the topics, for whoever wants to know what was said.

Kafka's group offsets are a convenience and never the truth: no group is used here.
Whoever keeps results keeps the position (source, partition, number) beside them, in
one transaction, and drops what is not above it. `follow` does the same in memory.
"""

import logging
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from annolog.domain.errors import AnnologError
from annolog.domain.events import STATE_SCHEMA, Event, from_message
from annolog.stream.topics import (
    Access,
    BrokerAwayError,
    TopicError,
    demand_reachable,
)

Start = Literal["beginning", "now"] | int
"""Where to begin; a number is that of the first change wanted."""

_POLL_MS = 200
"""A follower looks at its stop conditions so often."""

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
    """Tells what a reader has had already.

    Changes have increasing numbers in each partition. One change may alter many
    targets, and states may be sent again in place, so for states the rule holds for
    each key; that takes memory for each key seen.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, int | str], int] = {}

    def is_new(self, event: Event, partition: int) -> bool:
        """Tell whether an event is above what was had, and remember it."""
        is_state = event.attributes.get("dataschema") == STATE_SCHEMA
        place = (event.source, event.key if is_state else partition)
        if event.number <= self._last.get(place, -1):
            return False
        self._last[place] = event.number
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


def follow(
    access: Access,
    topic: str,
    *,
    start: Start = "beginning",
    until: Until = Until(),
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
    consumer, parts = _open(access, topic)
    seen = Seen()
    least = start if isinstance(start, int) else 0
    try:
        ends = _seek(consumer, parts, start)
        began = heard = time.monotonic()
        while True:
            for records in consumer.poll(timeout_ms=_POLL_MS).values():
                heard = time.monotonic()
                for received in filter(None, map(_received, records)):
                    if received.event.number < least:
                        continue
                    if dedupe and not seen.is_new(received.event, received.partition):
                        continue
                    yield received
            now = time.monotonic()
            if _is_over(until, now - began, now - heard) or (
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
        event = from_message(record.key, record.value, record.headers)
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


def _is_over(until: Until, run: float, idle: float) -> bool:
    return (until.seconds is not None and run >= until.seconds) or (
        until.idle is not None and idle >= until.idle
    )


def _open(access: Access, topic: str) -> tuple[KafkaConsumer, list[TopicPartition]]:
    demand_reachable(access)
    try:
        consumer = KafkaConsumer(
            **{
                "group_id": None,
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "allow_auto_create_topics": False,
                "bootstrap_timeout_ms": 8000,
                **access.arguments(),
            }
        )
    except KafkaError as error:
        raise BrokerAwayError(
            f"{access.bootstrap} takes connections but does not answer as a Kafka"
            f" broker that lets us in ({type(error).__name__}): see that protocol,"
            " certificates and password fit"
        ) from error
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        consumer.close()
        raise TopicError(
            f"there is no topic {topic} at {access.bootstrap}: a relay makes it when it"
            " starts; is the prefix right?"
        )
    parts = [TopicPartition(topic, number) for number in sorted(numbers)]
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
