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
import signal
from dataclasses import dataclass, field
from typing import NoReturn

from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    ProducerFencedError,
)

from annolog.domain.errors import AnnologError, ConflictError, UnavailableError
from annolog.storage import changes, orders
from annolog.storage.changes import RELAY_LEASE, Cycle
from annolog.storage.database import (
    Connection,
    Site,
    Use,
    connect,
    ensure_site,
    is_away,
    is_current,
)
from annolog.stream.comparing import LogAndTopics, StopRelayError
from annolog.stream.mending import Watch, settle
from annolog.stream.orders import Clerk
from annolog.stream.publisher import (
    CYCLE_SECONDS,
    START_SECONDS,
    Publisher,
    Thread,
    events_of,
)
from annolog.stream.topics import Access, TopicError, Topics, ensure, reachable

LEASE_SECONDS = 20.0
"""A relay that is silent for so long is passed over. Longer than one cycle may take."""

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


class SchemaError(AnnologError):
    """The database is of another version."""

    code = "schema"


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
        await self._site(conn)
        if not await self._lease(conn):
            return
        try:
            await self._work(conn)
        except (StopRelayError, TopicError) as error:
            await changes.set_stopped(
                conn,
                self._config.topics.changes,
                error.detail,
                await changes.beginning(conn),
            )
            await changes.release_lease(conn, RELAY_LEASE, self._holder)
            raise

    async def _work(self, conn: Connection) -> None:
        """Do what only one relay may do, until asked to stop."""
        if not await self._wait_for_broker(conn):
            return
        # Only now: a new life may have begun while we waited.
        site = await self._site(conn)
        if site.moved:
            _log.warning("%s", site.moved)
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
            functools.partial(Publisher, config.access, site.site_id),
        )
        await self._keep_lease(conn)
        await settle(
            self._thread, publisher, (config.topics.changes, config.topics.targets)
        )
        log = LogAndTopics(conn, self._thread, config.access, config.topics, site)
        position = await log.position()
        await log.mend(publisher, position)
        await log.expect(publisher, position)
        clerk = Clerk(
            conn,
            self._thread,
            publisher,
            config.access,
            config.topics,
            site.site_id,
            replication=config.replication,
        )
        await changes.set_stopped(conn, config.topics.changes, None, position)
        _log.info("relay of %s goes on after change %d", site.site_id, position)

        def ordered(_: int) -> None:
            clerk.heard()
            self._grown.set()

        watch = Watch(self._thread, publisher, config.topics)
        async with (
            changes.listening(conn, lambda _: self._grown.set()),
            changes.listening(conn, ordered, channel=orders.CHANNEL),
        ):
            while not self._stop.is_set():
                self._grown.clear()
                reached = await self._cycle(log, publisher, position)
                # One piece of an order between two cycles: neither starves the other.
                busy = await clerk.work(reached)
                await self._keep_lease(conn)
                await watch.look()
                if reached == position and not busy:
                    await self._sleep(POLL_SECONDS)
                position = reached
        await self._tell(conn, position)
        await call("closing the producer", 5.0, publisher.close)
        await changes.release_lease(conn, RELAY_LEASE, self._holder)
        await conn.close()
        _log.info("relay stopped after change %d", position)

    async def _cycle(
        self, log: LogAndTopics, publisher: Publisher, position: int
    ) -> int:
        """Publish what is new, if anything is; give the new position."""
        conn = log.conn
        cycle = await changes.cycle(conn, position, self._config.bounds)
        now = asyncio.get_running_loop().time()
        if cycle.changes:
            await self._publish(log, publisher, cycle, position)
            position = cycle.changes[-1].number
        elif (head := await changes.head(conn)) < position:
            # The database went back under the same session.
            await log.stop_ahead(position, head)
        told, told_at = self._told
        if now - told_at > POLL_SECONDS / 10 or (
            not cycle.changes and told != position
        ):
            await self._tell(conn, position)
        return position

    async def _publish(
        self, log: LogAndTopics, publisher: Publisher, cycle: Cycle, position: int
    ) -> None:
        topics = self._config.topics
        events = events_of(cycle, topics)
        remade = await self._thread.call(
            "publishing a cycle",
            CYCLE_SECONDS,
            functools.partial(publisher.publish, events),
        )
        for topic in sorted(remade & {topics.changes, topics.targets}):
            await log.miss(topic, position, "was made anew while the relay ran")

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
                conn = await connect(self._config.database_url, RELAY)
            except UnavailableError as error:
                if not said:
                    cause = _one_line(error.__cause__ or error)
                    _log.warning("relay waits for the database: %s", cause)
                    said = True
            else:
                # Else a lost connection would be noticed at the next poll only.
                conn.add_termination_listener(lambda _: self._grown.set())
                return conn
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
        return site

    async def _lease(self, conn: Connection) -> bool:
        said = False
        while not self._stop.is_set():
            if await changes.take_lease(conn, RELAY_LEASE, self._holder, LEASE_SECONDS):
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
        if not await changes.renew_lease(
            conn, RELAY_LEASE, self._holder, LEASE_SECONDS
        ):
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
    if is_away(error):
        return f"the database went away ({type(error).__name__})"
    if isinstance(error, KafkaError):
        return f"Kafka: {type(error).__name__}: {_one_line(error)}"
    return f"{type(error).__name__}: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
