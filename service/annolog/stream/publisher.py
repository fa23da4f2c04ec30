"""The Kafka side of the relay: one thread, one transactional producer.

kafka-python wants one thread for one producer, some of its calls take no timeout, and
a producer that lives through an error may fall silent for good. So each call has a
deadline, and any error or passed deadline ends the process.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

from kafka import KafkaProducer
from kafka.errors import TransactionalIdAuthorizationFailedError

from annolog.domain.errors import AnnologError
from annolog.domain.events import Event, change_event, state_event
from annolog.storage.changes import Cycle
from annolog.stream.topics import Access, TopicError, Topics

CYCLE_SECONDS = 12.0
"""A transaction that has not ended by then ends the process."""

START_SECONDS = 30.0
"""Time for opening the producer, and for reading back a position."""

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
        self._ends: dict[tuple[str, int], int] = {}
        name = f"annolog-relay-{site_id}"
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
        self._ends = {
            place: end for place, end in self._ends.items() if place[0] not in remade
        } | ends
        return frozenset(remade)

    def close(self) -> None:
        """Close in an orderly way."""
        self._producer.close(timeout=2)
