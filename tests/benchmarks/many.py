"""Annotations of many targets, what others feel while a very long one is stored, and
what many pasted names are found to mean.
"""

import asyncio
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

from annolog.storage import database
from tests.benchmarks import writes
from tests.benchmarks.http import Figures, request, steady
from tests.benchmarks.report import Goal, Line, Rounds
from tests.benchmarks.servers import Stand

SOME = 40
"""Targets of what people paste."""

MOST = 10_000
"""Targets that one annotation may have."""

TIMES = 3.0
"""Times that an annotation of some may take of one."""

LONGEST = 1.0
"""Seconds that one of most may take."""

OTHERS = 100.0
"""Requests a second of others meanwhile."""

WHILE = 3.0
"""Seconds that the others write."""

WAITING = 1.5
"""Times that the slowest of the others may take of what they take alone; one that has
to wait for a turn of another is not slower than that."""


def measure(stand: Stand, rounds: int, size: int) -> list[Line]:
    """Measure in rounds, in each of which everything has its turn.

    Parameters
    ----------
    stand
        The database and the service.
    rounds, size
        How many rounds, and how many requests are small ones.
    """
    found = Rounds()
    native = writes.Native()
    pasted, night = itertools.count(), itertools.count()
    known = asyncio.run(_known(stand.url, MOST * (rounds + 2)))
    for number in range(rounds + 1):
        into = found if number else Rounds()
        few = max(50, size // 10)
        into.add("one", stand.drive(native.wires(few), 1, 201))
        some = [writes.created(_paste(next(pasted))) for _ in range(few)]
        into.add("some", stand.drive(some, 1, 201))
        keys = known[MOST * number : MOST * (number + 1)]
        into.add("resolve", stand.drive([_resolving(keys)], 1, 200))
        into.add("looked up", asyncio.run(_looked_up(stand.url, keys)))
        into.add("most", stand.steady([_of(keys)], 1, 201))
        keys = _unknown(next(night))
        into.add("new", stand.steady([_of(keys)], 1, 201))
        writing = int(OTHERS * WHILE)
        into.add("others", stand.steady(native.wires(writing), OTHERS, 201))
        long = _Long(stand.port, _unknown(next(night)))
        into.add("beside", stand.steady(native.wires(writing), OTHERS, 201))
        into.add("long", long.figures())
    return _lines(found)


def _lines(found: Rounds) -> list[Line]:
    one, some, others = (found.figures(name) for name in ("one", "some", "others"))
    beside = found.figures("beside")
    lines = [
        Line("one target", one, rows=1),
        Line(
            "some targets",
            some,
            goals=[Goal.below(some.p50, one.p50 * TIMES, f"p50 {TIMES:g} x one")],
            rows=SOME,
        ),
    ]
    for title, name in (
        ("most targets, known", "most"),
        ("most targets, never named before", "new"),
        ("the same beside others", "long"),
    ):
        figures = found.figures(name)
        goal = Goal.below(figures.p50, LONGEST * 1000, f"{LONGEST:g} s")
        lines.append(Line(title, figures, goals=[goal], rows=MOST))
    lines.append(Line(f"others, {OTHERS:.0f} a second", others, rows=1))
    least = Goal.below(beside.p99, others.p99 * WAITING, f"p99 {WAITING:g} x alone")
    lines.append(Line("others beside most targets", beside, goals=[least], rows=1))
    resolved, looked_up = found.figures("resolve"), found.rate("looked up")
    lines.append(Line("most pasted names, resolved", resolved, looked_up, rows=MOST))
    return lines


class _Long:
    """Sends a long one in a thread of its own, when the others have begun."""

    def __init__(self, port: int, keys: list[str]) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._sent = self._thread.submit(self._send, port, _of(keys))

    def _send(self, port: int, wire: bytes) -> Figures:
        time.sleep(WHILE / 3)
        return asyncio.run(steady([port], [wire], 1, 201))

    def figures(self) -> Figures:
        """Wait for it."""
        with self._thread:
            return self._sent.result()


def _of(keys: list[str]) -> bytes:
    return writes.created(writes.draft(1, keys))


def _paste(number: int) -> dict[str, object]:
    first = number * SOME
    return writes.draft(number, [writes.key(first + n) for n in range(SOME)])


def _resolving(keys: list[str]) -> bytes:
    body = json.dumps({"text": "\n".join(keys)}).encode()
    return request("POST", "/annolog/v1/targets/resolve", body)


async def _looked_up(url: str, keys: list[str]) -> float:
    """Read what is known of targets by bare SQL; give such look-ups a second."""
    connection = await database.connect(url, database.READS)
    statement = """
        select t.*, e.obs_id, s.flag, s.tags, s.disputed
          from target t
          left join exposure e on e.target_id = t.target_id
          left join target_state s on s.target_id = t.class_id
         where t.key = any($1)
        """
    await connection.fetch(statement, keys[:1])
    begun = time.perf_counter()
    rows = await connection.fetch(statement, keys)
    took = time.perf_counter() - begun
    await connection.close()
    assert len(rows) == len(keys)
    return 1 / took


def _unknown(number: int) -> list[str]:
    """Name exposures of one of the nights to come."""
    day = f"2031{number // 28 + 1:02d}{number % 28 + 1:02d}"
    return [f"exposure:LSSTCam/{day}{seq + 1:05d}" for seq in range(MOST)]


async def _known(url: str, count: int) -> list[str]:
    connection = await database.connect(url, database.READS)
    rows = await connection.fetch(
        """
        select key from target where kind = 'exposure'
         order by target_id desc limit $1
        """,
        count,
    )
    await connection.close()
    if len(rows) < count:
        msg = "there are too few exposures for so many rounds: give --messages"
        raise RuntimeError(msg)
    return [row["key"] for row in rows]
