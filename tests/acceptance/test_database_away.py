"""The database goes away under the running service, and comes back."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import asyncpg
import httpx
import pytest

from tests.support.postgres import PostgresServer
from tests.support.served import ServiceProcess

ANNOTATIONS = "/annolog/v1/annotations"
TARGET = "exposure:LSSTCam/2026111900123"
PROBLEM = "application/problem+json"
T = TypeVar("T")
BY = {"X-Annolog-User": "jdoe"}

RECOVERED_WITHIN = 10.0
"""Seconds after which a service works again once its database does."""


@pytest.fixture
def process(
    database_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[ServiceProcess]:
    del postgres_server  # it is started again before the database is dropped
    with ServiceProcess(database_url, tmp_path) as running:
        yield running


def a_draft(name: str, **content: object) -> dict[str, object]:
    key = uuid5(NAMESPACE_URL, name)
    target = f"exposure:LSSTCam/{2026111900001 + key.int % 200}"
    return {"annotation_id": str(key), "targets": [target], "text": name, **content}


async def test_without_a_database_all_say_so_and_recover_by_themselves(
    process: ServiceProcess, postgres_server: PostgresServer
) -> None:
    async with client_of(process) as client:
        made = await client.post(ANNOTATIONS, json=a_draft("before"))
        assert made.status_code == 201
        for end in (postgres_server.stop, postgres_server.kill):
            await asyncio.to_thread(end)
            await _all_say_that_it_is_away(client, made.json())
            postgres_server.start()  # of this thread: a server ends with its starter
            again = await until_served(client, a_draft(f"after {end.__name__}"))
            assert again.status_code == 201
            read = await client.get(f"{ANNOTATIONS}/{made.json()['annotation_id']}")
            assert read.status_code == 200
            assert (await client.get("/health/ready")).status_code == 200
    assert '"fault"' not in process.told()


async def _all_say_that_it_is_away(
    client: httpx.AsyncClient, made: dict[str, Any]
) -> None:
    path = f"{ANNOTATIONS}/{made['annotation_id']}"
    match = {"If-Match": f'"{made["revision_id"]}"'}
    fresh = "exposure:LSSTCam/2026111900999"
    asked = [
        client.post(ANNOTATIONS, json=a_draft("away")),
        client.post(ANNOTATIONS, json=a_draft("away too", targets=[fresh])),
        client.patch(path, json={"text": "edited"}, headers=match),
        client.post(f"{path}/retract", headers=match),
        client.post(f"{path}/reviews", json={"verdict": "confirm"}),
        client.post(f"{ANNOTATIONS}/batch?atomic=true", json=[a_draft("many")]),
        client.get(path),
        client.get(f"{path}/revisions"),
        client.get(ANNOTATIONS, params={"author": "jdoe"}),
        client.get("/annolog/v1/targets", params={"target": TARGET}),
        client.get("/annolog/v1/changes"),
        client.get("/annolog/v1/changes", params={"after": 10**9, "wait": 3}),
    ]
    for answer in await asyncio.gather(*asked):
        assert answer.status_code == 503, f"{answer.request.url}: {answer.text}"
        assert answer.headers["content-type"] == PROBLEM
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["code"] in {"database_unavailable", "outcome_unknown"}
    # Items of a batch answer for themselves.
    batch = await client.post(f"{ANNOTATIONS}/batch", json=[a_draft("one")])
    assert [one["status"] for one in batch.json()["items"]] == [503]
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "unready")
    assert int(ready.headers["retry-after"]) > 0
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/metrics")).status_code == 200


async def test_what_was_unknown_is_said_once_when_it_is_sent_again(
    process: ServiceProcess, postgres_server: PostgresServer, database_url: str
) -> None:
    drafts = [a_draft(f"number {n}") for n in range(600)]
    async with client_of(process) as client:
        first = asyncio.create_task(_all(client, drafts))
        while await _count(database_url) < 50:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.01)
        await asyncio.to_thread(postgres_server.kill)
        answers = await first
        statuses = {answer.status_code for answer in answers}
        assert statuses == {201, 503}
        postgres_server.start()  # of this thread: a server ends with its starter
        await until_served(client, a_draft("again"))

        repeated = await _all(client, drafts)

    for before, after in zip(answers, repeated, strict=True):
        assert after.status_code in {200, 201}, after.text
        if before.status_code == 201:
            assert after.status_code == 200
            assert after.json()["revision_id"] == before.json()["revision_id"]
    assert await _count(database_url) == len(drafts) + 1
    # No number was lost with the server, and none given twice.
    assert await _is_gapless(database_url)


async def test_killing_the_sessions_of_the_lane_loses_nothing(
    process: ServiceProcess, database_url: str
) -> None:
    drafts = [a_draft(f"under fire {n}") for n in range(600)]
    conn = await asyncpg.connect(database_url)
    try:
        async with client_of(process) as client:
            said = asyncio.create_task(_all(client, drafts, until_done=True))
            killed = 0
            while not said.done():
                await asyncio.sleep(0.2)
                killed += await conn.fetchval(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                    " where application_name = 'annolog lane'"
                    "   and datname = current_database()"
                )
            answers = await said
    finally:
        await conn.close()
    assert killed > 3
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert await _count(database_url) == len(drafts)
    assert await _is_gapless(database_url)
    assert '"fault"' not in process.told()


def client_of(process: ServiceProcess) -> httpx.AsyncClient:
    # Nobody may hang for longer, whatever happens to the database.
    return httpx.AsyncClient(base_url=process.url, headers=BY, timeout=25.0)


async def until_served(
    client: httpx.AsyncClient, draft: dict[str, object]
) -> httpx.Response:
    """Send a create until it is taken, as its client would."""
    async with asyncio.timeout(RECOVERED_WITHIN):
        while True:
            answer = await client.post(ANNOTATIONS, json=draft)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.2)


async def _all(
    client: httpx.AsyncClient,
    drafts: list[dict[str, object]],
    *,
    until_done: bool = False,
) -> list[httpx.Response]:
    """Send drafts, some at a time; those refused for now again, if that is wanted."""
    room = asyncio.Semaphore(24)

    async def send(draft: dict[str, object]) -> httpx.Response:
        async with room:
            while True:
                answer = await client.post(ANNOTATIONS, json=draft)
                if answer.status_code != 503 or not until_done:
                    return answer
                await asyncio.sleep(0.05)

    return await asyncio.gather(*map(send, drafts))


async def _count(url: str) -> int:
    return await _ask(url, "select count(distinct annotation_id) from revision", int)


async def _is_gapless(url: str) -> bool:
    return await _ask(url, "select max(number) = count(*) from change", bool)


async def _ask(url: str, query: str, kind: Callable[[Any], T]) -> T:
    conn = await asyncpg.connect(url)
    try:
        return kind(await conn.fetchval(query))
    finally:
        await conn.close()
