"""Who is let in to exposurelog's API, what they may do there, and what is noted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from annolog.app import create_app
from annolog.auth import tokens
from annolog.auth.tokens import NewToken
from annolog.runtime import now
from annolog.settings import Settings
from annolog.storage import database
from annolog.storage.tokens import StoredToken, insert
from tests.support.door import a_message, decoded
from tests.support.nights import a_fact, announce
from tests.support.service import service

MESSAGES = "/exposurelog/messages"
TRUSTED = ("10.0.0.0/8", "2001:db8::/32")


@pytest.fixture(autouse=True)
async def exposures_of_a_night(database_url: str) -> None:
    async with service(database_url) as annolog:
        await announce(annolog, a_fact(1), a_fact(2))
        said = await annolog.say("exposure:LSSTCam/2025111900002", text="x", by="ann")
        assert said["target_count"] == 1


async def a_token(database_url: str, **fields: Any) -> dict[str, str]:  # noqa: ANN401 - of a token
    """Make a token; give the headers that show it."""
    new: NewToken = tokens.make()
    stored = StoredToken(
        token_id=new.token_id,
        secret_hash=new.secret_hash,
        owner="love",
        kind="human",
        role="author",
        instruments=None,
        delegate=False,
        note="",
        created_at=now(),
        expires_at=None,
        revoked_at=None,
    )
    connection = await database.connect(database_url, database.WORK)
    await insert(connection, replace(stored, **fields))
    await connection.close()
    return {"Authorization": f"Bearer {new.shown}"}


@asynccontextmanager
async def summit(database_url: str) -> AsyncIterator["Summit"]:
    """Run the service with tokens and trusted networks."""
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "site_id": "summit",
            "auth": ("tokens",),
            "exposurelog_trusted": TRUSTED,
        }
    )
    app = create_app(settings)
    async with app.lifespan():
        yield Summit(app)


class Summit:
    """A service that may be called from any address."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        at: str = "10.1.2.3",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        transport = httpx.ASGITransport(cast("Any", self._app), client=(at, 40000))
        url = "http://127.0.0.1:8080"
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            return await client.request(method, path, json=body, headers=headers)


async def records(database_url: str) -> list[dict[str, Any]]:
    """Give what is recorded of who wrote the last revision."""
    connection = await database.connect(database_url, database.READS)
    rows = await connection.fetch(
        """
        select convert_from(body, 'UTF8')::jsonb ->> 'author' as author,
               convert_from(body, 'UTF8')::jsonb ->> 'actor' as actor,
               convert_from(body, 'UTF8')::jsonb ->> 'rank' as rank,
               convert_from(body, 'UTF8')::jsonb ->> 'authenticated_by' as by
          from record where kind = 'revision' order by clock desc limit 1
        """
    )
    await connection.close()
    return [dict(row) for row in rows]


async def test_a_trusted_network_writes_without_a_token(database_url: str) -> None:
    async with summit(database_url) as annolog:
        for at in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5"):
            said = decoded(
                await annolog.call("POST", MESSAGES, a_message(1), at=at), 200
            )
            one = f"{MESSAGES}/{said['id']}"
            assert decoded(await annolog.call("GET", one, at=at)) == said
            edited = decoded(await annolog.call("PATCH", one, {"level": "40"}, at=at))
            two = f"{MESSAGES}/{edited['id']}"
            assert (await annolog.call("DELETE", two, at=at)).status_code == 204
        for path in ("instruments", "configuration", "messages?limit=5"):
            answer = await annolog.call("GET", f"/exposurelog/{path}")
            assert answer.status_code == 200


async def test_whoever_is_let_in_unproven_is_noted_by_address_alone(
    database_url: str,
) -> None:
    boss = {"X-Annolog-User": "boss", "X-Annolog-Settle": "true"}
    async with summit(database_url) as annolog:
        body = a_message(1, user_id="ann", exposure_flag="junk")
        said = decoded(await annolog.call("POST", MESSAGES, body, headers=boss))
        note = {
            "author": "ann",
            "actor": None,
            "rank": "human",
            "by": "network:10.1.2.3",
        }
        assert await records(database_url) == [note]
        one = f"{MESSAGES}/{said['id']}"
        decoded(await annolog.call("PATCH", one, {}, at="::ffff:10.9.9.9"))
        assert await records(database_url) == [note | {"by": "network:10.9.9.9"}]


@pytest.mark.parametrize("at", ["11.1.2.3", "127.0.0.1", "::1", "::ffff:11.1.2.3"])
async def test_others_show_a_token_or_are_told_so(database_url: str, at: str) -> None:
    headers = await a_token(database_url)
    async with summit(database_url) as annolog:
        for method, path in (
            ("GET", MESSAGES),
            ("POST", MESSAGES),
            ("GET", "/exposurelog/instruments"),
            ("DELETE", f"{MESSAGES}/018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f"),
        ):
            refused = await annolog.call(method, path, {}, at=at)
            assert isinstance(decoded(refused, 401)["detail"], str)
        forged = {"X-Forwarded-For": "10.1.2.3", "X-Annolog-User": "boss"}
        refused = await annolog.call("GET", MESSAGES, at=at, headers=forged)
        assert refused.status_code == 401
        body = a_message(1)
        said = await annolog.call("POST", MESSAGES, body, at=at, headers=headers)
        assert decoded(said)["user_id"] == "ann"


async def test_a_trusted_network_shows_a_token_everywhere_else(
    database_url: str,
) -> None:
    async with summit(database_url) as annolog:
        for path in ("/annolog/v1/annotations?day_obs=20251119", "/annolog/v1/me"):
            assert (await annolog.call("GET", path)).status_code == 401
        body = {"targets": ["exposure:LSSTCam/2025111900001"], "text": "x"}
        answer = await annolog.call("POST", "/annolog/v1/annotations", body)
        assert answer.status_code == 401


async def test_a_token_that_is_shown_counts(database_url: str) -> None:
    good = await a_token(database_url)
    revoked = await a_token(database_url, revoked_at=now())
    async with summit(database_url) as annolog:
        decoded(await annolog.call("POST", MESSAGES, a_message(1), headers=good))
        (note,) = await records(database_url)
        assert (note["author"], note["actor"]) == ("ann", "love")
        assert note["by"].startswith("token:al_")
        answer = await annolog.call("POST", MESSAGES, a_message(1), headers=revoked)
        assert isinstance(decoded(answer, 401)["detail"], str)
        proxys = {"Authorization": "Basic YTpi"}
        decoded(await annolog.call("POST", MESSAGES, a_message(1), headers=proxys))


async def test_a_viewer_may_only_read(database_url: str) -> None:
    viewer = await a_token(database_url, role="viewer")
    async with summit(database_url) as annolog:
        path = f"{MESSAGES}?limit=1"
        found = await annolog.call("GET", path, headers=viewer)
        (known,) = found.json()
        one = f"{MESSAGES}/{known['id']}"
        for method, path in (("POST", MESSAGES), ("PATCH", one), ("DELETE", one)):
            body = a_message(1)
            refused = await annolog.call(method, path, body, headers=viewer)
            assert "viewer" in decoded(refused, 403)["detail"]
        assert decoded(await annolog.call("GET", one)) == known


async def test_a_token_for_one_instrument_writes_of_that_alone(
    database_url: str,
) -> None:
    latiss = await a_token(database_url, instruments=("LATISS",))
    async with summit(database_url) as annolog:
        refused = await annolog.call("POST", MESSAGES, a_message(1), headers=latiss)
        assert "LATISS" in decoded(refused, 403)["detail"]
        (known,) = (await annolog.call("GET", f"{MESSAGES}?limit=1")).json()
        one = f"{MESSAGES}/{known['id']}"
        refused = await annolog.call("DELETE", one, headers=latiss)
        assert "LATISS" in decoded(refused, 403)["detail"]


@pytest.mark.parametrize("role", ["author", "curator", "admin", "importer"])
async def test_no_role_gives_more_than_a_persons_weight(
    database_url: str, role: str
) -> None:
    headers = await a_token(database_url, role=role)
    settling = {**headers, "X-Annolog-Settle": "true"}
    async with summit(database_url) as annolog:
        body = a_message(1, user_id="love", exposure_flag="junk")
        said = decoded(await annolog.call("POST", MESSAGES, body, headers=settling))
        assert (await records(database_url))[0]["rank"] == "human"
        one = f"{MESSAGES}/{said['id']}"
        change = {"exposure_flag": "questionable"}
        decoded(await annolog.call("PATCH", one, change, headers=settling))
        assert (await records(database_url))[0]["rank"] == "human"


async def test_a_delegate_and_for_whom_it_speaks_are_both_known(
    database_url: str,
) -> None:
    delegate = await a_token(database_url, delegate=True)
    named = {**delegate, "X-Annolog-User": "bea"}
    async with summit(database_url) as annolog:
        decoded(await annolog.call("POST", MESSAGES, a_message(1), headers=named))
        (note,) = await records(database_url)
        assert (note["author"], note["actor"]) == ("ann", "bea")
        body = a_message(1, user_id="bea")
        decoded(await annolog.call("POST", MESSAGES, body, headers=named))
        (note,) = await records(database_url)
        assert (note["author"], note["actor"]) == ("bea", "love")


async def test_in_mode_none_everyone_is_let_in_there(database_url: str) -> None:
    async with service(database_url) as annolog:
        answer = await annolog.client.post(MESSAGES, json=a_message(1))
        said = decoded(answer)
        (note,) = await records(database_url)
        assert (note["actor"], note["by"], note["rank"]) == (None, "none", "human")
        one = f"{MESSAGES}/{said['id']}"
        assert (await annolog.client.delete(one)).status_code == 204
        body = {"targets": ["exposure:LSSTCam/2025111900001"], "text": "x"}
        native = await annolog.client.post("/annolog/v1/annotations", json=body)
        assert native.status_code == 401
