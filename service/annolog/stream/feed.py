"""One listener a process, for all who wait for the log to grow.

It tails the head of the log on a connection of its own and wakes the waiting; they
hold no connection meanwhile and read what is new once they are awake.
"""

import asyncio
import contextlib
import logging

from annolog.domain.errors import UnavailableError
from annolog.storage import changes
from annolog.storage.database import LISTEN, answering, connect

POLL_SECONDS = 5.0
"""The head is read so often even if nobody says that it grew."""

RETRY_SECONDS = 1.0
"""Pause before a lost connection is made anew."""

_log = logging.getLogger("annolog.feed")


class Feed:
    """The head of the log, as this process knows it.

    Parameters
    ----------
    database_url
        Where the log is.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._head = 0
        self._grown = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def head(self) -> int:
        """Greatest number known here; 0 before the first connection."""
        return self._head

    @property
    def closed(self) -> bool:
        """Whether the process is about to end: waiting is over."""
        return self._closed

    def start(self) -> None:
        """Begin to listen, in the running loop."""
        self._task = asyncio.create_task(self._run(), name="feed")

    async def close(self) -> None:
        """Stop listening and wake all who wait."""
        self._closed = True
        self._wake()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def heard(self, number: int) -> None:
        """Take note that the log has grown; for whoever knows it before the listener.

        Parameters
        ----------
        number
            A number that is committed.
        """
        if number > self._head:
            self._head = number
            self._wake()

    async def wait(self, after: int, seconds: float) -> int:
        """Wait until the log has more than a number.

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
                while self._head <= after and not self._closed:
                    await self._grown.wait()
        return self._head

    def _wake(self) -> None:
        # Each waiter holds the event that it waits for; the next ones get a new one.
        self._grown.set()
        self._grown = asyncio.Event()

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
        """Follow the head until the connection is lost."""
        conn = await connect(self._database_url, LISTEN)
        try:
            async with changes.listening(conn, self.heard):
                while True:
                    async with asyncio.timeout(POLL_SECONDS * 2):
                        self.heard(await changes.head(conn))
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            conn.terminate()
