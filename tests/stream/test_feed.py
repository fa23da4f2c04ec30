"""One follower of the log a process, for all who wait for it to grow."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from annolog.storage import changes
from annolog.storage.database import READS, Connection, pool
from annolog.stream import feed as feed_module
from annolog.stream.feed import Feed
from annolog.stream.tail import Bounds, Selection
from tests.support import log
from tests.support.postgres import PostgresServer
from tests.support.sse import until

ALL = Selection()
FEW = Bounds(7, 1_000_000)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await log.begin_site(connection)
    yield connection
    connection.terminate()


@pytest.fixture
async def feed(database_url: str, conn: asyncpg.Connection) -> AsyncIterator[Feed]:
    await log.append(conn)
    reads = await pool(database_url, READS, most=2)
    one = Feed(database_url, reads)
    one.start()
    assert await one.wait(0, 5) == 1
    yield one
    await one.close()
    await reads.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the positions from which the log is read from now on."""
    positions: list[int] = []
    original = changes.read

    async def noted(
        conn: Connection,
        after: int,
        limit: int,
        **more: Any,  # noqa: ANN401 - what `read` takes
    ) -> changes.Page:
        positions.append(after)
        return await original(conn, after, limit, **more)

    monkeypatch.setattr(changes, "read", noted)
    return positions


async def follow(feed: Feed, after: int, upto: int) -> list[int]:
    """Read as a stream does, and give the numbers."""
    found: list[int] = []
    async with asyncio.timeout(20):
        while after < upto:
            page = await feed.page(after, ALL, FEW)
            found += [entry.number for entry in page.entries]
            after = page.next_after
            if not page.more and after < upto:
                await feed.grown()
    return found


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


async def test_a_change_is_read_once_for_all_who_follow(
    feed: Feed, conn: asyncpg.Connection, read: list[int]
) -> None:
    following = [asyncio.create_task(follow(feed, 1, 31)) for _ in range(100)]
    await asyncio.sleep(0.1)
    await log.append_many(conn, 30)
    assert await asyncio.gather(*following) == [list(range(2, 32))] * 100
    # No position was read from twice, however many wanted what is above it.
    assert len(set(read)) == len(read) <= 31


async def test_who_is_behind_catches_up_from_the_database(
    feed: Feed, conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "BACKFILL", 5)
    last = await log.append_many(conn, 40)
    assert await feed.wait(last - 1, 5) == last
    feed._tail.start(last - 5)
    assert not feed.holds(0)
    following = asyncio.create_task(follow(feed, 0, last + 3))
    await asyncio.sleep(0.2)
    await log.append_many(conn, 3)
    assert await following == list(range(1, last + 4))


async def test_nothing_is_read_for_nobody(
    feed: Feed,
    conn: asyncpg.Connection,
    read: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "IDLE_SECONDS", 0.0)
    last = await log.append_many(conn, 20)
    await until(lambda: feed.head == last)
    assert read == []
    assert not feed.holds(last)
    monkeypatch.setattr(feed_module, "IDLE_SECONDS", 30.0)
    assert await follow(feed, 0, last) == list(range(1, last + 1))
    assert await feed.wait(last - 1, 5) == last
    assert feed.holds(0)


async def test_a_log_that_went_back_is_followed_from_its_new_head(
    feed: Feed, conn: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0.1)
    last = await log.append_many(conn, 5)
    assert await feed.wait(last - 1, 10) == last
    # As a restored backup does, but under the process.
    await conn.execute("set session_replication_role = replica")
    await conn.execute("delete from change where number > 3")
    async with asyncio.timeout(20):
        while feed.head != 3:
            await feed.grown()
    assert await log.append(conn) == 4
    assert await feed.wait(3, 10) == 4
    assert await follow(feed, 3, 4) == [4]


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
