"""One listener a process, for all who wait for the log to grow."""

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from annolog.storage import changes
from annolog.stream.feed import Feed
from tests.support import log
from tests.support.postgres import PostgresServer


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await log.begin_site(connection)
    yield connection
    connection.terminate()


@pytest.fixture
async def feed(database_url: str, conn: asyncpg.Connection) -> AsyncIterator[Feed]:
    await log.append(conn)
    one = Feed(database_url)
    one.start()
    assert await one.wait(0, 5) == 1
    yield one
    await one.close()


async def test_all_who_wait_wake_when_the_log_grows(
    feed: Feed, conn: asyncpg.Connection
) -> None:
    waiting = [asyncio.create_task(feed.wait(1, 10)) for _ in range(50)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await log.append(conn)
    assert await asyncio.gather(*waiting) == [2] * 50
    assert time.monotonic() - began < 2


async def test_waiting_ends_when_time_is_up(feed: Feed) -> None:
    assert await feed.wait(1, 0.05) == 1


async def test_what_is_there_already_is_not_waited_for(feed: Feed) -> None:
    assert await feed.wait(0, 100) == 1


async def test_closing_wakes_all(feed: Feed) -> None:
    waiting = asyncio.create_task(feed.wait(99, 100))
    await asyncio.sleep(0.05)
    await feed.close()
    assert await asyncio.wait_for(waiting, 1) == 1
    assert feed.closed


async def test_a_lost_notification_is_made_up_for(
    feed: Feed, conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> None:
        pass

    monkeypatch.setattr(changes, "notify", silent)
    await log.append(conn)
    assert await feed.wait(1, 10) == 2


async def test_a_feed_outlives_its_database(
    feed: Feed, database_url: str, postgres_server: PostgresServer
) -> None:
    postgres_server.kill()
    await asyncio.sleep(0.2)
    # In this thread: the server ends with the thread that started it.
    postgres_server.start()
    conn = await asyncpg.connect(database_url)
    number = await log.append(conn)
    assert await feed.wait(number - 1, 15) == number
    await conn.close()
