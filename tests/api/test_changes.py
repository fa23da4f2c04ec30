"""`GET /annolog/v1/changes`: the log, paged and waited for."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from annolog.api.changes import HANDLERS
from annolog.domain.events import change_event
from annolog.storage import changes
from annolog.storage.database import Connection
from tests.support import log
from tests.support.handlers import handlers

PATH = "/annolog/v1/changes"


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await log.begin_site(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def client(
    database_url: str, conn: asyncpg.Connection
) -> AsyncIterator[httpx.AsyncClient]:
    del conn
    async with handlers(HANDLERS, database_url) as one:
        yield one


async def get(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:  # noqa: ANN401 - a query
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def go_back_to(number: int, conn: asyncpg.Connection) -> None:
    """Lose what is above a number, as a restored backup does under the process."""
    await conn.execute("set session_replication_role = replica")
    await conn.execute("delete from change where number > $1", number)
    await conn.execute("set session_replication_role = origin")


async def test_pages_give_the_events_of_the_topic(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    await log.append_many(conn, 7)
    first = await get(client, limit=5)
    assert (first["head"], first["next_after"]) == (7, 5)
    rest = await get(client, after=5)
    assert (rest["head"], rest["next_after"]) == (7, 7)
    logged = (await changes.read(conn, 0, 10)).changes
    for item, change in zip(first["items"] + rest["items"], logged, strict=True):
        event = change_event(change)
        assert item.pop("data") == event.body()
        assert item.pop("datacontenttype") == "application/json"
        assert item == event.attributes


async def test_an_empty_log_answers_at_once(client: httpx.AsyncClient) -> None:
    assert await get(client) == {"items": [], "head": 0, "next_after": 0}


async def test_who_waits_is_answered_when_there_is_something(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    await log.append(conn)
    # More wait than there are connections: none is held meanwhile.
    waiting = [asyncio.create_task(get(client, after=1, wait=20)) for _ in range(20)]
    await asyncio.sleep(0.5)
    assert (await get(client))["head"] == 1
    began = time.monotonic()
    await log.append(conn)
    for answer in await asyncio.gather(*waiting):
        assert [item["sequence"][-1] for item in answer["items"]] == ["2"]
    assert time.monotonic() - began < 3


async def test_waiting_ends_empty(client: httpx.AsyncClient) -> None:
    began = time.monotonic()
    answer = await get(client, after=5, wait=0.3)
    assert answer == {"items": [], "head": 0, "next_after": 5}
    assert 0.2 < time.monotonic() - began < 3


async def test_waiting_gives_the_same_pages_as_not_waiting(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    await log.append_many(conn, 9)
    await log.append(conn, instrument="LATISS")
    await get(client, after=10, wait=0.5)
    for query in (
        {"limit": 4},
        {"after": 3, "limit": 4},
        {"after": 8},
        {"instrument": "LATISS"},
        {"kind": "policy"},
        {"after": 99},
    ):
        waited = await get(client, wait=0.2, **query)
        assert waited == await get(client, **query), query


async def test_who_waits_from_ahead_learns_where_the_log_is(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    await log.append_many(conn, 3)
    answer = await get(client, after=5, wait=0.1)
    assert answer == {"items": [], "head": 3, "next_after": 5}


@pytest.mark.parametrize(
    ("waited_before", "whole"),
    # Who reads along with others may still be given what they were given.
    [(False, False), (False, True), (True, True)],
)
async def test_who_waits_between_two_heads_polls_no_database(
    client: httpx.AsyncClient,
    conn: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    *,
    waited_before: bool,
    whole: bool,
) -> None:
    await log.append_many(conn, 5)
    assert (await get(client, after=5, wait=0.1 * waited_before))["head"] == 5
    await go_back_to(3, conn)
    asked: list[int] = []
    original = changes.head

    async def noted(conn: Connection) -> int:
        asked.append(1)
        return await original(conn)

    monkeypatch.setattr(changes, "head", noted)
    answer = await get(client, after=4, wait=0.5, whole=whole)
    assert (answer["items"], answer["head"]) == ([], 3)
    # The feed may have asked by itself, and who is ahead asks once more at the end.
    assert len(asked) <= 4


async def test_a_log_that_went_back_is_noticed_by_who_asks_next(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    await log.append_many(conn, 5)
    assert (await get(client))["head"] == 5
    await go_back_to(3, conn)
    assert await get(client, after=4) == {"items": [], "head": 3, "next_after": 4}


async def test_words_that_were_redacted_are_given_to_nobody_who_waits(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    waiting = asyncio.create_task(get(client, wait=20))
    number = await log.append(conn, text="secret")
    assert "secret" in str(await waiting)
    await conn.execute("update record set body = $1", b'{"text":""}')
    waiting = asyncio.create_task(get(client, after=number, wait=20))
    await log.append(conn, kind="redaction")
    await waiting
    assert "secret" not in str(await get(client, wait=1))


async def test_a_filter_waits_on_for_what_it_wants(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    waiting = asyncio.create_task(get(client, instrument="LATISS", wait=20))
    await log.append_many(conn, 3)
    await log.append(conn, instrument="LATISS")
    answer = await waiting
    assert [item["data"]["number"] for item in answer["items"]] == [4]
    assert (await get(client, kind="policy")) == {
        "items": [],
        "head": 4,
        "next_after": 4,
    }


async def test_a_large_record_is_left_out_unless_asked_for(
    client: httpx.AsyncClient, conn: asyncpg.Connection
) -> None:
    await log.append(conn, text="x" * 300_000)
    (item,) = (await get(client))["items"]
    assert item["data"]["after"] is None
    (whole,) = (await client.get(item["data"]["after_link"])).json()["items"]
    assert len(whole["data"]["after"]["text"]) == 300_000
    assert whole["id"] == item["id"]


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", "wait=26", "wait=nan"]
)
async def test_what_is_out_of_bounds_is_refused(
    client: httpx.AsyncClient, query: str
) -> None:
    assert (await client.get(f"{PATH}?{query}")).status_code == 422
