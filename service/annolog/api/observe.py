"""What operators see of requests: their ids, access lines, counts; safe headers.

`install` puts `Front` before everything else of the application, its 404s included:
each request gets an id (the caller's `X-Request-ID` if it is a sane one), which is in
the answer, in problems and in every line of the log that the request causes; is
counted and timed by its route's template; and leaves with the headers that keep
browsers from being used against us.

No header, query or body is ever logged: they may hold secrets.
"""

import logging
import random
import re
from collections.abc import Iterable, Mapping
from time import perf_counter

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from annolog import runtime
from annolog.api.logs import ACCESS, REQUEST, AccessLine, AskedFor, write_access
from annolog.api.metrics import Metrics
from annolog.api.wire import Answer, Headers, answer_by, whole_of

REQUEST_ID = "X-Request-ID"
"""The header that carries the id of a request, in both directions."""

_REQUEST_ID = REQUEST_ID.lower().encode()
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Headers of every answer, unless the answer brings its own."""

_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_NAMES = frozenset(name for name, _ in _ENCODED)


class Front:
    """The outermost part of the application: sees every request and every answer.

    Parameters
    ----------
    app
        What is behind.
    metrics
        Where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = logging.getLogger(ACCESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Parameters
        ----------
        scope
            The request; gets its id.
        receive
            Where its body comes from.
        send
            Where the answer goes.
        """
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = _request_id(scope)
        scope["state"]["request_id"] = request_id
        answer = _Watched(send, request_id, whole_of(scope))
        if answer.goes_whole:
            answer_by(scope, answer.send_whole)
        bound = REQUEST.set(request_id)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            seconds = perf_counter() - began
            status, size = answer.status, answer.size
            if answer.goes_whole:
                # Who answers knows the request, which would know who answers: only the
                # collector would ever free the two.
                answer_by(scope, None)
            # Set by the router; what has no route shares one name.
            route = scope.get("path_template") or "(none)"
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.request(method, route, status, seconds)
            if scope["path"] not in _QUIET or status >= 500:  # noqa: PLR2004
                self._access(scope, request_id, status, size, seconds)
            REQUEST.reset(bound)

    def _access(
        self,
        scope: HTTPScope,
        request_id: str,
        status: int,
        size: int,
        seconds: float,
    ) -> None:
        if not self._log.isEnabledFor(logging.INFO):
            return
        client = scope.get("client")
        agent = b""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                agent = value
                break
        line = AccessLine(
            AskedFor(
                scope["method"],
                # Without the query, which may hold what should not be kept.
                scope["path"],
                status,
                size,
                f"{seconds:.6f}s",
                client[0] if client else None,
                agent.decode("latin-1")[:200],
            ),
            request_id,
            runtime.now(),
        )
        write_access(line)


class _Watched:
    """The answer to one request on its way out; it gets our headers.

    Attributes
    ----------
    status
        Its status. 499 at first: the caller left, as nothing else ends without one.
    size
        Bytes of its body so far.
    """

    __slots__ = ("_request_id", "_send", "_whole", "size", "status")

    def __init__(self, send: Send, request_id: str, whole: Answer | None) -> None:
        self._send = send
        self._request_id = request_id
        self._whole = whole
        self.status = 499
        self.size = 0

    @property
    def goes_whole(self) -> bool:
        """Whether it can be sent in one piece."""
        return self._whole is not None

    async def send(self, message: Message) -> None:
        """Send the next piece."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = _with_ours(message["headers"], self._request_id)
        elif message["type"] == "http.response.body":
            self.size += len(message["body"])
        await self._send(message)

    def send_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send all of it, if that is possible."""
        whole = self._whole
        if whole is None or not whole(
            status, _with_ours(headers, self._request_id), body
        ):
            return False
        self.status, self.size = status, len(body)
        return True


def install(app: Litestar, metrics: Metrics) -> None:
    """Put the front before an application, its routing and its 404s included.

    Litestar's own middlewares run only where a route was found.

    Parameters
    ----------
    app
        The application, before it serves.
    metrics
        Where its requests are counted.
    """
    app.asgi_handler = Front(app.asgi_handler, metrics)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _REQUEST_ID and _SANE_ID.fullmatch(value):
            return value.decode()
    # Nobody is kept out by it, so it need not be one that nobody can guess.
    return f"{random.getrandbits(128):032x}"


def _with_ours(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Headers:
    brought = _NAMES.intersection([name for name, _ in headers])
    ours = [one for one in _ENCODED if one[0] not in brought] if brought else _ENCODED
    return [*headers, *ours, (_REQUEST_ID, request_id.encode())]
