"""`make bench`: the service beside bare asyncpg, with years of messages.

A real PostgreSQL with full durability, a million messages (or as many as are asked
for), one `annologd serve`, and in the same run the raw limits: what the lane sends to
the database, 64 requests at a time, on one connection; and for each way in which
clients of exposurelog read, the SQL of the same rows on one connection, or on as many
as the service has. Figures are medians of alternating rounds. Machines differ and
drift: read the shares, not the rates.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import million, reads, report, writes
from tests.benchmarks.servers import BUTLER, server, service


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds to take medians of"
    )
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="messages in the database"
    )
    parser.add_argument(
        "--size", type=int, default=2000, help="requests of one round that write"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.5,
        help="how long each way of reading has in one round",
    )
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="annolog-bench-"))
    try:
        with server(home) as url:
            with service(url):
                pass  # it enters what is shipped, and whose database it is
            took = asyncio.run(million.make(url, asked.messages, BUTLER))
            _say(f"{asked.messages} messages in {took:.0f} s")
            with service(url) as port:
                calls = asyncio.run(reads.of_database(url, asked.messages))
                known = reads.check(url, port, calls)
                _say("answers are what the database has\n")
                many, alone = reads.measure(
                    url, port, asked.rounds, asked.seconds, known
                )
                _say(report.table("exposurelog, 16 readers", many) + "\n")
                _say(report.table("exposurelog, one reader", alone) + "\n")
                lines = writes.measure(
                    url, port, asked.rounds, asked.size, asked.messages
                )
                _say(report.table("writes; raw: 64 a turn, one lane", lines))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
