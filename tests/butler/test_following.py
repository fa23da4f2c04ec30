"""Staying behind a butler, whatever goes away meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from annolog.butler import following
from annolog.butler.bringing import Bringer
from annolog.butler.following import Follower, follow_all
from annolog.butler.repository import Patience, Repository
from annolog.runtime import Runtime, opened
from tests.butler.conftest import PATIENCE
from tests.support.butlers import MadeButler
from tests.support.postgres import PostgresServer

T = TypeVar("T")


@asynccontextmanager
async def following_from(
    made: MadeButler, runtime: Runtime, patience: Patience = PATIENCE
) -> AsyncIterator[Repository]:
    repository = Repository(made.uri, "butler 1", patience)
    bringer = Bringer(repository, runtime.lane, runtime.reads, runtime.work)
    stop = asyncio.Event()
    running = asyncio.create_task(follow_all([Follower(bringer, 0.1)], stop))
    try:
        yield repository
    finally:
        stop.set()
        await running
        await repository.close()


async def until(wanted: T, look: Callable[[], Awaitable[T]]) -> None:
    deadline = time.monotonic() + 30
    while (found := await look()) != wanted:
        assert time.monotonic() < deadline, f"{found} is not {wanted}"
        await asyncio.sleep(0.05)


async def exposures(runtime: Runtime) -> int:
    count: int = await runtime.reads.fetchval("select count(*) from exposure")
    return count


async def test_what_is_taken_comes_by_itself(
    runtime: Runtime, fresh: MadeButler
) -> None:
    fresh.take([1, 2])
    async with following_from(fresh, runtime):
        await until(2, lambda: exposures(runtime))
        fresh.take([3])
        await until(3, lambda: exposures(runtime))


async def test_two_followers_of_one_butler_do_no_harm(
    runtime: Runtime, fresh: MadeButler
) -> None:
    ids = fresh.take(range(1, 30))
    fresh.define_visits({one: [one] for one in ids})
    async with following_from(fresh, runtime), following_from(fresh, runtime):
        await until(29, lambda: exposures(runtime))
        fresh.take([30])
        await until(30, lambda: exposures(runtime))
    said = await runtime.reads.fetchval(
        "select count(*) from record where kind = 'exposure'"
    )
    assert said == 30


async def test_a_butler_that_hangs_is_asked_again_later(
    runtime: Runtime, fresh: MadeButler
) -> None:
    fresh.take([1])
    hasty = Patience(answer=3.0, start=30.0, away=0.0)
    async with following_from(fresh, runtime, hasty) as repository:
        await until(1, lambda: exposures(runtime))
        assert repository.pid is not None
        os.kill(repository.pid, signal.SIGSTOP)
        fresh.take([2])
        await until(2, lambda: exposures(runtime))


async def test_a_database_that_is_away_is_waited_for(
    database_url: str, postgres_server: PostgresServer, fresh: MadeButler
) -> None:
    fresh.take([1])
    async with (
        opened(database_url, "summit") as runtime,
        following_from(fresh, runtime),
    ):
        await until(1, lambda: exposures(runtime))
        postgres_server.stop()
        fresh.take([2])
        await asyncio.sleep(1.0)
        postgres_server.start()
        await until(2, lambda: exposures(runtime))


async def test_a_night_long_past_is_looked_at_now_and_then(
    runtime: Runtime, fresh: MadeButler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "COUNTED", 0.2)
    monkeypatch.setattr(following, "SWEPT_AGAIN", 0.2)
    for day in (20260101, 20260114, 20260115):
        fresh.take([1], day_obs=day)
    async with following_from(fresh, runtime):
        await until(3, lambda: exposures(runtime))
        fresh.take([2], day_obs=20260101)
        await until(4, lambda: exposures(runtime))
