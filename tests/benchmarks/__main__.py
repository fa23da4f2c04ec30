"""`make bench`: the service beside bare asyncpg, with years of messages.

A real PostgreSQL with full durability, a million messages (or as many as are asked
for), one `annologd serve`, and in the same run the raw limits: what the lane sends to
the database, 64 requests at a time, on one connection; and for each way in which
clients read, the SQL of the same rows on one connection, or on as many as the service
has. Figures are medians of alternating rounds. Machines differ and drift: read the
shares, not the rates. docs/performance.md says what the rows mean.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import (
    butlers,
    calls,
    cores,
    many,
    million,
    native,
    reads,
    relayed,
    report,
    sizes,
    streams,
    writes,
)
from tests.benchmarks.http import Figures
from tests.benchmarks.report import Line, Table
from tests.benchmarks.servers import BUTLER, Stand, server, service

Asked = argparse.Namespace


def _reads(stand: Stand, asked: Asked) -> list[Table]:
    known = asyncio.run(calls.of_database(stand.url, asked.messages))
    checked = reads.check(stand, known)
    several, alone = reads.measure(stand, asked.rounds, asked.seconds, checked)
    return [
        Table("exposurelog, 16 readers", several),
        Table("exposurelog, one reader", alone),
    ]


def _writes(stand: Stand, asked: Asked) -> list[Table]:
    lines = writes.measure(stand, asked.rounds, asked.size, asked.messages)
    return [Table("writes; raw: 64 a turn, one lane", lines)]


def _native(stand: Stand, asked: Asked) -> list[Table]:
    lists = asyncio.run(native.of_database(stand.url, asked.messages))
    checked = reads.check(stand, [*lists, *native.searches(asked.messages)])
    several, alone = reads.measure(stand, asked.rounds, asked.seconds, checked)
    deep = native.deep(stand, asked.rounds, asked.seconds)
    everywhere = native.everywhere(stand, asked.rounds, asked.messages)
    return [
        Table("native lists, 16 readers", several),
        Table("native lists, one reader", alone),
        Table("native pages, by depth", deep),
        Table("substrings without an index", everywhere),
    ]


def _many(stand: Stand, asked: Asked) -> list[Table]:
    lines = many.measure(stand, asked.rounds, asked.size)
    return [Table("annotations of many targets", lines)]


def _cores(stand: Stand, asked: Asked) -> list[Table]:
    lines = cores.measure(
        stand, asked.rounds, asked.size, asked.seconds, asked.messages
    )
    return [Table("cores and processes, 16 at a time", lines)]


def _kafka(stand: Stand, asked: Asked) -> list[Table]:
    return [Table("commit to consumer", relayed.measure(stand, asked.rounds))]


def _streams(stand: Stand, asked: Asked) -> list[Table]:
    del asked  # one round of many streams is enough
    lines = [
        Line(
            f"{STREAMS} streams, {one.title} events",
            Figures(one.changes, one.p50, one.p99, service=one.cpu / one.changes * 1e6),
            note=f"worst {one.worst:.0f} ms, burst {one.burst:.0f} events a second",
        )
        for one in streams.measure(stand.port, STREAMS, relayed.RATE, STREAMING)
    ]
    return [Table("from a POST to its event", lines)]


def _butlers(stand: Stand, asked: Asked) -> list[Table]:
    del asked  # each export is of another kind
    lines = butlers.measure(stand.home)
    return [Table("exports into a butler, rows a second", lines)]


STREAMS, STREAMING = 500, 20.0
"""Open streams, and seconds for which they are measured."""

PARTS: Mapping[str, Callable[[Stand, Asked], Sequence[Table]]] = {
    "reads": _reads,
    "native": _native,
    "writes": _writes,
    "many": _many,
    "cores": _cores,
    "kafka": _kafka,
    "streams": _streams,
    "butlers": _butlers,
}
"""What is measured, in this order; each part can be asked for alone."""


def main() -> int:
    """Measure and print the tables."""
    asked = _asked()
    # What was started is stopped, and what was made removed, then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    before = report.read(asked.against) if asked.against else {}
    tables: list[Table] = []
    with (
        _home(asked.home) as home,
        server(home, binaries=asked.postgres) as running,
    ):
        with service(running.url):
            pass  # it enters what is shipped, and whose database it is
        made = home / f"made-{asked.messages}"
        if not made.exists():
            took = asyncio.run(million.make(running.url, asked.messages, BUTLER))
            made.touch()
            _say(f"{asked.messages} messages in {took:.0f} s\n")
        if asked.sizes:
            _say(sizes.table(running.url, asked.messages) + "\n")
        with service(running.url) as process:
            stand = Stand(home, running, (process,))
            for name in asked.only:
                begun = time.monotonic()
                found = PARTS[name](stand, asked)
                _say(f"{name}: {time.monotonic() - begun:.0f} s\n")
                for one in found:
                    _say(report.table(one, before) + "\n")
                tables += found
    if asked.save:
        report.save(asked.save, tables)
    return 0


@contextmanager
def _home(kept: Path | None) -> Iterator[Path]:
    """Give a directory for the servers: one of ours, or one that stays."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    home = Path(tempfile.mkdtemp(prefix="annolog-bench-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _asked() -> Asked:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="rounds to take medians of")
    add("--messages", type=int, default=1_000_000, help="messages in the database")
    add("--size", type=int, default=2000, help="requests of one round that write")
    add(
        "--seconds",
        type=float,
        default=0.5,
        help="how long each way of reading has in one round",
    )
    add(
        "--only",
        type=_parts,
        default=list(PARTS),
        help=f"parts, separated by commas, of {','.join(PARTS)}",
    )
    add("--sizes", action="store_true", help="tell the sizes of tables first")
    add(
        "--home",
        type=Path,
        help="keep the database there, and use it again (writes of earlier runs stay)",
    )
    add("--postgres", type=Path, help="programs of another PostgreSQL")
    add("--save", type=Path, help="write the figures to this file")
    add("--against", type=Path, help="compare with figures that were saved")
    return parser.parse_args()


def _parts(words: str) -> list[str]:
    names = words.split(",")
    if unknown := set(names) - set(PARTS):
        msg = f"no such part: {', '.join(sorted(unknown))}"
        raise argparse.ArgumentTypeError(msg)
    return names


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
