"""The way of a lane's connection from one turn to the next."""

import asyncio
import contextlib
from datetime import datetime

import asyncpg
import pytest

from annolog.actions.desk import Desk, Work
from annolog.domain.book import Book
from annolog.runtime import opened
from annolog.storage import turn
from annolog.storage.database import LANE_LOCK, Connection
from tests.support.service import service

LOCK, UNLOCK = "select pg_advisory_lock($1)", "select pg_advisory_unlock($1)"

IN_LANE = """
    select count(*) from pg_stat_activity
     where datname = current_database() and application_name = 'annolog lane'
       and state <> 'idle'
    """

END_LANE = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
     where datname = current_database() and application_name = 'annolog lane'
    """


async def test_of_two_busy_processes_each_lets_the_other_through(
    database_url: str,
) -> None:
    turns: list[Desk] = []
    waited: list[int] = []

    async with (
        opened(database_url, "summit") as one,
        opened(database_url, "summit") as other,
    ):

        async def busy() -> None:
            while True:
                await one.lane.submit(Work(turns.append))

        flood = [asyncio.create_task(busy()) for _ in range(8)]
        for _ in range(10):
            before = len(set(map(id, turns)))
            await other.lane.submit(Work(lambda _: None))
            waited.append(len(set(map(id, turns))) - before)
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    # The turn that runs when a request comes, and the one that runs until its answer.
    assert sorted(waited)[len(waited) // 2] <= 3


async def test_who_finds_nobody_left_leaves_the_lane(database_url: str) -> None:
    looking = await asyncpg.connect(database_url)
    try:
        async with opened(database_url, "summit") as runtime:
            submit = runtime.lane.submit
            await looking.execute(LOCK, LANE_LOCK)
            first = asyncio.create_task(submit(Work(lambda _: "first")))
            second = asyncio.create_task(submit(Work(lambda _: "second", alone=True)))
            await _until_in_lane(looking, 1)
            # It counts as one that waits until its turn would come.
            second.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await second
            await looking.execute(UNLOCK, LANE_LOCK)

            answer = await first
            async with asyncio.timeout(1.5):  # before the server would end it
                await _until_in_lane(looking, 0)
    finally:
        await looking.close()

    assert answer == "first"


async def test_a_session_that_is_lost_between_two_turns_costs_one_of_them_at_most(
    database_url: str,
) -> None:
    looking = await asyncpg.connect(database_url)
    answers: list[object] = []
    try:
        async with opened(database_url, "summit") as runtime:

            async def client() -> None:
                for _ in range(40):
                    answers.extend(
                        await asyncio.gather(
                            runtime.lane.submit(Work(lambda _: "done")),
                            return_exceptions=True,
                        )
                    )

            clients = [asyncio.create_task(client()) for _ in range(8)]
            while len(answers) < 100:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
            await looking.execute(END_LANE)
            await asyncio.gather(*clients)
            after = await runtime.lane.submit(Work(lambda _: "after"))
    finally:
        await looking.close()

    refused = [one for one in answers if one != "done"]
    assert after == "after"
    assert len(answers) == 320
    assert len(refused) <= 8
    assert {getattr(one, "reason_code", one) for one in refused} <= {
        "database_unavailable"
    }


async def test_a_session_that_is_lost_before_the_commit_costs_nobody_an_answer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = await asyncpg.connect(database_url)
    written = turn.write
    losses = 0

    async def write(connection: Connection, book: Book, now: datetime) -> turn.Messages:
        nonlocal losses
        if losses == 0:
            losses = await looking.fetchval(END_LANE)
        return await written(connection, book, now)

    body = {"targets": ["exposure:LSSTCam/2026111900123"]}
    try:
        async with service(database_url) as annolog:
            monkeypatch.setattr(turn, "write", write)
            answers = await asyncio.gather(
                *(annolog.post("/annotations", body | {"text": "a"}) for _ in range(12))
            )
            found = await annolog.get("/annotations?limit=100")
    finally:
        await looking.close()

    assert losses == 1
    assert {answer.status_code for answer in answers} == {201}
    assert len(found.json()["items"]) == 12


async def _until_in_lane(
    looking: "asyncpg.Connection[asyncpg.Record]", count: int
) -> None:
    """Wait until so many sessions are in the lane, or wait for it."""
    while await looking.fetchval(IN_LANE) != count:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
