"""The Kafka side of the relay: one thread, one transactional producer.

kafka-python wants one thread for one producer, some of its calls take no timeout, and
a producer that lives through an error may fall silent for good. So each call has a
deadline, and any error or passed deadline ends the process.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import PartitionProducerState
from kafka.errors import (
    NotLeaderForPartitionError,
    TransactionalIdAuthorizationFailedError,
)

from annolog.domain.errors import AnnologError
from annolog.domain.events import Event, change_event, state_event
from annolog.storage.changes import Cycle
from annolog.stream.topics import (
    PARTITIONS,
    Access,
    TopicError,
    Topics,
    administer,
)

CYCLE_SECONDS = 12.0
"""A transaction that has not ended by then ends the process."""

START_SECONDS = 30.0
"""Time for opening the producer, and for reading back a position."""

SETTLE_SECONDS = 10.0
"""A broker that ends a transaction has ended it everywhere by then."""

T = TypeVar("T")


class DeadlineError(AnnologError):
    """A call into Kafka did not come back in time."""

    code = "deadline"


def events_of(cycle: Cycle, topics: Topics) -> list[tuple[str, Event]]:
    """Give the events of a cycle, each with its topic: changes, then states."""
    return [
        *((topics.changes, change_event(change)) for change in cycle.changes),
        *((topics.targets, state_event(state)) for state in cycle.states),
    ]


class Thread:
    """One thread for all that blocks, each call with a deadline.

    Whoever passes the deadline cannot be stopped, so the process must end.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="kafka calls", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._calls.get()()

    async def call(self, what: str, seconds: float, function: Callable[[], T]) -> T:
        """Run a function in the thread and wait for it.

        Parameters
        ----------
        what
            What is being done, for the error.
        seconds
            Deadline.
        function
            The call.

        Raises
        ------
        DeadlineError
            If it has not come back by then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 # raised by the waiting side
                loop.call_soon_threadsafe(_settle, future, None, error)
            else:
                loop.call_soon_threadsafe(_settle, future, result, None)

        self._calls.put(run)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise DeadlineError(f"{what} took more than {seconds:g} s") from None


def _settle(
    future: asyncio.Future[T], result: T | None, error: BaseException | None
) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(cast("T", result))
    else:
        future.set_exception(error)


class Publisher:
    """One transactional producer. All methods block.

    Parameters
    ----------
    access
        The brokers.
    site_id
        Names the transaction, so that a relay fences its predecessor at this site.
    """

    def __init__(self, access: Access, site_id: str) -> None:
        self._access = access
        self._admin: KafkaAdminClient | None = None
        self._ends: dict[tuple[str, int], int] = {}
        self.published = 0
        """Transactions that this publisher has committed."""
        self._name = name = f"annolog-relay-{site_id}"
        self._producer = KafkaProducer(
            **{
                "transactional_id": name,
                "transaction_timeout_ms": 30_000,
                # flush() shall make one batch a partition.
                "linger_ms": 1000,
                "batch_size": 1 << 20,
                "delivery_timeout_ms": 5000,
                "request_timeout_ms": 2500,
                "max_block_ms": 8000,
                "bootstrap_timeout_ms": 8000,
                # A transaction begun right after a commit is often put off by the
                # broker; with the default of 100 ms one change a cycle gives 10/s.
                "retry_backoff_ms": 10,
                "allow_auto_create_topics": False,
                # Nobody reads them, and they take a tenth of a cycle.
                "metrics_enabled": False,
                **access.arguments(),
            }
        )
        try:
            self._producer.init_transactions()
        except TransactionalIdAuthorizationFailedError as error:
            raise TopicError(
                f"the broker forbids us the transactional id {name}: our user needs"
                " Describe and Write on it"
            ) from error

    def expect(self, topic: str, ends: Mapping[int, int]) -> None:
        """Take note where a topic's partitions end, to notice if it is made anew."""
        self._ends |= {(topic, number): end for number, end in ends.items()}

    def publish(self, events: Iterable[tuple[str, Event]]) -> frozenset[str]:
        """Publish events as one transaction; any exception ends this publisher.

        Parameters
        ----------
        events
            Topic and event, in the order of sending; not none.

        Returns
        -------
        frozenset of str
            Topics that were made anew since the last time: there is less in them now
            than this publisher itself had brought.
        """
        producer = self._producer
        producer.begin_transaction()
        sent = [
            producer.send(
                topic, key=event.key.encode(), value=event.data, headers=event.headers()
            )
            for topic, event in events
        ]
        producer.flush(6)
        remade = set()
        ends: dict[tuple[str, int], int] = {}
        for future in sent:
            told = future.get(0.1)
            place = (told.topic, told.partition)
            if told.offset < self._ends.get(place, 0):
                remade.add(told.topic)
            ends[place] = max(told.offset + 1, ends.get(place, 0))
        producer.commit_transaction()
        self.published += 1
        self._ends = {
            place: end for place, end in self._ends.items() if place[0] not in remade
        } | ends
        return frozenset(remade)

    def left_open(self, topics: Iterable[str]) -> Sequence[TopicPartition]:
        """Give the partitions in which a transaction of ours is open.

        Between two transactions there is none, but for the moment that a broker takes
        to end the last one everywhere, and for what it forgot to end.

        Parameters
        ----------
        topics
            Where to look.
        """
        if self._admin is None:
            self._admin = administer(self._access)
        ours = self._admin.describe_transactions([self._name])[self._name].producer_id
        parts = [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(PARTITIONS)
        ]
        return sorted(
            part
            for part, producers in _producers(self._admin, parts).items()
            for one in producers.active_producers
            if one.producer_id == ours and one.current_transaction_start_offset >= 0
        )

    def settle(self, topics: Sequence[str]) -> Sequence[TopicPartition]:
        """End what a broker left open: nobody sees what was sent in it.

        Before the first transaction, as the next one there would end it as it ends.

        Parameters
        ----------
        topics
            Where to look.

        Returns
        -------
        sequence of TopicPartition
            Where something was open.

        Raises
        ------
        DeadlineError
            If it cannot be ended.
        """
        left = self.left_open(topics)
        if not left:
            return left
        # A marker is written only where a transaction has written.
        self._producer.begin_transaction()
        sent = [
            self._producer.send(
                part.topic, key=b"aborted", value=b"", partition=part.partition
            )
            for part in left
        ]
        self._producer.flush(6)
        for future in sent:
            future.get(0.1)
        self._producer.abort_transaction()
        end = time.monotonic() + SETTLE_SECONDS
        while still := self.left_open(topics):
            if time.monotonic() > end:
                raise DeadlineError(f"a transaction stays open in {where(still)}")
            time.sleep(0.05)
        return left

    def close(self) -> None:
        """Close in an orderly way."""
        if self._admin is not None:
            self._admin.close()
        self._producer.close(timeout=2)


def _producers(
    admin: KafkaAdminClient, parts: Sequence[TopicPartition]
) -> Mapping[TopicPartition, PartitionProducerState]:
    """Ask the leaders who writes there."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            return cast(
                "Mapping[TopicPartition, PartitionProducerState]",
                admin.describe_producers(parts),
            )
        except NotLeaderForPartitionError:
            # A leader that was chosen just now does not know yet that it is one.
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def where(parts: Iterable[TopicPartition]) -> str:
    """Name partitions, for people."""
    return ", ".join(f"{part.topic}-{part.partition}" for part in parts)
