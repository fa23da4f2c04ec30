"""The PostgreSQL server of a test session, and databases cloned on it."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

import asyncpg

from annolog.local.postgres import Postgres, embedded_binaries
from annolog.local.processes import Child

T = TypeVar("T")

_programs: list[Path] = []
# Of another PostgreSQL to test on; none: of the embedded one.


class PostgresServer:
    """A real server that tests may also stop, kill and start again.

    Unless it shall be durable it keeps no promise to the disk, so it outlives a crash
    of its own but not a power cut: a third of a suite's time would go into waiting for
    the disk.
    """

    def __init__(
        self, home: Path, *, durable: bool = False, binaries: Path | None = None
    ) -> None:
        self._binaries = binaries or programs()
        self._postgres = Postgres(home, binaries=self._binaries, durable=durable)
        self._data = home / "postgres" / "data"
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

    def kill_session(self) -> None:
        """Kill the process of one session, as a system short of memory does.

        The server then ends all others and starts anew by itself: the dead one may
        have left their shared memory half written.
        """
        if self._child is None:
            return
        for session in _children(self._child.pid):
            with suppress(OSError):
                if b"[local]" in Path(f"/proc/{session}/cmdline").read_bytes():
                    os.kill(session, signal.SIGKILL)
                    return

    def close(self) -> None:
        self.stop()
        self._postgres.clean()

    def create(self, name: str | None = None, *, template: str = "template1") -> str:
        """Make a database, named after a number if nothing else, and give its URL."""
        name = name or f"test_{next(self._numbers)}"
        # Without a disk to wait for, files are copied in less than half of the time
        # that it takes to write them into the log block by block.
        self.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'
        )
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database and whoever is still connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def dump(self, url: str, path: Path) -> None:
        """Write a database into a file, as a backup does."""
        self._client("pg_dump", f"--file={path}", url)

    def restore(self, path: Path) -> str:
        """Make a database out of a backup, and give its URL."""
        url = self.create(template="template0")
        self._client("psql", "--quiet", "--no-psqlrc", f"--file={path}", url)
        return url

    def _client(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def keep_copy(self, aside: Path) -> None:
        """Copy the files of the stopped server, as a snapshot of a volume does."""
        assert self._child is None
        subprocess.run(["/bin/cp", "-a", str(self._data), str(aside)], check=True)

    def put_back(self, aside: Path) -> None:
        """Replace the files of the stopped server by those of a copy."""
        assert self._child is None
        shutil.rmtree(self._data)
        subprocess.run(["/bin/cp", "-a", str(aside), str(self._data)], check=True)

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement outside of any transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        run_apart(run())


def use(binaries: Path) -> None:
    """Test on another PostgreSQL than the embedded one."""
    _programs[:] = [binaries]


def programs() -> Path:
    """Give the directory of the programs of the PostgreSQL to test on."""
    return _programs[0] if _programs else embedded_binaries()


def of_debian() -> Path:
    """Find the programs of a PostgreSQL that has the extension butlers need."""
    found = [
        one.parent
        for one in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if Path(
            f"/usr/share/postgresql/{one.parts[-3]}/extension/btree_gist.control"
        ).exists()
    ]
    assert found, "no PostgreSQL with btree_gist: install Debian's package postgresql"
    return max(found, key=lambda one: int(one.parts[-2]))


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
