"""The whole service under its real server, but in this process, where it can be seen.

For tests of what happens on connections while they are open: without a network
between, an answer shows only when it has ended.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import httpx
from litestar import Litestar
from litestar.di import Provide

from annolog.cli import serve
from annolog.runtime import Runtime
from annolog.settings import Settings
from tests.support.service import application

STARTED_WITHIN = 30.0


@dataclass
class Served:
    """A running service.

    Attributes
    ----------
    port
        Where it listens.
    runtime
        Its parts.
    client
        A client with kept connections.
    """

    port: int
    runtime: Runtime
    client: httpx.AsyncClient
    _server: serve._Server
    _task: "asyncio.Task[None]"

    async def say(self, seq_num: int = 1, **content: object) -> int:
        """Say something of an exposure, and give the number of the change."""
        body = {
            "targets": [f"exposure:LSSTCam/{2026111900000 + seq_num}"],
            "flag": "junk",
            **content,
        }
        answer = await self.client.post("/annolog/v1/annotations", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["origin_number"])

    def stop(self) -> "asyncio.Task[None]":
        """Begin to end, as a signal does; give what is done when all is over."""
        self._server.should_exit = True
        return self._task


@asynccontextmanager
async def serving(database_url: str) -> AsyncIterator[Served]:
    """Run the service on a migrated database."""
    settings = Settings(database_url=database_url, site_id="summit", auth=("none",))
    with application(settings) as app:
        async with _on_uvicorn(app) as served:
            yield served


@asynccontextmanager
async def _on_uvicorn(app: Litestar) -> AsyncIterator[Served]:
    listener = serve.bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = serve._server(app, app.state.end_waiting)
    # Not `serve`, which takes over the signals of the process.
    task = asyncio.create_task(server._serve([listener]))
    async with (
        asyncio.timeout(STARTED_WITHIN),
    ):
        while not server.started:
            assert not task.done(), task
            await asyncio.sleep(0.02)
    runtime = cast("Provide", app.dependencies["runtime"]).dependency()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-Annolog-User": "jdoe"}
    ) as client:
        served = Served(port, cast("Runtime", runtime), client, server, task)
        try:
            yield served
        finally:
            await client.aclose()
            server.should_exit = True
            await task
