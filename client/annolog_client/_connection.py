"""One service, called over HTTP."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from annolog.domain.calls import V1
from annolog.domain.errors import UnavailableError
from annolog_client._errors import error_of

TIMEOUT = 120.0
"""Seconds that an answer may take; large lists are sorted and compared in that time."""
PAUSES = (1.0, 4.0)
"""Seconds before each further try of a call that found the service away or busy."""
LONGEST_PAUSE = 30.0
"""Seconds that are waited at most where the service says how long."""


class Connection:
    """Calls one service; used in a `with` block.

    Calls that find the service away or busy are made again. Those who use it for
    writing see to it that the same call twice is the same as once.

    Parameters
    ----------
    url
        Where the service is, without /annolog.
    token
        Annolog's or a proxy's; None where the service takes callers as they are.
    user
        Who calls where no token says so, or on whose behalf a delegate's token calls;
        None: nobody is named.
    agent
        How the program names itself.
    transport
        How requests travel; None: over the network.
    sleep
        Waits between tries.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        user: str | None = None,
        agent: str,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"User-Agent": agent}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if user:
            headers["X-Annolog-User"] = user
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=TIMEOUT, transport=transport
        )
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(
        self, path: str, params: Mapping[str, str | int] | None = None
    ) -> httpx.Response:
        """Get what is at a path below the API's.

        Parameters
        ----------
        path
            Begins with a slash.
        params
            Of the query.

        Raises
        ------
        AnnologError
            As the service tells it; `UnavailableError` if it cannot be reached.
        """
        return self._call("GET", path, params=params)

    def post(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        json: object = None,
        content: bytes | None = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        """Post to a path below the API's.

        Parameters
        ----------
        path
            Begins with a slash.
        params
            Of the query.
        json
            The body as a value; None: `content` is the body.
        content
            The body as bytes.
        content_type
            What they are.

        Raises
        ------
        AnnologError
            As the service tells it; `UnavailableError` if it cannot be reached.
        """
        if content is not None:
            headers = {"Content-Type": content_type}
            return self._call(
                "POST", path, params=params, content=content, headers=headers
            )
        return self._call("POST", path, params=params, json=json)

    def put(self, path: str, json: object) -> httpx.Response:
        """Put a value to a path below the API's.

        Parameters
        ----------
        path
            Begins with a slash.
        json
            The body as a value.

        Raises
        ------
        AnnologError
            As the service tells it; `UnavailableError` if it cannot be reached.
        """
        return self._call("PUT", path, json=json)

    def _call(self, method: str, path: str, **how: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        for pause in PAUSES:
            try:
                return self._once(method, path, **how)
            except UnavailableError as error:
                wanted = float(error.extra.get("retry_after", pause))
                self._sleep(min(wanted, LONGEST_PAUSE))
        return self._once(method, path, **how)

    def _once(self, method: str, path: str, **how: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        try:
            answer = self._client.request(method, V1 + path, **how)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            where = self._client.base_url
            raise UnavailableError(f"{where} cannot be reached: {reason}") from None
        if not answer.is_success:
            raise error_of(answer)
        return answer
