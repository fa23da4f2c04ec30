"""What is measured: a PostgreSQL with full durability, and serving processes."""

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from annolog.local.postgres import Postgres
from annolog.storage import database
from tests.benchmarks import cpu
from tests.benchmarks.http import Figures, drive, steady

BUTLER = "/nowhere/butler"
"""Where the butler is that nobody has to ask: all that it has is known."""

SITE = "bench"
"""Whose database it is."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running PostgreSQL.

    Attributes
    ----------
    url
        A migrated database on it.
    pid
        Its first process, the parent of all others.
    """

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Service:
    """A serving process.

    Attributes
    ----------
    port
        Where it listens, on loopback.
    pid
        The process.
    """

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Stand:
    """All that requests are sent to, so that its work can be counted.

    Attributes
    ----------
    home
        A directory that is removed afterwards.
    server
        The database.
    services
        The serving processes; requests are shared out evenly.
    """

    home: Path
    server: Server
    services: tuple[Service, ...]

    @property
    def url(self) -> str:
        """Where the database is."""
        return self.server.url

    @property
    def port(self) -> int:
        """Where the first process listens."""
        return self.services[0].port

    def drive(
        self,
        wires: Iterable[bytes],
        concurrency: int,
        status: int,
        *,
        seconds: float = math.inf,
    ) -> Figures:
        """Send requests one after the other on each connection (`http.drive`)."""
        ports = [one.port for one in self.services]
        before = self._worked()
        found = asyncio.run(drive(ports, wires, concurrency, status, seconds=seconds))
        return self._counted(found, before)

    def steady(self, wires: Iterable[bytes], rate: float, status: int) -> Figures:
        """Send requests at a steady rate (`http.steady`)."""
        ports = [one.port for one in self.services]
        before = self._worked()
        return self._counted(asyncio.run(steady(ports, wires, rate, status)), before)

    def _worked(self) -> tuple[float | None, float | None]:
        serving = [cpu.spent(one.pid) for one in self.services]
        known = None if None in serving else sum(one or 0.0 for one in serving)
        return known, cpu.spent_with_children(self.server.pid)

    def _counted(
        self, found: Figures, before: tuple[float | None, float | None]
    ) -> Figures:
        service, postgres = (
            None
            if old is None or new is None
            else (new - old) / max(1, found.count) * 1e6
            for old, new in zip(before, self._worked(), strict=True)
        )
        return replace(found, service=service, postgres=postgres)


@contextmanager
def server(home: Path, *, binaries: Path | None = None) -> Iterator[Server]:
    """Run a PostgreSQL with full durability and give a migrated database.

    Parameters
    ----------
    home
        Where its data go.
    binaries
        The programs of another PostgreSQL than the embedded one.
    """
    postgres = Postgres(home, binaries=binaries)
    child = postgres.start()
    try:
        url = postgres.url("annolog_bench")
        asyncio.run(_create(postgres.url("postgres")))
        asyncio.run(database.migrate(url))
        yield Server(url, child.pid)
    finally:
        child.stop()
        postgres.clean()


async def _create(url: str) -> None:
    connection = await asyncpg.connect(url)
    # One that was kept has it.
    with suppress(asyncpg.DuplicateDatabaseError):
        await connection.execute("create database annolog_bench")
    await connection.close()


@contextmanager
def service(url: str) -> Iterator[Service]:
    """Run one serving process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    more = {"ANNOLOG_PORT": str(port), "ANNOLOG_AUTH": "none"}
    process = subprocess.Popen(
        [sys.executable, "-m", "annolog.cli", "serve"],
        env=environment(url, more | {"ANNOLOG_BUTLER_URIS": BUTLER}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        yield Service(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def environment(url: str, more: Mapping[str, str]) -> dict[str, str]:
    """Give the variables of a process of annolog's: none that were set outside."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith("ANNOLOG_")}
    return outside | {"ANNOLOG_DATABASE_URL": url, "ANNOLOG_SITE_ID": SITE, **more}


def _wait(port: int) -> None:
    for _ in range(150):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/health/ready", timeout=1
            ):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    msg = "the service did not start"
    raise RuntimeError(msg)
