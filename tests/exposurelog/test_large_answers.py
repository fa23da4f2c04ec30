"""Large answers come in pieces, slow searches are few and end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from annolog.exposurelog import answers, messages, queries
from annolog.storage import database
from tests.support.message_log import MESSAGES
from tests.support.messages import AMessage, Shown, found, insert
from tests.support.service import Service, service

NIGHT = datetime(2026, 11, 20, 3, 0)  # noqa: DTZ001 - TAI
KNOWN = [AMessage(number=1), AMessage(number=2, user_id="ann")]


async def shown(annolog: Service, **asked: Any) -> list[Shown]:  # noqa: ANN401 - any
    answer = await annolog.client.get(MESSAGES, params=asked)
    assert answer.status_code == 200, answer.text
    listed: list[Shown] = answer.json()
    return listed


CROWD = [
    AMessage(number=1000 + i, date_added=NIGHT + timedelta(seconds=i))
    for i in range(500)
]
SPAN = {"min_day_obs": 20261119, "max_day_obs": 20261120, "limit": 50_000}


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let five hundred messages be many."""
    monkeypatch.setattr(messages, "AT_ONCE", 20)
    monkeypatch.setattr(queries, "PIECE", 50)
    monkeypatch.setattr(answers, "WHOLE", 10_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("asked", [SPAN, {**SPAN, "user_ids": "jdoe"}])
async def test_a_large_answer_comes_in_pieces_and_is_one_array(
    database_url: str, asked: dict[str, Any]
) -> None:
    await insert(database_url, CROWD)
    async with service(database_url) as annolog:
        answer = await annolog.client.get(MESSAGES, params=asked)
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == found([one.shown() for one in CROWD], SPAN)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("limit", [20, 21, 50, 51, 499, 500, 501])
async def test_no_message_is_lost_where_a_piece_ends(
    database_url: str, limit: int
) -> None:
    await insert(database_url, CROWD)
    async with service(database_url) as annolog:
        listed = await shown(annolog, **{**SPAN, "limit": limit})
    assert len({one["id"] for one in listed}) == len(listed) == min(limit, 500)


@pytest.mark.usefixtures("small_pieces")
async def test_a_large_answer_is_of_one_moment(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert(database_url, CROWD)
    read: list[int] = []
    pieces = queries.pieces

    async def interrupted(*given: Any) -> Any:  # noqa: ANN401 - as the real one
        async for rows in pieces(*given):
            yield rows
            if not read:
                await insert(database_url, [replace(CROWD[0], number=7)])
            read.append(len(rows))

    monkeypatch.setattr(queries, "pieces", interrupted)
    async with service(database_url) as annolog:
        assert len(await shown(annolog, **SPAN)) == 500
        assert len(await shown(annolog, **SPAN)) == 501


@pytest.mark.usefixtures("small_pieces")
async def test_a_reader_who_leaves_gives_the_connection_back(
    database_url: str,
) -> None:
    await insert(database_url, CROWD)
    async with service(database_url) as annolog:
        pool = annolog.runtime.streams
        for _ in range(2 * pool.get_max_size()):
            await _leave(annolog, {**SPAN, "limit": 500})
        async with asyncio.timeout(5):
            while pool.get_size() != pool.get_idle_size():  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        assert len(await shown(annolog, **SPAN)) == 500


async def _leave(annolog: Service, asked: dict[str, Any]) -> None:
    """Ask for messages, and leave when the first of them come."""
    request = annolog.client.build_request("GET", MESSAGES, params=asked)
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            left.set()
            await asyncio.sleep(3600)

    transport: Any = annolog.client._transport
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": MESSAGES,
        "raw_path": MESSAGES.encode(),
        "query_string": request.url.query,
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8080),
        "root_path": "",
        "state": {},
    }
    async with asyncio.timeout(5):
        await transport.app(scope, receive, send)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches take half a second at most."""
    use = database.SEARCHES
    limited = replace(use, settings={**use.settings, "statement_timeout": "500ms"})
    monkeypatch.setattr(database, "SEARCHES", limited)


@pytest.mark.usefixtures("impatient")
async def test_a_search_that_takes_too_long_is_ended_with_503(
    database_url: str,
) -> None:
    await insert(database_url, KNOWN)
    async with service(database_url) as annolog:
        async with _without_revisions(database_url):
            answer = await annolog.client.get(MESSAGES, params={"user_ids": "jdoe"})
        again = await shown(annolog, user_ids="ann")
    assert answer.status_code == 503
    assert "too long" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert [one["id"] for one in again] == [KNOWN[1].id]


async def test_searches_run_two_at_a_time_and_hold_no_other_call_up(
    database_url: str,
) -> None:
    await insert(database_url, KNOWN)
    async with service(database_url) as annolog:
        async with _without_revisions(database_url) as connection:
            searches = [
                asyncio.create_task(shown(annolog, user_ids="ann")) for _ in range(5)
            ]
            async with asyncio.timeout(5):
                while await _searching(connection) < 2:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
            quick = await shown(annolog, min_day_obs=20261119, max_day_obs=20261120)
            running = await _searching(connection)
        for search in searches:
            assert [one["id"] for one in await search] == [KNOWN[1].id]
    assert quick
    assert running == 2


@asynccontextmanager
async def _without_revisions(
    database_url: str,
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Keep everybody else from the table of revisions, which searches need."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("lock table revision")
            yield connection
    finally:
        await connection.close()


async def _searching(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    # Within a transaction the server would say the same again.
    await connection.execute("select pg_stat_clear_snapshot()")
    count: int = await connection.fetchval(
        "select count(*) from pg_stat_activity where state = 'active'"
        " and application_name = 'annolog searches' and datname = current_database()"
    )
    return count
