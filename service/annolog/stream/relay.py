"""The relay: everything in the log goes to Kafka, once and in order.

It is a process of its own, transactional, and crash-only. A cycle publishes the
changes (a, b] and the states of the targets that they left, read in one snapshot, as
one Kafka transaction over both topics. Every blocking call has a deadline. On any
error the process ends and its supervisor starts another one, which fences what the
old one left open and reads back from the topic how far it came: nothing that the
process remembered is needed.

Why so: a producer that lives through an error may fall silent for good or block for
ever (kafka-python 3.0.12: an idempotent producer whose batch expired never sends
again; `commit_transaction` whose request was lost never returns).
"""

import asyncio
import contextlib
import functools
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar, cast

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    ProducerFencedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.producer.future import FutureRecordMetadata

from annolog.domain.errors import AnnologError, ConflictError, UnavailableError
from annolog.domain.events import (
    Event,
    change_event,
    from_message,
    site_of,
    state_event,
)
from annolog.storage import changes
from annolog.storage.database import (
    Connection,
    Site,
    Use,
    connect,
    ensure_site,
    is_current,
)
from annolog.stream.topics import Access, TopicError, Topics, ensure, reachable

LEASE = "relay"
"""Name of the lease that lets one relay work and others wait."""

LEASE_SECONDS = 20.0
"""A relay that is silent for so long is passed over. Longer than one cycle may take."""

CYCLE_SECONDS = 12.0
"""A cycle that has not ended by then ends the process."""

START_SECONDS = 30.0
"""Time for opening the producer and reading back the position."""

POLL_SECONDS = 5.0
"""The log is looked at so often even if nobody says that it grew."""

RELAY = Use(
    "annolog relay",
    1,
    1,
    15.0,
    {
        # Plans made on empty tables are slow ones.
        "enable_seqscan": "off",
        "jit": "off",
        # A position lost in a crash is read back from the topic.
        "synchronous_commit": "off",
        "statement_timeout": "12s",
        "idle_in_transaction_session_timeout": "20s",
    },
)
"""One connection for all: lock, lease, listening, and snapshots of the log."""

FAILED = 1
"""Exit code: start me again."""

STOPPED = 3
"""Exit code: starting again does not help before somebody has acted."""

_log = logging.getLogger("annolog.relay")

T = TypeVar("T")


class StopRelayError(AnnologError):
    """The log and the topic contradict each other; a person must look."""

    code = "relay_stopped"


class SchemaError(AnnologError):
    """The database is of another version."""

    code = "schema"


class DeadlineError(AnnologError):
    """A call into Kafka did not come back in time."""

    code = "deadline"


class LostLeaseError(AnnologError):
    """Another relay works by now."""

    code = "lost_lease"


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """What a relay is told.

    Attributes
    ----------
    database_url
        Where the log is.
    access
        The brokers.
    site_id
        Whose log it is; another site's database is refused.
    topics
        Names of the topics.
    bounds
        Greatest size of a cycle.
    replication
        Copies of each partition if the topics must be made.
    """

    database_url: str
    access: Access
    site_id: str
    topics: Topics = field(default_factory=Topics.named)
    bounds: changes.Bounds = field(default_factory=changes.Bounds)
    replication: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The last event that a topic holds."""

    number: int
    event_id: str
    source: str


class Thread:
    """One thread for all that blocks, each call with a deadline.

    kafka-python wants one thread for one producer, and some of its calls take no
    timeout. Whoever passes the deadline cannot be stopped, so the process must end.
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
    """The Kafka side: one transactional producer. All methods block.

    Parameters
    ----------
    access
        The brokers.
    topics
        Where to publish.
    site_id
        Names the transaction, so that a relay fences its predecessor at this site.
    """

    def __init__(self, access: Access, topics: Topics, site_id: str) -> None:
        self._topics = topics
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

    def publish(self, cycle: changes.Cycle) -> None:
        """Publish a cycle as one transaction; any exception ends this publisher."""
        producer = self._producer
        producer.begin_transaction()
        sent = [
            self._send(self._topics.changes, change_event(change))
            for change in cycle.changes
        ]
        sent += [
            self._send(self._topics.targets, state_event(state))
            for state in cycle.states
        ]
        producer.flush(6)
        for future in sent:
            future.get(0.1)
        producer.commit_transaction()

    def _send(self, topic: str, event: Event) -> FutureRecordMetadata:
        return self._producer.send(
            topic, key=event.key.encode(), value=event.data, headers=event.headers()
        )

    def close(self) -> None:
        """Close in an orderly way."""
        self._producer.close(timeout=2)


def last_published(access: Access, topic: str) -> Published | None:
    """Read back the last event of a topic, as committed. Blocks.

    A cycle is one transaction over all partitions, so with the greatest number all
    lower ones are there.

    Parameters
    ----------
    access
        The brokers.
    topic
        The topic of changes.

    Returns
    -------
    Published or None
        None if the topic holds nothing.
    """
    consumer = KafkaConsumer(
        **{
            "group_id": None,
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "bootstrap_timeout_ms": 8000,
            "allow_auto_create_topics": False,
            **access.arguments(),
        }
    )
    try:
        parts = [
            TopicPartition(topic, number)
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        begins = consumer.beginning_offsets(parts)
        ends = consumer.end_offsets(parts)
        found = [
            event
            for part in parts
            if (event := _last_of(consumer, part, begins[part], ends[part]))
        ]
    finally:
        consumer.close()
    if not found:
        return None
    last = max(found, key=lambda event: event.number)
    return Published(last.number, last.id, last.source)


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


class Relay:
    """One relay in its process.

    Parameters
    ----------
    config
        What to do.
    holder
        Unique name of this process, for the lease.
    """

    def __init__(self, config: RelayConfig, holder: str) -> None:
        self._config = config
        self._holder = holder
        self._stop = asyncio.Event()
        self._grown = asyncio.Event()
        self._thread = Thread()
        self._renewed = 0.0
        self._told = (-1, 0.0)

    def stop(self) -> None:
        """Ask it to end after the present cycle."""
        self._stop.set()
        self._grown.set()

    async def run(self) -> None:
        """Work until asked to stop.

        Raises
        ------
        Exception
            Anything that goes wrong. The process must then end.
        """
        conn = await self._connect()
        site = await self._site(conn)
        if not await self._lease(conn):
            return
        if not await self._wait_for_broker(conn):
            return
        config, call = self._config, self._thread.call
        await call(
            "looking at the topics",
            START_SECONDS,
            functools.partial(
                ensure,
                config.access,
                config.topics,
                replication=config.replication,
            ),
        )
        publisher = await call(
            "opening a producer",
            START_SECONDS,
            functools.partial(Publisher, config.access, config.topics, site.site_id),
        )
        await self._keep_lease(conn)
        position = await self._position(conn, site)
        _log.info("relay of %s goes on after change %d", site.site_id, position)
        async with changes.listening(conn, lambda _: self._grown.set()):
            while not self._stop.is_set():
                self._grown.clear()
                position = await self._cycle(conn, publisher, position)
        await self._tell(conn, position)
        await call("closing the producer", 5.0, publisher.close)
        await changes.release_lease(conn, LEASE, self._holder)
        await conn.close()
        _log.info("relay stopped after change %d", position)

    async def _cycle(
        self, conn: Connection, publisher: Publisher, position: int
    ) -> int:
        """Publish what is new, or wait for it; give the new position."""
        cycle = await changes.cycle(conn, position, self._config.bounds)
        now = asyncio.get_running_loop().time()
        if cycle.changes:
            await self._thread.call(
                "publishing a cycle",
                CYCLE_SECONDS,
                functools.partial(publisher.publish, cycle),
            )
            position = cycle.changes[-1].number
        told, told_at = self._told
        if now - told_at > POLL_SECONDS / 10 or (
            not cycle.changes and told != position
        ):
            await self._tell(conn, position)
        await self._keep_lease(conn)
        if not cycle.changes:
            await self._sleep(POLL_SECONDS)
        return position

    async def _tell(self, conn: Connection, position: int) -> None:
        """Keep the position where the web processes see it."""
        await changes.set_floor(conn, self._config.topics.changes, position)
        self._told = position, asyncio.get_running_loop().time()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._grown.wait(), seconds)

    async def _connect(self) -> Connection:
        delay, said = 0.25, False
        while True:
            try:
                return await connect(self._config.database_url, RELAY)
            except UnavailableError as error:
                if not said:
                    cause = _one_line(error.__cause__ or error)
                    _log.warning("relay waits for the database: %s", cause)
                    said = True
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _site(self, conn: Connection) -> Site:
        """Learn whose log it is, and that this code understands it."""
        if not await is_current(conn):
            raise SchemaError(
                "the database has not the tables that this relay knows: run"
                " `annologd migrate`"
            )
        try:
            site = await ensure_site(conn, self._config.site_id)
        except ConflictError as error:
            raise StopRelayError(error.detail) from error
        if site.moved:
            _log.warning("%s", site.moved)
        return site

    async def _lease(self, conn: Connection) -> bool:
        said = False
        while not self._stop.is_set():
            if await changes.take_lease(conn, LEASE, self._holder, LEASE_SECONDS):
                self._renewed = asyncio.get_running_loop().time()
                return True
            if not said:
                _log.warning("another relay is at work; this one waits")
                said = True
            await self._sleep(0.5)
        return False

    async def _keep_lease(self, conn: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._renewed < LEASE_SECONDS / 4:
            return
        if not await changes.renew_lease(conn, LEASE, self._holder, LEASE_SECONDS):
            raise LostLeaseError("another relay took over; this one ends")
        self._renewed = now

    async def _wait_for_broker(self, conn: Connection) -> bool:
        delay, waited, next_line = 0.5, 0.0, 0.0
        access = self._config.access
        while not self._stop.is_set():
            reached = await self._thread.call(
                "connecting", START_SECONDS, functools.partial(reachable, access)
            )
            if reached:
                return True
            if waited >= next_line:
                _log.warning(
                    "no Kafka broker answers at %s; changes wait in the log",
                    access.bootstrap,
                )
                next_line = waited + 60.0
            await self._sleep(delay)
            await self._keep_lease(conn)
            waited, delay = waited + delay, min(delay * 2, 5.0)
        return False

    async def _position(self, conn: Connection, site: Site) -> int:
        """Find out after which change to go on.

        Raises
        ------
        StopRelayError
            If the topic is another site's, or knows more than the log.
        """
        topic = self._config.topics.changes
        last = await self._thread.call(
            "reading back the position",
            START_SECONDS,
            functools.partial(last_published, self._config.access, topic),
        )
        if last is None:
            number = await changes.floor(conn, topic)
            return number if number is not None else site.first_number - 1
        origin = site_of(last.source)
        if origin is None or origin[0] != site.site_id:
            raise StopRelayError(
                f"topic {topic} holds events of {last.source}, and this is site"
                f" {site.site_id}: choose another prefix"
            )
        head = await changes.head(conn)
        if last.number > head:
            # Web processes compare this with the log and refuse writes.
            await changes.set_floor(conn, topic, last.number)
            raise StopRelayError(
                f"topic {topic} holds change {last.number} and the log ends at {head}:"
                " the database is older than what was published. Begin a new life of"
                " it with `annologd incarnation new`"
            )
        if last.number >= site.first_number:
            there = await changes.id_at(conn, last.number)
            if there != last.event_id:
                raise StopRelayError(
                    f"change {last.number} is {last.event_id} in topic {topic} and"
                    f" {there} in the log: two databases have published there. Begin a"
                    " new life of this one with `annologd incarnation new`"
                )
        return last.number


def main(config: RelayConfig) -> NoReturn:
    """Be the relay process: run, and end with an exit code for the supervisor.

    Parameters
    ----------
    config
        What to do. SIGTERM and SIGINT end it in order with 0; anything else that ends
        it gives one line and `FAILED` or `STOPPED`.
    """
    holder = f"{os.uname().nodename}:{os.getpid()}"
    try:
        code = asyncio.run(_run(Relay(config, holder)))
    except BaseException as error:  # noqa: BLE001 # crash-only: whatever it was, end
        code = STOPPED if isinstance(error, StopRelayError) else FAILED
        _log.error("relay ends: %s", describe(error))
    logging.shutdown()
    # Not sys.exit: threads inside the Kafka client may never end.
    os._exit(code)


async def _run(relay: Relay) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, relay.stop)
    await relay.run()
    return 0


_FENCED = (ProducerFencedError, InvalidProducerEpochError)


def describe(error: BaseException) -> str:
    """Say in one line what went wrong, for people."""
    if isinstance(error, AnnologError):
        return error.detail
    if isinstance(error, _FENCED):
        return "another relay took over (this one was fenced)"
    if isinstance(error, KafkaError):
        return f"Kafka: {type(error).__name__}: {_one_line(error)}"
    return f"{type(error).__name__}: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
