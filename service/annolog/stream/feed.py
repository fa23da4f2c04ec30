"""One follower of the log a process, for all who wait for it to grow.

It listens on a connection of its own and reads each new change once, into the tail
that all readers share. Who waits holds no connection meanwhile. Who is behind the tail
reads pages of the database, a few readers at a time, until it has reached the tail.

While nobody waits only the head is followed: a process that imports a million
messages should not make a million events for nobody.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace
from time import thread_time

from annolog.domain.errors import UnavailableError
from annolog.storage import changes
from annolog.storage.database import (
    READS,
    Connection,
    Pool,
    answering,
    connect,
    reading,
)
from annolog.stream.seats import Seats
from annolog.stream.tail import Bounds, Entry, Page, Selection, Tail

POLL_SECONDS = 5.0
"""The head is read so often even if nobody says that it grew."""

RETRY_SECONDS = 1.0
"""Pause before a lost connection is made anew."""

TICK_SECONDS = 5.0
"""All who wait are woken so often, to see whether they should go on."""

BATCH = 500
"""Changes that the follower reads at once."""

BATCH_BYTES = 4_000_000
"""Bytes of records that it reads at once."""

BACKFILL = 1000
"""Changes below the head that are read when somebody begins to wait: those who come
back after a restart are a little behind."""

IDLE_SECONDS = 30.0
"""So long after the last one waited the follower reads no more."""

OLDER = 2
"""Pages of the database that are read at once for those who are behind the tail."""

REST = 3.0
"""The follower rests for so many times the CPU time that serving all who waited took:
it leaves the processor to others, and the next turn has more to give at once."""

LONGEST_REST = 0.25
"""Seconds."""

FOLLOW = replace(READS, name="annolog feed", least=1, most=1)
"""The follower's connection: it listens, and reads as fast as other readers do."""

_log = logging.getLogger("annolog.feed")


class Feed:
    """The log as this process follows it.

    Parameters
    ----------
    database_url
        Where the log is.
    reads
        Connections for those who are behind.

    Attributes
    ----------
    seats
        The open streams.
    """

    def __init__(self, database_url: str, reads: Pool) -> None:
        self._database_url = database_url
        self._reads = reads
        self._tail = Tail()
        self._head = 0
        self._greatest = 0
        self._asked_at: float | None = None
        self._closed = False
        self._news = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._older = asyncio.Semaphore(OLDER)
        self._tasks: list[asyncio.Task[None]] = []
        self.seats = Seats()

    @property
    def head(self) -> int:
        """Greatest number known here; 0 before the first connection."""
        return self._head

    @property
    def greatest(self) -> int:
        """Greatest number ever known here, also of a log that went back since."""
        return self._greatest

    @property
    def closed(self) -> bool:
        """Whether the process is about to end: waiting is over."""
        return self._closed

    # ------------------------------------------------------------------ its life

    def start(self) -> None:
        """Begin to follow, in the running loop."""
        self._tasks = [
            asyncio.create_task(self._run(), name="feed"),
            asyncio.create_task(self._tick(), name="feed's clock"),
        ]

    def end(self) -> None:
        """Say that waiting is over: all who wait go on at once and see `closed`."""
        self._closed = True
        # Who takes nothing now comes back to another process as well as the others.
        self.seats.drop_stuck(asyncio.get_running_loop().time(), patience=0)
        self._wake()

    async def close(self) -> None:
        """Stop following and wake all who wait."""
        self.end()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ------------------------------------------------------------------ for readers

    def heard(self, number: int) -> None:
        """Take note that the log has grown; for whoever knows it before the listener.

        Parameters
        ----------
        number
            A number that is committed.
        """
        if number > self._head:
            self._head = number
            self._greatest = max(self._greatest, number)
            self._news.set()

    async def ask(self, conn: Connection) -> int:
        """Ask the database for the head, and believe it, also where it has less.

        Parameters
        ----------
        conn
            Any connection; it waits for nothing.

        Returns
        -------
        int
            What the database said; the head here may be above it by now.
        """
        known = self._head
        head = await changes.head(conn)
        # All that was known before is committed, so less means that the log went back.
        # Who asked at the same time may have said so already, and it may have grown.
        if head < known <= self._head:
            _log.warning(
                "the log went back from %d to %d: a backup was restored?", known, head
            )
            self._head = head
            self._tail.stop()
            self._wake()
        self.heard(head)
        return head

    def grown(self) -> "asyncio.Future[None]":
        """Give what is done when there may be something new, or reason to look.

        Returns
        -------
        Future
            Of the caller alone, who may set its result too; done after
            `TICK_SECONDS` at the latest.
        """
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        if not self._tail.started:
            self._news.set()
        future = loop.create_future()
        if self._closed:
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future

    async def wait(self, after: int, seconds: float) -> int:
        """Wait until more than a number can be read.

        Parameters
        ----------
        after
            What the caller has already.
        seconds
            How long at most.

        Returns
        -------
        int
            The head, whether it grew or not.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tail.high <= after and not self._closed:
                    await self.grown()
        return self._head

    def holds(self, after: int) -> bool:
        """Say whether a reader at this position needs nothing from the database."""
        return self._tail.covers(after)

    async def page(self, after: int, wanted: Selection, bounds: Bounds) -> Page:
        """Give what a reader gets next.

        Parameters
        ----------
        after
            Its position.
        wanted
            Which changes it wants.
        bounds
            How much it takes.

        Returns
        -------
        Page
            What the tail or the database has; empty where that is nothing.

        Raises
        ------
        UnavailableError
            The reader is behind the tail, and the database is away.
        """
        if self._tail.covers(after):
            return self._tail.page(after, wanted, bounds)
        async with self._older, reading(self._reads) as conn:
            found = await changes.read(
                conn,
                after,
                bounds.changes,
                kind=wanted.kind,
                instrument=wanted.instrument,
                max_bytes=bounds.bytes,
            )
            # Asked last, so that it is never below what was found. What was heard may
            # be above it, of a log that went back: reading on would find nothing.
            head = await self.ask(conn)
        entries = tuple(Entry(change) for change in found.changes)
        return Page(entries, found.next_after, more=found.next_after < head)

    # ------------------------------------------------------------------ the follower

    def _wake(self) -> None:
        woken, self._waiting = self._waiting, []
        for future in woken:
            if not future.done():
                future.set_result(None)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.seats.drop_stuck(loop.time())
            self._wake()

    async def _run(self) -> None:
        said = False
        while True:
            try:
                with answering():
                    await self._listen()
            except UnavailableError as error:
                if not said:
                    _log.warning("feed waits for the database: %s", error.__cause__)
                said = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Follow the log until the connection is lost."""
        loop = asyncio.get_running_loop()
        conn = await connect(self._database_url, FOLLOW)
        try:
            async with changes.listening(conn, self.heard):
                while True:
                    async with asyncio.timeout(POLL_SECONDS * 2):
                        await self.ask(conn)
                    await self._follow(conn, loop.time() + POLL_SECONDS)
        finally:
            conn.terminate()

    async def _follow(self, conn: Connection, until: float) -> None:
        """Read what is new, as it comes, until the head should be looked at again."""
        loop = asyncio.get_running_loop()
        while (left := until - loop.time()) > 0:
            self._news.clear()
            wanted = self._is_wanted(loop.time())
            if not wanted:
                self._tail.stop()
            elif await self._read_on(conn):
                self._wake()
                # The next turns of the loop serve them, gather, and write.
                began = thread_time()
                for _ in range(3):
                    await asyncio.sleep(0)
                took = thread_time() - began
                await asyncio.sleep(min(took * REST, LONGEST_REST))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    def _is_wanted(self, now: float) -> bool:
        return self._asked_at is not None and now - self._asked_at < IDLE_SECONDS

    async def _read_on(self, conn: Connection) -> bool:
        """Read the next changes into the tail; False if there is none."""
        tail = self._tail
        started = tail.started
        if not started:
            tail.start(max(self._head - BACKFILL, 0))
        if tail.high >= self._head:
            return not started
        after = tail.high
        found = await changes.read(conn, after, BATCH, max_bytes=BATCH_BYTES)
        if tail.high != after:  # somebody learned meanwhile that the log went back
            return True
        tail.append(found.changes)
        if found.changes:
            self.heard(found.changes[-1].number)
        return bool(found.changes)
