"""The service within a command: the same requests as anyone's, without a network.

Commands that load data speak the HTTP interface like other clients, so what they write
has passed the same checks. Only the operator of the database can start them.
"""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import httpx

from annolog import settings as setting
from annolog.api.logs import configure_logs
from annolog.app import create_app
from annolog.cli.main import FailedError, database_url

BATCH = 500
"""Items of one request."""


class Inside:
    """Speaks HTTP to a service that runs in this process."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(
        self,
        method: str,
        path: str,
        body: object,
        *,
        user: str,
        kind: str = "human",
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Send a request and give the decoded answer.

        Raises
        ------
        FailedError
            If the answer is an error.
        """
        sent = {"X-Annolog-User": user, "X-Annolog-Kind": kind, **(headers or {})}
        answer = await self._client.request(method, path, json=body, headers=sent)
        if answer.is_error:
            problem = answer.json()
            raise FailedError(f"annologd: {problem['detail']} ({problem['code']})")
        return answer.json()

    async def post(
        self, path: str, body: object, *, user: str, kind: str = "human"
    ) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Post JSON; as for `send`."""
        return await self.send("POST", path, body, user=user, kind=kind)

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Get JSON; a failed request ends the command."""
        answer = await self._client.get(path, params=query)
        if answer.is_error:
            raise FailedError(f"annologd: {answer.json()['detail']}")
        return answer.json()


@contextlib.asynccontextmanager
async def inside() -> AsyncIterator[Inside]:
    """Start the service in this process, on the configured database."""
    settings = setting.load(
        changed={"auth": "none", "host": "127.0.0.1", "database_url": database_url()}
    )
    configure_logs("text", stream=sys.stderr, level="WARNING")
    app = create_app(settings)
    failure: FailedError | None = None
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=cast(Any, app)),
            base_url="http://annolog.invalid",
            headers={"User-Agent": "annologd"},
            timeout=60.0,
        ) as client,
    ):
        try:
            yield Inside(client)
        except FailedError as error:
            # Raised behind the application's end, which would wrap it in a group.
            failure = error
    if failure is not None:
        raise failure
