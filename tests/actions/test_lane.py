"""The lane: nobody waits in it for ever, and nobody for a large request of another."""

import asyncio
import itertools
import statistics
import threading
import time
from dataclasses import replace

import asyncpg
import pytest

from annolog.actions import lane
from annolog.actions.desk import Desk, Work
from annolog.domain.errors import UnavailableError
from annolog.domain.ledger import Wants
from annolog.domain.targets import TargetColumns
from annolog.runtime import opened
from annolog.storage import database
from annolog.storage.database import LANE_LOCK

MANY = [f"exposure:LSSTCam/20261119{n:05}" for n in range(1, 1202)]
ROWS = [
    (key, TargetColumns("exposure", "LSSTCam", 20261119, n, 2026111900000 + n))
    for n, key in enumerate(MANY, 1)
]


async def test_who_waits_too_long_is_told_whether_it_may_be_stored_yet(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database_url, "summit") as runtime:
        other = await asyncpg.connect(database_url)
        try:
            await other.execute("select pg_advisory_lock($1)", LANE_LOCK)
            monkeypatch.setattr(lane, "LONGEST_WAIT", 0.3)
            work = Work(lambda _: None)
            taken = asyncio.create_task(runtime.lane.submit(work))
            while not work.taken:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            queued = asyncio.create_task(runtime.lane.submit(Work(lambda _: None)))

            told = await asyncio.gather(taken, queued, return_exceptions=True)
        finally:
            await other.close()

        answer = await runtime.lane.submit(Work(lambda _: "an answer"))

    codes = [one.reason_code for one in told if isinstance(one, UnavailableError)]
    assert codes == ["outcome_unknown", "database_unavailable"]
    assert answer == "an answer"


async def test_who_turns_out_to_need_very_much_lets_the_others_of_its_turn_go_first(
    database_url: str,
) -> None:
    decided: list[str] = []

    def large(desk: Desk) -> None:
        desk.book.require(Wants(keys=frozenset(MANY)))
        decided.append("large")

    def small(_: Desk) -> None:
        decided.append("small")

    async with opened(database_url, "summit") as runtime:
        works = [Work(large, rows=ROWS), *(Work(small) for _ in range(3))]
        await asyncio.gather(*(runtime.lane.submit(one) for one in works))

    assert decided == ["small", "small", "small", "large"]


async def test_alone_in_its_turn_nobody_is_put_off(database_url: str) -> None:
    asked = 0

    def large(desk: Desk) -> int:
        nonlocal asked
        asked += 1
        desk.book.require(Wants(keys=frozenset(MANY)))
        return len(desk.book.places)

    async with opened(database_url, "summit") as runtime:
        found = await runtime.lane.submit(Work(large, rows=ROWS))

    assert found == len(MANY)
    assert asked == 2


async def test_others_are_answered_while_a_large_one_is_worked_out(
    database_url: str,
) -> None:
    begun, answered = threading.Event(), threading.Event()

    def decide(_: Desk) -> bool:
        begun.set()
        return answered.wait(20)

    async with opened(database_url, "summit") as runtime:
        work = asyncio.create_task(runtime.lane.submit(Work(decide, size=len(MANY))))
        while not begun.is_set():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        async with database.reading(runtime.reads) as connection:
            await connection.execute("select")
        answered.set()
        seen = await work

    assert seen


async def test_who_is_done_is_answered_although_the_next_turn_is_held_up(
    database_url: str,
) -> None:
    async with opened(database_url, "summit") as runtime:
        holder, next_one = [await asyncpg.connect(database_url) for _ in range(2)]
        lock = "select pg_advisory_lock($1)"
        try:
            await holder.execute(lock, LANE_LOCK)
            submit = runtime.lane.submit
            first = asyncio.create_task(submit(Work(lambda _: "first")))
            second = asyncio.create_task(submit(Work(lambda _: "second", alone=True)))
            await _until_they_wait(holder, 1)
            between = asyncio.create_task(next_one.execute(lock, LANE_LOCK))
            await _until_they_wait(holder, 2)
            await holder.execute("select pg_advisory_unlock($1)", LANE_LOCK)

            answered = await first
            await between
            waiting = not second.done()
        finally:
            await holder.close()
            await next_one.close()
        assert await second == "second"

    assert answered == "first"
    assert waiting


async def test_of_many_who_come_again_and_again_half_are_answered_in_each_turn(
    database_url: str,
) -> None:
    desks: list[Desk] = []

    async with opened(database_url, "summit") as runtime:

        async def client() -> None:
            for _ in range(10):
                await runtime.lane.submit(Work(desks.append))

        await asyncio.gather(*(client() for _ in range(32)))

    turns = [len(list(works)) for _, works in itertools.groupby(desks, key=id)]
    assert len(desks) == 320
    # The last ones come alone; before them, all at once would be 31 and 1 in turn.
    assert statistics.median(turns[:10]) == 16


async def _until_they_wait(
    connection: "asyncpg.Connection[asyncpg.Record]", count: int
) -> None:
    """Wait until so many sessions wait for the lane of this database."""
    query = """
        select count(*) from pg_locks
         where locktype = 'advisory' and not granted and database =
               (select oid from pg_database where datname = current_database())
        """
    while await connection.fetchval(query) < count:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


async def test_only_a_large_turn_may_take_long(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"idle_in_transaction_session_timeout": "200ms"}
    settings = {**database.LANE.settings, **short}
    monkeypatch.setattr(database, "LANE", replace(database.LANE, settings=settings))

    def large(desk: Desk) -> str:
        desk.book.require(Wants(keys=frozenset(MANY)))
        time.sleep(0.6)
        return "done"

    async with opened(database_url, "summit") as runtime:
        known = await runtime.lane.submit(Work(large, rows=ROWS, size=len(ROWS)))
        turned_out = await runtime.lane.submit(Work(large, rows=ROWS))
        with pytest.raises(UnavailableError):
            await runtime.lane.submit(Work(lambda _: time.sleep(0.6)))
        again = await runtime.lane.submit(Work(lambda _: "done"))

    assert (known, turned_out, again) == ("done", "done", "done")
