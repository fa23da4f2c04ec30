"""Routes that are called without detours: those that are asked for all night.

To the framework a `DirectRoute` is a route as any other: it is found, guarded, limited
and documented the same way, and its errors are answered by the same handlers. Only what
stands between its middlewares and its function is left out. That solves, for each
request anew, what the function's parameters are and what its answer becomes: more work
than many of these functions do themselves.
"""

import inspect
from typing import Any

from litestar import Litestar, Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import (
    ASGIApp,
    ExceptionHandlersMap,
    Middleware,
    Receive,
    Scope,
    Send,
)
from typing_extensions import override

from annolog.api.wire import Headers, whole_of
from annolog.auth.callers import provide_actor

_JSON = "application/json"
_CONTENT_TYPE = (b"content-type", _JSON.encode())


class DirectRoute(HTTPRouteHandler):
    """A route whose function is called at once.

    The function takes any of `request`, `runtime` and `actor`, and what its path names.
    It answers with bytes, which are JSON, with any `Response`, or with None.
    """

    @override
    def on_registration(self, app: Litestar) -> None:
        """Look once at what the function takes.

        Parameters
        ----------
        app
            The application.
        """
        super().on_registration(app)
        self._errors: ExceptionHandlersMap | None = None
        self._takes = frozenset(inspect.signature(self.fn).parameters)
        self._runtime = self.resolve_dependencies().get("runtime")

    @override
    def resolve_exception_handlers(self) -> ExceptionHandlersMap:
        """Give what answers errors; the router asks at each request."""
        if self._errors is None:
            self._errors = super().resolve_exception_handlers()
        return self._errors

    @override
    def resolve_middleware(self) -> list[Middleware]:
        """Put the call of the function inside of all middlewares."""

        def called(app: ASGIApp) -> ASGIApp:
            del app  # the detours
            return self._answer

        return [called, *super().resolve_middleware()]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        given: dict[str, Any] = dict(scope["path_params"])
        if "request" in self._takes:
            given["request"] = request
        if "actor" in self._takes:
            given["actor"] = provide_actor(request)
        if self._runtime is not None and "runtime" in self._takes:
            given["runtime"] = self._runtime.dependency()
        found = await self.fn(**given)
        if isinstance(found, bytes):
            head = [_CONTENT_TYPE, (b"content-length", b"%d" % len(found))]
            await _send(scope, send, self.status_code, head, found)
        elif found is None:
            await _send(scope, send, self.status_code, [], b"")
        elif _is_plain(found):
            status = found.status_code or self.status_code
            await _send(scope, send, status, _head(found), found.content)
        else:
            whole = found.to_asgi_response(
                app=None, request=request, status_code=self.status_code
            )
            await whole(scope, receive, send)


def _is_plain(found: Response[Any]) -> bool:
    """Tell JSON as bytes from what has a way of its own of being sent."""
    return (
        type(found) is Response
        and found.media_type == _JSON
        and isinstance(found.content, bytes)
        and not found.cookies
        and found.background is None
    )


def _head(found: Response[bytes]) -> Headers:
    return [
        *((n.lower().encode(), v.encode("latin-1")) for n, v in found.headers.items()),
        _CONTENT_TYPE,
        (b"content-length", b"%d" % len(found.content)),
    ]


async def _send(
    scope: Scope,
    send: Send,
    status: int,
    headers: Headers,
    body: bytes,
) -> None:
    whole = whole_of(scope) if body else None
    if whole is not None and whole(status, headers, body):
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
