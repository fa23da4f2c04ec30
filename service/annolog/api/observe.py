"""What operators see of requests: their ids, access lines, metrics, safe headers.

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
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from time import perf_counter

from litestar import Litestar, Response, get
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    exposition,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from annolog import runtime
from annolog.api.logs import ACCESS, REQUEST, AccessLine, AskedFor, write_access
from annolog.api.wire import Answer, Headers, answer_by, whole_of
from annolog.domain.errors import UnavailableError
from annolog.storage.changes import Lag

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


# ---------------------------------------------------------------------- metrics


class Metrics:
    """What Prometheus may ask of one process.

    Each application has its own, so that several may live in one process (tests).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        seconds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
        self._requests = Counter(
            "annolog_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "annolog_request_seconds",
            "Time from a request's head to the last byte of its answer.",
            ("method", "route"),
            buckets=seconds,
            registry=self.registry,
        )
        self._turn_size = Histogram(
            "annolog_turn_size",
            "Writes that shared one transaction of the lane.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self._turn_seconds = Histogram(
            "annolog_turn_seconds",
            "Time of one transaction of the lane, the wait for the lane included.",
            buckets=seconds,
            registry=self.registry,
        )
        self._queue = Gauge(
            "annolog_queue_length",
            "Writes that wait for their turn.",
            registry=self.registry,
        )
        self._up = Gauge(
            "annolog_database_up",
            "Whether the database answered this scrape.",
            registry=self.registry,
        )
        self._head = Gauge(
            "annolog_log_head",
            "Greatest change number of the log.",
            registry=self.registry,
        )
        self._lag_changes = Gauge(
            "annolog_relay_lag_changes",
            "Changes that are not in Kafka yet (100000 means: or more).",
            registry=self.registry,
        )
        self._lag_seconds = Gauge(
            "annolog_relay_lag_seconds",
            "Age of the oldest change that is not in Kafka yet; 0 if none is waiting.",
            registry=self.registry,
        )
        # Finding a child by its labels costs more than counting with it.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Parameters
        ----------
        method
            HTTP method.
        route
            Template of its path, never the path: paths have no end.
        status
            Status of the answer; 499 where the caller left before.
        seconds
            How long it took.
        """
        key = (method, route, status)
        if key not in self._children:
            self._children[key] = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(method, route),
            )
        counter, histogram = self._children[key]
        counter.inc()
        histogram.observe(seconds)

    def turn(self, size: int, seconds: float) -> None:
        """Count a turn of the lane: how many writes, and how long in all.

        Parameters
        ----------
        size
            Writes in it.
        seconds
            From asking for the lane to its commit.
        """
        self._turn_size.observe(size)
        self._turn_seconds.observe(seconds)

    def watch_queue(self, length: Callable[[], float]) -> None:
        """Ask for the queue's length at each scrape.

        Parameters
        ----------
        length
            Gives how many writes wait.
        """
        self._queue.set_function(length)

    def watch_streams(self, count: Callable[[], tuple[int, int, int]]) -> None:
        """Ask for the streams at each scrape.

        Parameters
        ----------
        count
            Gives how many are open, how many events were sent over all ever, and how
            many were closed because their clients took nothing.
        """
        self.registry.register(_Streams(count))

    def log(self, head: int, lag: Lag) -> None:
        """Take over what the database says of the log.

        Parameters
        ----------
        head
            Greatest change number.
        lag
            How far the topic of changes is behind.
        """
        self._up.set(1)
        self._head.set(head)
        self._lag_changes.set(lag.changes)
        self._lag_seconds.set(lag.seconds)

    def database_away(self) -> None:
        """Take over that the database did not answer; the last numbers stay."""
        self._up.set(0)

    def text(self) -> bytes:
        """Give all metrics in Prometheus' text format.

        Returns
        -------
        bytes
            UTF-8.
        """
        return exposition.generate_latest(self.registry)


class _Streams(Collector):
    """The streams, counted where they are and only read here."""

    def __init__(self, count: Callable[[], tuple[int, int, int]]) -> None:
        self._count = count

    @override
    def collect(self) -> Iterator[Metric]:
        is_open, sent, dropped = self._count()
        yield GaugeMetricFamily("annolog_streams_open", "Open streams.", is_open)
        yield CounterMetricFamily(
            "annolog_stream_events", "Events sent over all streams.", sent
        )
        yield CounterMetricFamily(
            "annolog_streams_dropped",
            "Streams closed because their clients took nothing of what was sent.",
            dropped,
        )


def metrics_route(
    metrics: Metrics, look: Callable[[], Awaitable[tuple[int, Lag]]]
) -> HTTPRouteHandler:
    """Make the route `/metrics`.

    Parameters
    ----------
    metrics
        What to show.
    look
        Reads the log's head and the relay's lag; raises `UnavailableError` while
        the database is away.

    Returns
    -------
    HTTPRouteHandler
        Open to anyone: the page is not routed from outside.
    """

    @get(
        "/metrics",
        summary="Metrics",
        description="Metrics in Prometheus' text format. While the database is away,"
        " annolog_database_up is 0 and the log's numbers are the last ones known.",
        tags=["operations"],
        media_type="text/plain",
        opt={"anyone": True},
    )
    async def show() -> Response[bytes]:
        try:
            metrics.log(*await look())
        except UnavailableError:
            metrics.database_away()
        return Response(metrics.text(), media_type=exposition.CONTENT_TYPE_LATEST)

    return show


# ---------------------------------------------------------------------- the front


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
