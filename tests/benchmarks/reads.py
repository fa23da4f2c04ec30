"""Reading as clients do, beside the bare SQL of the same answers.

Side by side in one round: the service at some concurrency, and as many readers over as
many connections as the service has; then both for one reader alone.
"""

import asyncio
import itertools
import json
import time
import urllib.request
from collections.abc import Iterable, Mapping

from annolog.storage import database
from tests.benchmarks.calls import Asked, Call
from tests.benchmarks.http import request
from tests.benchmarks.report import Line, Rounds
from tests.benchmarks.servers import Stand

CHECKED = 3
"""Requests of each call whose answers are compared in full."""


def measure(
    stand: Stand, rounds: int, seconds: float, chosen: Mapping[Call, int]
) -> tuple[list[Line], list[Line]]:
    """Measure in rounds, in each of which every call has its turn.

    Parameters
    ----------
    stand
        The database and the service.
    rounds, seconds
        How many rounds, and how long each call has in one.
    chosen
        The calls, and how many rows their answers have.

    Returns
    -------
    tuple of list
        With many readers, and with one.
    """
    found = Rounds()
    for number in range(rounds + 1):
        # The first round is there to be warm afterwards.
        into, length = (found, seconds) if number else (Rounds(), seconds / 3)
        for call, readers in ((c, n) for c in chosen for n in (c.readers, 1)):
            name = f"{call.title} {readers}"
            wires = itertools.cycle([request("GET", one.path) for one in call.asked])
            into.add(name, stand.drive(wires, readers, 200, seconds=length))
            into.add(f"raw {name}", asyncio.run(_raw(stand.url, call, readers, length)))
    many, alone = [], []
    for call, rows in chosen.items():
        name = f"{call.title} {call.readers}"
        one = found.rate(f"raw {call.title} 1")
        many.append(
            Line(
                call.title,
                found.figures(name),
                one,
                call.goal,
                rows=rows,
                raw_many=found.rate(f"raw {name}"),
            )
        )
        alone.append(Line(call.title, found.figures(f"{call.title} 1"), one, rows=rows))
    return many, alone


async def _raw(url: str, call: Call, readers: int, seconds: float) -> float:
    """Fetch the same rows, over as many connections as the service has at most."""
    most = min(readers, database.READS.most)
    pool = await database.pool(url, database.READS, most=most)
    try:
        left = itertools.cycle(call.asked)
        done = 0

        async def one() -> None:
            nonlocal done
            for asked in left:
                async with pool.acquire() as connection:
                    await connection.fetch(asked.sql, *asked.values)
                done += 1
                if time.perf_counter() - begun > seconds:
                    break

        # Each connection plans its statements first.
        begun = -seconds
        await asyncio.gather(*(one() for _ in range(most)))
        done = 0
        begun = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(readers)))
        return done / (time.perf_counter() - begun)
    finally:
        await pool.close()


# ------------------------------------------------------------------------ answers


def check(stand: Stand, chosen: Iterable[Call]) -> dict[Call, int]:
    """Compare answers with the bare rows, as a wrong answer may well be fast.

    Parameters
    ----------
    stand
        The database and the service.
    chosen
        The calls.

    Returns
    -------
    dict
        The calls, and how many rows the first answer of each has.

    Raises
    ------
    RuntimeError
        An answer is not what the rows give.
    """
    rows: dict[Call, int] = {}
    for call in chosen:
        for asked in call.asked[:CHECKED]:
            wanted = asyncio.run(_expected(stand.url, asked))
            with urllib.request.urlopen(
                f"http://127.0.0.1:{stand.port}{asked.path}"
            ) as answer:
                shown = asked.rows_of(json.load(answer))
            if shown != wanted or not shown:
                msg = f"{asked.path} is answered otherwise than the database has it"
                raise RuntimeError(f"{msg}: {_differing(shown, wanted)}")
            rows.setdefault(call, len(shown) if isinstance(shown, list) else 1)
    return rows


async def _expected(url: str, asked: Asked) -> object:
    connection = await database.connect(url, database.READS)
    try:
        return asked.shape(await connection.fetch(asked.sql, *asked.values))
    finally:
        await connection.close()


def _differing(shown: object, wanted: object) -> str:
    if not isinstance(shown, list) or not isinstance(wanted, list):
        return f"{shown!s:.400} and not {wanted!s:.400}"
    pairs = itertools.zip_longest(shown, wanted)
    first = next((pair for pair in pairs if pair[0] != pair[1]), ("nothing", ""))
    ours, theirs = (f"{one!s:.400}" for one in first)
    return f"{len(shown)} and {len(wanted)} rows; first {ours} and not {theirs}"
