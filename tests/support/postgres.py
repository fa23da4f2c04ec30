"""The PostgreSQL server of a test session, and databases cloned on it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

import asyncpg

from annolog.local.postgres import Postgres
from annolog.local.processes import Child

T = TypeVar("T")

# Taken out, as a process of annolog refuses a variable of its own that it does not
# know, and tests start such processes.
BINARIES = os.environ.pop("ANNOLOG_TEST_PG_BIN", None)
"""Programs of another PostgreSQL to test on, such as /usr/lib/postgresql/15/bin."""


class PostgresServer:
    """A real server that tests may also stop, kill and start again.

    It keeps no promise to the disk, so it outlives a crash of its own but not a
    power cut: a third of a suite's time would go into waiting for the disk.
    """

    def __init__(self, home: Path) -> None:
        self._postgres = Postgres(
            home, binaries=Path(BINARIES) if BINARIES else None, durable=False
        )
        self._child: Child | None = None
        self._numbers = count(1)

    def url(self, database: str = "postgres") -> str:
        return self._postgres.url(database)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._child is None or self._child.exit_code() is not None:
            self._child = self._postgres.start()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it as a crash would: no session hears a word, or says one more."""
        if self._child is not None:
            # Sessions are groups of their own; one that outlived the server by a
            # moment would still answer.
            sessions = _children(self._child.pid)
            self._child.kill()
            self._child = None
            for session in sessions:
                with suppress(ProcessLookupError):
                    os.kill(session, signal.SIGKILL)
            deadline = time.monotonic() + 5  # for a machine that reaps no orphans
            while time.monotonic() < deadline and any(
                Path(f"/proc/{session}").exists() for session in sessions
            ):
                time.sleep(0.01)

    def close(self) -> None:
        self.stop()
        self._postgres.clean()

    def create(self, name: str | None = None, *, template: str = "template1") -> str:
        """Make a database, named after a number if nothing else, and give its URL."""
        name = name or f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database and whoever is still connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement outside of any transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        run_apart(run())


@asynccontextmanager
async def connected(home: Path) -> AsyncIterator[asyncpg.Connection]:
    """Connect to the server that a supervisor runs in a home."""
    connection = await asyncpg.connect(Postgres(home).url())
    try:
        yield connection
    finally:
        await connection.close()


def _children(parent: int) -> list[int]:
    """Give the processes whose parent a process is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in brackets, may hold blanks; state and parent follow it.
            after = entry.read_text().rpartition(")")[2].split()
            if int(after[1]) == parent:
                found.append(int(entry.parent.name))
    return found


def run_apart(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine in a thread with a loop of its own.

    For fixtures, as the loop of the test is not theirs to run or replace.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
