"""`make soak`: an hour of mixed load; memory shall stay flat and tables lean.

A PostgreSQL with full durability and some messages, one `annologd serve`, a broker and
one `annologd relay`. About 50 writes a second, with edits and retractions; readers,
exports, followers, streams that come and go or fall asleep, and a snapshot that is held
open for minutes at a time. Each minute a line; in the end how memory grew over the
second half, how tables grew, and how much larger indexes are than freshly built ones.
Ends with 1 where memory grows or an index is bloated.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from annolog.storage import database
from tests.benchmarks import million, relayed
from tests.benchmarks.servers import BUTLER, Stand, server, service
from tests.soak import looks
from tests.soak.load import Load

MINUTE = 60.0
"""Seconds between two looks."""


def main() -> int:
    """Let the load run and tell what it left."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=int, default=60, help="how long")
    parser.add_argument(
        "--messages", type=int, default=200_000, help="messages in the database before"
    )
    parser.add_argument("--writes", type=float, default=50.0, help="of them a second")
    parser.add_argument("--postgres", type=Path, help="programs of another PostgreSQL")
    asked = parser.parse_args()
    # What was started is stopped, and what was made removed, then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = Path(tempfile.mkdtemp(prefix="annolog-soak-"))
    try:
        with server(home, binaries=asked.postgres) as running:
            with service(running.url):
                pass  # it enters what is shipped, and whose database it is
            took = asyncio.run(million.make(running.url, asked.messages, BUTLER))
            _say(f"{asked.messages} messages in {took:.0f} s")
            with (
                service(running.url) as process,
                relayed.relaying(home, running) as relay,
            ):
                stand = Stand(home, running, (process,))
                seen = asyncio.run(_soak(stand, relay, asked.minutes, asked.writes))
            return asyncio.run(_told(running.url, seen))
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _soak(
    stand: Stand, relay: relayed.Relay, minutes: int, rate: float
) -> list[looks.Look]:
    connection = await database.connect(stand.url, database.WORK)
    load = Load(stand, rate)
    seen = [await looks.look(connection, stand, relay, load.taken(), MINUTE)]
    _say(looks.row(*looks.HEAD))
    working = asyncio.create_task(load.run())
    begun = last = time.monotonic()
    try:
        for minute in range(1, minutes + 1):
            left = begun + minute * MINUTE - time.monotonic()
            done, _ = await asyncio.wait({working}, timeout=max(0.0, left))
            for one in done:
                one.result()
            now = time.monotonic()
            tally = load.taken()
            seen.append(await looks.look(connection, stand, relay, tally, now - last))
            last = now
            _say(looks.line(minute, seen[-1]))
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await connection.close()
    return seen


async def _told(url: str, seen: list[looks.Look]) -> int:
    memory, flat = looks.growth(seen)
    connection = await database.connect(url, database.BULK)
    try:
        built, lean = await looks.indexes(connection)
    finally:
        await connection.close()
    parts = (memory, looks.tables(seen[0], seen[-1]), built)
    _say("\n" + "\n\n".join("\n".join(part) for part in parts))
    return 0 if flat and lean else 1


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
