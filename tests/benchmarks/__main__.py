"""`make bench`: writes and reads of the service beside bare asyncpg.

A real PostgreSQL with full durability, one `annologd serve`, and in the same run the
raw limit: the very statement that the lane writes with, 64 annotations at a time, on
one connection; and reading one row by id. Figures are medians of alternating rounds.
Machines differ and drift: read the shares, not the rates.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from annolog import runtime
from annolog.actions import annotations as actions
from annolog.actions.lane import Desk
from annolog.actions.requests import Request
from annolog.domain.annotations import AnnotationDraft
from annolog.domain.instruments import SHIPPED
from annolog.domain.ledger import Known
from annolog.domain.records import Origin
from annolog.domain.roles import Actor, Role
from annolog.domain.targets import columns, parse_key
from annolog.local.postgres import Postgres
from annolog.storage import database, entries, targets, turn
from tests.benchmarks.http import Figures, drive, request

TEXT = "Rings around stars in more than half of the detectors; focus is suspected. " * 6
"""A remark of usual length (450 characters)."""
EXPOSURES = 20_000
"""Different exposures that are spoken of."""
GOALS = {1: None, 16: 0.40, 64: 0.40}
"""Share of the raw limit that POST should reach, by concurrency."""
GET_GOAL = 0.20
"""Share of the raw limit that GET by id should reach."""
ACTOR = Actor("bench", "human", frozenset({Role.AUTHOR, Role.VIEWER}))


def key(number: int) -> str:
    """Give the key of an exposure."""
    day, seq = divmod(number % EXPOSURES, 1000)
    return f"exposure:LSSTCam/{20261100 + day % 28 + 1}{seq + 1:05d}"


def draft(number: int) -> dict[str, Any]:
    """Give the body of a create."""
    return {
        "targets": [key(number * 7)],
        "text": TEXT,
        "flag": "questionable" if number % 3 == 0 else None,
        "tags": ["donuts"] if number % 2 else [],
    }


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


async def raw_writes(url: str, batches: int) -> float:
    """Write prepared turns of 64 annotations; give annotations a second.

    The decisions are made beforehand, so only what any program would have to send
    to the database is timed: lock, the one statement, commit.
    """
    connection = await database.connect(url, database.LANE)
    known = await entries.read(connection)
    site = await database.one_row(connection, "select site_id, incarnation from site")
    origin = Origin(site["site_id"], site["incarnation"])
    now = runtime.now()
    prepared = []
    head: int | None = None
    for batch in range(batches):
        keys = [key((batch * 64 + n) * 7 + 3) for n in range(64)]
        await targets.add(
            connection, [(k, columns(parse_key(k), SHIPPED)) for k in sorted(set(keys))]
        )
        book, _ = await turn.open_book(
            connection, origin, Known(known.vocabulary), keys
        )
        if head is not None:
            book.head = head
        desk = Desk(book, now, lambda: runtime.new_id(now))
        for n, one in enumerate(keys):
            said = {**draft(n), "targets": [one]}
            actions.create(
                Request(ACTOR, b"\0" * 32, None),
                AnnotationDraft.model_validate(said),
                [one],
            )(desk)
        head = book.head
        prepared.append(turn.arguments(book, now))
    # Statements are prepared before the clock runs, as the service's are.
    begun = time.perf_counter()
    for arguments in prepared:
        await connection.execute(turn.LOCK)
        await connection.execute(turn.WRITE, *arguments)
        await connection.execute("commit")
    rate = batches * 64 / (time.perf_counter() - begun)
    await connection.close()
    return rate


async def raw_reads(url: str, ids: list[UUID], concurrency: int) -> float:
    """Read annotations by id over as many connections as the service has."""
    pool = await database.pool(url, database.READS)
    left = iter(ids)

    async def one() -> None:
        for annotation_id in left:
            async with pool.acquire() as connection:
                await connection.fetchrow(
                    """
                    select b.body from revision r
                      join record b on b.record_id = r.revision_id
                     where r.annotation_id = $1 and r.current_from is not null
                       and r.current_to is null
                    """,
                    annotation_id,
                )

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(concurrency)))
    rate = len(ids) / (time.perf_counter() - begun)
    await pool.close()
    return rate


async def some_ids(url: str, count: int) -> list[UUID]:
    """Give ids of annotations that are there."""
    connection = await database.connect(url, database.BULK)
    rows = await connection.fetch(
        "select annotation_id from revision where current_to is null limit $1", count
    )
    await connection.execute("analyze")
    await connection.close()
    ids = [row["annotation_id"] for row in rows]
    return (ids * (count // len(ids) + 1))[:count]


def posts(port: int, count: int, concurrency: int, first: int) -> Figures:
    """Create annotations over HTTP."""

    def make(number: int) -> bytes:
        body = json.dumps(draft(first + number)).encode()
        return request("POST", "/annolog/v1/annotations", body)

    return asyncio.run(drive(port, make, count, concurrency, 201))


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds to take medians of"
    )
    parser.add_argument("--size", type=int, default=4000, help="requests of one round")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="annolog-bench-"))
    try:
        with server(home) as url, service(url) as port:
            report(measure(url, port, asked.rounds, asked.size))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def measure(url: str, port: int, rounds: int, size: int) -> dict[str, list[Any]]:
    """Run the rounds: the service and the raw reference in turn."""
    found: dict[str, list[Any]] = {}
    posts(port, 200, 16, 0)  # connections and statements are warm
    first = 200
    for _ in range(rounds):
        for concurrency in GOALS:
            count = size if concurrency > 1 else max(200, size // 5)
            figures = posts(port, count, concurrency, first)
            found.setdefault(f"post {concurrency}", []).append(figures)
            first += count
        raw = asyncio.run(raw_writes(url, max(8, size // 64)))
        found.setdefault("raw post", []).append(raw)
        ids = asyncio.run(some_ids(url, size))
        wires = [
            request("GET", f"/annolog/v1/annotations/{annotation_id}")
            for annotation_id in ids
        ]
        reads = asyncio.run(drive(port, wires.__getitem__, size, 16, 200))
        found.setdefault("get 16", []).append(reads)
        found.setdefault("raw get", []).append(asyncio.run(raw_reads(url, ids, 16)))
    return found


def report(found: dict[str, list[Any]]) -> None:
    """Print medians, shares of the raw limit, and the goals."""
    raw_post = statistics.median(found["raw post"])
    raw_get = statistics.median(found["raw get"])
    lines = [_line("operation", "a second", "p50 ms", "p99 ms", "share", "goal")]
    rows = [
        (f"POST, concurrency {c}", f"post {c}", raw_post, goal)
        for c, goal in GOALS.items()
    ]
    rows.append(("GET by id, concurrency 16", "get 16", raw_get, GET_GOAL))
    for title, name, raw, goal in rows:
        rate = statistics.median(f.rate for f in found[name])
        lines.append(
            _line(
                title,
                f"{rate:.0f}",
                f"{statistics.median(f.p50 for f in found[name]):.2f}",
                f"{statistics.median(f.p99 for f in found[name]):.2f}",
                f"{rate / raw:.0%}",
                f"{goal:.0%}" if goal else "-",
            )
        )
    lines.append(_line("raw: 64 a turn, one lane", f"{raw_post:.0f}"))
    lines.append(_line("raw: read by id", f"{raw_get:.0f}"))
    sys.stdout.write("\n".join(lines) + "\n")


def _line(title: str, *cells: str) -> str:
    return f"{title:<28}" + "".join(f"{cell:>10}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
