"""The whole service in this process: the real app on a real database, over HTTP.

    async with service(database_url) as annolog:
        junk = await annolog.say("exposure:LSSTCam/2026111900123", flag="junk")
        await annolog.review(junk, "reject", by="ann", reason="it is fine")
        assert (await annolog.state("exposure:LSSTCam/2026111900123"))["disputed"]

Helpers check the status that they expect and give the decoded body; `get`, `post`
and `client` give raw answers.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias, cast
from uuid import UUID

import httpx
from litestar import Litestar
from litestar.di import Provide

from annolog.actions import entries, receive
from annolog.actions.desk import Work
from annolog.actions.requests import Request
from annolog.app import create_app
from annolog.domain import records
from annolog.domain.entries import AnyEntry, SameAs
from annolog.domain.instruments import Instrument
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor, Role
from annolog.runtime import Runtime
from annolog.settings import Settings

V1 = "/annolog/v1"
"""Where the native API lives."""

ADMIN = Actor("admin", "human", frozenset(Role) - {Role.BOT})
"""Who sets vocabularies where a test is not about that."""

Shown = dict[str, Any]
"""A decoded JSON object."""

Sent: TypeAlias = object
"""Anything that JSON can hold."""


class Service:
    """A running service and a client to it.

    Attributes
    ----------
    client
        Speaks HTTP to the app, without a network between.
    runtime
        The parts behind the app, for what HTTP does not offer.
    """

    def __init__(self, client: httpx.AsyncClient, runtime: Runtime) -> None:
        self.client = client
        self.runtime = runtime

    # ------------------------------------------------------------ raw requests

    async def get(self, path: str, **query: str | int) -> httpx.Response:
        """GET a path below /annolog/v1."""
        headers = caller("reader")
        return await self.client.get(V1 + path, params=query, headers=headers)

    async def post(
        self, path: str, body: Sent = None, *, by: str = "jdoe", **headers: str
    ) -> httpx.Response:
        """POST JSON to a path below /annolog/v1; `bot:name` calls as a bot.

        Header names are written with underscores: `if_match=...`.
        """
        return await self._send("POST", path, body, by, headers)

    async def put(self, path: str, body: Sent, *, by: str = "jdoe") -> httpx.Response:
        """PUT JSON to a path below /annolog/v1."""
        return await self._send("PUT", path, body, by, {})

    async def _send(
        self, method: str, path: str, body: Sent, by: str, headers: Mapping[str, str]
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(
            method, V1 + path, headers=caller(by) | sent, json=body
        )

    # ------------------------------------------------------------ statements

    async def say(
        self, *targets: str, by: str = "jdoe", settle: bool = False, **content: Sent
    ) -> Shown:
        """Create an annotation; `by="bot:name"` for a bot; give it as answered."""
        body = {"targets": list(targets), **content}
        if settle:
            body["settle"] = True
        return _body(await self.post("/annotations", body, by=by), 201)

    async def edit(
        self, said: Shown, *, by: str | None = None, **change: Sent
    ) -> Shown:
        """Edit from the revision given, by its author unless told; give the new one."""
        sent = {"if-match": f'"{said["revision_id"]}"'}
        path = f"/annotations/{said['annotation_id']}"
        who = by or author_of(said)
        return _body(await self._send("PATCH", path, change, who, sent), 200)

    async def retract(self, said: Shown, *, by: str | None = None) -> Shown:
        return await self._step(said, "retract", by)

    async def restore(self, said: Shown, *, by: str | None = None) -> Shown:
        return await self._step(said, "restore", by)

    async def _step(self, said: Shown, step: str, by: str | None) -> Shown:
        path = f"/annotations/{said['annotation_id']}/{step}"
        tag = f'"{said["revision_id"]}"'
        answer = await self.post(path, by=by or author_of(said), if_match=tag)
        return _body(answer, 200)

    async def review(
        self,
        said: Shown,
        verdict: str,
        *,
        by: str,
        targets: Sequence[str] | None = None,
        reason: str = "",
    ) -> Shown:
        """Confirm, reject or close; give the review's record."""
        body: Shown = {"verdict": verdict, "reason": reason}
        if targets is not None:
            body["targets"] = list(targets)
        path = f"/annotations/{said['annotation_id']}/reviews"
        return _body(await self.post(path, body, by=by), 201)

    # ------------------------------------------------------------ looking

    async def target(self, key: str, **query: str | int) -> Shown:
        """Give the whole answer about one target."""
        return _body(await self.get("/target", key=key, **query), 200)

    async def state(self, key: str, **query: str | int) -> Shown:
        """Give a target's state."""
        state: Shown = (await self.target(key, **query))["state"]
        return state

    # ------------------------------------------------------------ what HTTP lacks

    async def set_entry(self, entry: AnyEntry | Instrument) -> UUID:
        """Set a flag, tag, policy, alias, same_as or instrument, as an admin."""
        decide = entries.put(Request(ADMIN, records.digest({}), None), entry)
        keys: frozenset[str] = frozenset()
        if isinstance(entry, SameAs):
            keys = frozenset({entry.key_a, entry.key_b})
            await receive.ensure_rows(self.runtime.lane, self.runtime.work, keys)
        done = await self.runtime.lane.submit(Work(decide, Wants(keys=keys)))
        return done.record_id


_idle: list[Litestar] = []
"""Applications that run nowhere now."""


@contextmanager
def application(settings: Settings) -> Iterator[Litestar]:
    """Give an application that nobody else runs, to be started with settings.

    To make one takes as long as three of the smaller tests: Litestar looks at 200
    handlers. One that starts again opens all its parts anew; it only goes on counting
    requests and turns in its metrics.
    """
    app = _idle.pop() if _idle else create_app(settings)
    app.state.settings = settings
    yield app
    # Not where there was an error: it may have started or ended by half.
    _idle.append(app)


@asynccontextmanager
async def service(
    database_url: str, *, site_id: str = "summit", butlers: Sequence[str] = ()
) -> AsyncIterator[Service]:
    """Run the app on a migrated database; callers are whom they say they are."""
    settings = Settings(
        database_url=database_url,
        site_id=site_id,
        auth=("none",),
        butler_uris=tuple(butlers),
    )
    failed: Exception | None = None
    with application(settings) as app:
        async with (
            app.lifespan(),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(
                    cast("Any", app), client=("127.0.0.1", 40000)
                ),
                base_url="http://127.0.0.1:8080",
            ) as client,
        ):
            try:
                yield Service(client, _runtime(app))
            except Exception as error:  # noqa: BLE001 - raised again below
                failed = error
    if failed is not None:
        # From within, the lifespan's task group would wrap what a test wants to see.
        raise failed


def caller(by: str) -> dict[str, str]:
    """Give the headers by which somebody calls; `bot:name` is a bot."""
    name = by.removeprefix("bot:")
    kind = "bot" if name != by else "human"
    return {"X-Annolog-User": name, "X-Annolog-Kind": kind}


def author_of(said: Shown) -> str:
    """Give the author of an annotation as `caller` wants it."""
    return ("bot:" if said["author_kind"] == "bot" else "") + str(said["author"])


def _runtime(app: Litestar) -> Runtime:
    provided = cast("Provide", app.dependencies["runtime"])
    return cast("Runtime", provided.dependency())


def _body(answer: httpx.Response, status: int) -> Shown:
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    body: Shown = answer.json()
    return body
