"""What is measured: a PostgreSQL with full durability, and one serving process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from annolog.local.postgres import Postgres
from annolog.storage import database

BUTLER = "/nowhere/butler"
"""Where the butler is that nobody has to ask: all that it has is known."""


@contextmanager
def server(home: Path) -> Iterator[str]:
    """Run a PostgreSQL with full durability and give a migrated database's URL."""
    postgres = Postgres(home)
    child = postgres.start()
    try:
        url = postgres.url("annolog_bench")
        asyncio.run(_create(postgres.url("postgres")))
        asyncio.run(database.migrate(url))
        yield url
    finally:
        child.stop()
        postgres.clean()


async def _create(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create database annolog_bench")
    await connection.close()


@contextmanager
def service(url: str) -> Iterator[int]:
    """Run one serving process and give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANNOLOG_")}
    environment |= {
        "ANNOLOG_DATABASE_URL": url,
        "ANNOLOG_PORT": str(port),
        "ANNOLOG_AUTH": "none",
        "ANNOLOG_SITE_ID": "bench",
        "ANNOLOG_BUTLER_URIS": BUTLER,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "annolog.cli", "serve"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


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
