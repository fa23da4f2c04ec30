"""What Prometheus may ask of one process: its requests, its lane, the log, streams."""

from collections.abc import Awaitable, Callable, Iterator

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
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

from annolog.domain.errors import UnavailableError
from annolog.storage.changes import Lag


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
