"""The consumer kit: events in batches, each with the position after it.

    for batch in batches(access, "lsst.annolog.targets", position):
        with database.transaction():
            for event in batch.events:
                ...                      # the effect
            store(batch.position)        # beside it

As effect and position are stored together, a process may be killed at any moment and
started again with the position that it stored: nothing is lost and nothing comes
twice. A broker that is away makes a pause.
"""

import logging
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import (
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from annolog.domain.errors import AnnologError, MalformedError
from annolog.domain.events import Event
from annolog.stream.consume import NEVER, POLL_MS, Until, event_of, open_topic
from annolog.stream.positions import Place, Position, PositionError, of_states
from annolog.stream.topics import Access, BrokerAwayError, TopicError

MOST = 1000
"""Events of one batch."""

TOMBSTONE_SECONDS = 5 * 86_400
"""A reader of states that was away for longer begins anew: after a week the broker
forgets tombstones, so what it missed it could never learn."""

CLOCKS_APART_MS = 600_000
"""The service's clock and the broker's differ by less."""

_RETRY_SECONDS = 1.0
_SAY_SECONDS = 60.0

_log = logging.getLogger("annolog.consume")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events and what to store with their effect.

    Attributes
    ----------
    events
        In order within a partition (or, over HTTP, altogether); may be empty.
    position
        Where to go on once the effect of this batch is stored.
    begins
        Whether states are given from the beginning, from this batch on: what was kept
        of earlier ones and has not come again when `arrives` is true, holds no more.
    caught_up
        Whether all is here that was there when reading began, so that whoever relies
        on the results may open for business.
    arrives
        Whether this is the first batch of which `caught_up` is true.
    passed_over
        How many records before this position could not be read, since the last batch.
    """

    events: tuple[Event, ...]
    position: Position
    begins: bool = False
    caught_up: bool = False
    arrives: bool = False
    passed_over: int = 0


def batches(
    access: Access,
    topic: str,
    position: Position | None = None,
    *,
    most: int = MOST,
    until: Until = NEVER,
    stop: threading.Event | None = None,
) -> Generator[Batch, None, None]:
    """Read a topic on from a position, as it was committed. Blocks.

    Parameters
    ----------
    access
        The brokers.
    topic
        Name of one of the two topics.
    position
        What was stored with the last batch; None for the beginning. A position of the
        same topic is found at once. In another one (made anew, filled by a replay, a
        mirror) changes are read from the beginning and those had are dropped; states
        are read anew, as the batch then says (`begins`).
    most
        Events of one batch.
    until
        When to end; by default never. `end` means once `caught_up` is true.
    stop
        Ends the reading within a second when it is set, from whichever thread or
        signal handler.

    Yields
    ------
    Batch
        As soon as there is something, and once, maybe without events, to say that
        all is read. A broker that is away, also at the start, makes a pause and one
        line a minute in the log. What is no event of annolog, or one of a schema that
        came later, is counted, told in the log and passed over.

    Raises
    ------
    TopicError
        If there is no such topic, or we may not read it.
    PositionError
        If changes above the position were removed from the topic, or the position is
        one of the other topic.
    """
    reader = _Reader(access, topic, position or Position(), most)
    stop = stop or threading.Event()
    began = heard = time.monotonic()
    said = -_SAY_SECONDS
    while not stop.is_set():
        try:
            for batch in reader.batches(stop):
                if batch is not None:
                    heard = time.monotonic()
                    yield batch
                now = time.monotonic()
                if until.is_over(now - began, now - heard) or (
                    until.end and reader.caught_up
                ):
                    return
        except TopicAuthorizationFailedError as error:
            raise TopicError(
                f"the broker does not let us read topic {topic}"
            ) from error
        except (BrokerAwayError, KafkaError) as error:
            now = time.monotonic()
            if until.is_over(now - began, now - heard):
                return
            if now - said >= _SAY_SECONDS:
                _log.warning("reading of %s waits for Kafka: %s", topic, _words(error))
                said = now
            stop.wait(_RETRY_SECONDS)


class _Reader:
    """Reads one topic through any number of connections."""

    def __init__(
        self, access: Access, topic: str, position: Position, most: int
    ) -> None:
        self._access = access
        self._topic = topic
        self._of_states = of_states(topic)
        position.demand_of(states=self._of_states)
        self._position = position
        self._most = most
        self._lost = False
        self._begins = False
        # Last records that were had, by which it shows that the topic is the same.
        self._known: dict[int, tuple[int, str]] = {}
        self._ends: dict[TopicPartition, int] | None = None
        self.caught_up = False

    def batches(self, stop: threading.Event) -> Generator[Batch | None, None, None]:
        """Read by one connection; None where nothing came for a moment."""
        consumer, parts = open_topic(
            self._access,
            self._topic,
            auto_offset_reset="none",
            max_poll_records=self._most,
        )
        try:
            self._go(consumer, parts)
            while not stop.is_set() and not self._lost:
                yield self._next(consumer)
        except OffsetOutOfRangeError:
            self._lost = True
        finally:
            consumer.close()

    # ------------------------------------------------------------ where to begin

    def _go(self, consumer: KafkaConsumer, parts: Sequence[TopicPartition]) -> None:
        """Seek to where the position says, and see what the topic's end is now."""
        oldest = consumer.beginning_offsets(parts)
        ends = consumer.end_offsets(parts)
        topic_id = _topic_id(self._access, self._topic)
        was = self._position
        known: dict[int, tuple[int, str]] = {}
        if self._is_stale(was):
            starts = self._begin(oldest, topic_id)
        elif (was.topic, was.topic_id) == (self._topic, topic_id) and not self._lost:
            starts, known = self._resume(oldest)
        elif was.floor and not was.places:
            starts = self._begin_at_floor(consumer, ends, topic_id)
        else:
            starts = self._begin(oldest, topic_id)
        for part, offset in starts.items():
            consumer.seek(part, offset)
        self._known = known
        if self._ends is None:
            self._ends, self.caught_up = ends, False
        self._lost = False

    def _is_stale(self, was: Position) -> bool:
        """Tell whether tombstones may have come and gone since a position of states."""
        if self._ends is not None or not self._of_states or not was.at:
            return False  # it is this process that has read on
        return time.time() - was.at / 1000 > TOMBSTONE_SECONDS

    def _resume(
        self, oldest: Mapping[TopicPartition, int]
    ) -> tuple[dict[TopicPartition, int], dict[int, tuple[int, str]]]:
        """Go on in the same topic, at the last record had so as to know it again."""
        starts, known = {}, {}
        for part, begin in oldest.items():
            place = self._position.places.get(part.partition, Place(begin))
            if place.offset < begin and self._of_states:
                return self._begin(oldest, self._position.topic_id), {}
            if place.offset < begin:
                raise PositionError(
                    f"the broker has removed changes of {self._topic} that were not"
                    f" read, above {self._position.upto}: read on over HTTP"
                    f" (/changes?after={self._position.upto}), then come back"
                )
            starts[part] = place.offset
            if place.last is not None and place.last >= begin:
                starts[part] = place.last
                known[part.partition] = (place.last, place.last_id)
        return starts, known

    def _begin(
        self, oldest: Mapping[TopicPartition, int], topic_id: str
    ) -> dict[TopicPartition, int]:
        """Read from the beginning; of changes those are dropped that were had."""
        was = self._position
        if was.places:
            _log.warning(
                "%s is not where the position was taken, or that is too long ago: it"
                " is read from the beginning",
                self._topic,
            )
        # The ends of another topic, which this one may never reach.
        self._ends = None
        if self._of_states:
            was, self._begins = Position(), True
        self._position = _at(was, self._topic, topic_id, oldest)
        return dict(oldest)

    def _begin_at_floor(
        self,
        consumer: KafkaConsumer,
        ends: Mapping[TopicPartition, int],
        topic_id: str,
    ) -> dict[TopicPartition, int]:
        """Begin where what was had over HTTP ends: it was published after that."""
        since = max(self._position.at - CLOCKS_APART_MS, 0)
        found = consumer.offsets_for_times(dict.fromkeys(ends, since))
        # None where nothing is so new; what comes meanwhile stands behind the end.
        starts = {
            part: found[part].offset if found.get(part) else end
            for part, end in ends.items()
        }
        self._position = _at(self._position, self._topic, topic_id, starts)
        return starts

    # ------------------------------------------------------------ what is there

    def _next(self, consumer: KafkaConsumer) -> Batch | None:
        polled = consumer.poll(timeout_ms=POLL_MS)
        events: list[Event] = []
        passed_over = 0
        for part, records in polled.items():
            if self._is_other(part.partition, records[0]):
                self._lost = True
                return None
            unread = self._take(part.partition, records, events)
            passed_over += len(unread)
            if unread:
                _log.warning(
                    "passed over %d of %s-%d, first offset %d: %s",
                    len(unread),
                    self._topic,
                    part.partition,
                    *unread[0],
                )
        arrives = not self.caught_up and all(
            consumer.position(part) >= end for part, end in (self._ends or {}).items()
        )
        if not polled and not arrives:
            return None
        self.caught_up = self.caught_up or arrives
        begins, self._begins = self._begins, False
        return Batch(
            tuple(events), self._position, begins, self.caught_up, arrives, passed_over
        )

    def _is_other(self, partition: int, record: ConsumerRecord) -> bool:
        """Tell whether another record stands where the last one was had."""
        offset, event_id = self._known.get(partition, (-1, ""))
        if record.offset != offset:
            return False
        try:
            return event_of(record).id != event_id
        except AnnologError:
            return True

    def _take(
        self,
        partition: int,
        records: Sequence[ConsumerRecord],
        events: list[Event],
    ) -> list[tuple[int, str]]:
        """Take the new events of a partition; give offset and reason of the unread."""
        unread: list[tuple[int, str]] = []
        last_had, _ = self._known.pop(partition, (-1, ""))
        position = self._position
        for record in records:
            if record.offset <= last_had:
                continue
            try:
                event = _readable(record)
            except AnnologError as error:
                unread.append((record.offset, error.detail))
                continue
            if not position.had(event, partition):
                events.append(event)
            position = position.past(event, partition, record.offset)
        newest = max(record.timestamp for record in records)
        self._position = replace(position, at=max(position.at, newest))
        return unread


def _at(
    was: Position, topic: str, topic_id: str, starts: Mapping[TopicPartition, int]
) -> Position:
    """Give a position at offsets of a topic, with the numbers of an earlier one."""
    places = {
        part.partition: Place(
            offset, numbers=was.places.get(part.partition, Place(0)).numbers
        )
        for part, offset in starts.items()
    }
    return replace(was, topic=topic, topic_id=topic_id, places=places)


def _readable(record: ConsumerRecord) -> Event:
    """Read a record whose body can be opened, or raise MalformedError."""
    event = event_of(record)
    try:
        event.body()
    except msgspec.MsgspecError as error:
        raise MalformedError(f"its body is no JSON object: {error}") from None
    return event


def _topic_id(access: Access, topic: str) -> str:
    """Ask which topic bears a name: one that is made anew has another id."""
    admin = KafkaAdminClient(
        **{
            "bootstrap_timeout_ms": 6000,
            "request_timeout_ms": 6000,
            **access.arguments(),
        }
    )
    try:
        (described,) = admin.describe_topics([topic])
    finally:
        admin.close()
    return str(described.get("topic_id") or "")


def _words(error: Exception) -> str:
    if isinstance(error, AnnologError):
        return error.detail
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
