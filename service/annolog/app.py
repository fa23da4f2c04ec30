"""The web application: routes, callers, errors, and the parts behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from time import monotonic
from typing import Any

from litestar import Litestar, Request
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig

from annolog import __version__
from annolog.actions.lane import Seen
from annolog.api import (
    annotations,
    batches,
    changes,
    dataid_builds,
    dataid_redactions,
    dataid_releases,
    dataid_uploads,
    dataids,
    docs,
    exposures,
    lists,
    me,
    nights,
    openapi,
    problems,
    reviews,
    schemas,
    snapshots,
    stream,
    targets,
    vocabulary,
)
from annolog.api.health import Probe, health_routes
from annolog.api.metrics import Metrics, metrics_route
from annolog.api.observe import install
from annolog.auth.callers import (
    CallerMiddleware,
    Callers,
    NamedCallers,
    NetworkCallers,
    TokenCallers,
    provide_actor,
)
from annolog.auth.tokens import TokenBook
from annolog.domain.errors import AnnologError, UnavailableError
from annolog.domain.roles import Actor
from annolog.exposurelog import exposures as registry_exposures
from annolog.exposurelog import messages, pages, writing
from annolog.exposurelog.problems import PREFIX as EXPOSURELOG
from annolog.runtime import Runtime, opened
from annolog.settings import Settings
from annolog.storage import tokens
from annolog.storage.changes import Lag
from annolog.storage.database import begin, reading

MAX_BODY = 20 * 1024 * 1024
"""Bytes that the framework lets through; each route has its own, lower limit."""


FLUSH_SECONDS = 30.0
"""How often it is written down which tokens were used."""


def create_app(settings: Settings) -> Litestar:
    """Make the application of one process.

    Parameters
    ----------
    settings
        Checked settings; the database is migrated and reachable when it starts.

    Returns
    -------
    Litestar
        The application. It opens its parts anew at each start, by the settings that
        are in its `state.settings` then.
    """
    metrics = Metrics()
    parts = _Parts(metrics)
    metrics.watch_queue(parts.waiting)
    metrics.watch_streams(parts.streams)
    application = Litestar(
        route_handlers=[
            *annotations.HANDLERS,
            *reviews.HANDLERS,
            *batches.HANDLERS,
            *lists.HANDLERS,
            *targets.HANDLERS,
            *exposures.HANDLERS,
            *nights.HANDLERS,
            *dataid_uploads.HANDLERS,
            *dataids.HANDLERS,
            *dataid_releases.HANDLERS,
            *dataid_redactions.HANDLERS,
            *dataid_builds.HANDLERS,
            *changes.HANDLERS,
            *schemas.HANDLERS,
            *snapshots.HANDLERS,
            *stream.HANDLERS,
            *vocabulary.HANDLERS,
            *me.HANDLERS,
            *openapi.HANDLERS,
            *docs.HANDLERS,
            *messages.HANDLERS,
            *writing.HANDLERS,
            *registry_exposures.HANDLERS,
            *pages.HANDLERS,
            *health_routes(parts.probe),
            metrics_route(metrics, parts.log),
        ],
        lifespan=[parts.lifespan],
        dependencies={
            "runtime": Provide(parts.give_runtime, sync_to_thread=False),
            "actor": Provide(_give_actor, sync_to_thread=False),
        },
        middleware=[CallerMiddleware(parts.callers)],
        exception_handlers=problems.HANDLERS,
        openapi_config=OpenAPIConfig(
            title="annolog",
            version=__version__,
            description=openapi.DESCRIPTION,
            path=None,
        ),
        request_max_body_size=MAX_BODY,
        # Its own logging would write tracebacks for ordinary 404s over our JSON lines.
        logging_config=None,
    )
    install(application, metrics)
    application.state.settings = settings
    # For the server, which knows earlier than the lifespan that the end has come.
    application.state.end_waiting = parts.end_waiting
    return application


def _token_book(runtime: Runtime) -> TokenBook:
    """Wire the book of tokens to its table."""

    async def find(token_id: str) -> tokens.StoredToken | None:
        async with reading(runtime.reads) as connection:
            return await tokens.find(connection, token_id)

    async def touch(token_ids: list[str], moment: datetime) -> None:
        async with begin(runtime.work) as connection:
            await tokens.touch(connection, token_ids, moment)

    return TokenBook(find, touch, monotonic=monotonic, now=runtime.clock)


async def _flush(book: TokenBook) -> None:
    """Write down now and then which tokens were used, and once more at the end."""
    try:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            with contextlib.suppress(UnavailableError):
                await book.flush()
    finally:
        await book.flush()


def _give_actor(
    request: Request[Actor, None, Any], runtime: NamedDependency[Runtime]
) -> Actor:
    """Give a handler its caller.

    It asks for the runtime only to come after it: Litestar makes a task for each of
    several dependencies that could be had at once, which costs more than both.
    """
    del runtime
    return provide_actor(request)


class _Parts:
    """What a process opens when it starts, for those who need it before."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._runtime: Runtime | None = None
        self._callers: Callers | None = None
        self._probe: Probe | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, application: Litestar) -> AsyncIterator[None]:
        settings: Settings = application.state.settings
        # Those of an earlier start are closed.
        self._runtime = self._callers = self._probe = None
        async with opened(
            settings.database_url,
            settings.site_id,
            butlers=settings.butler_uris,
            stream=bool(settings.kafka_bootstrap),
            observe=self._observe,
        ) as runtime:
            self._runtime = runtime
            book = _token_book(runtime)
            if settings.auth == ("none",):
                self._callers = NamedCallers()
            else:
                self._callers = NetworkCallers(
                    settings.exposurelog_trusted, EXPOSURELOG, TokenCallers(book)
                )
            self._probe = Probe(
                lambda: reading(runtime.reads),
                topic=f"{settings.kafka_topic_prefix}.changes",
                kafka=bool(settings.kafka_bootstrap),
                butlers=runtime.registries.states,
            )
            flusher = asyncio.create_task(_flush(book), name="tokens")
            yield
            flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError, AnnologError):
                await flusher

    def _observe(self, seen: Seen) -> None:
        self._metrics.turn(seen.works, seen.seconds)
        if self._runtime is not None:
            self._runtime.feed.heard(seen.head)

    def waiting(self) -> float:
        """Give how many writes wait for their turn."""
        return float(self.runtime.lane.waiting)

    def streams(self) -> tuple[int, int, int]:
        """Give how many streams are open, what they sent, how many were closed."""
        seats = self.runtime.feed.seats
        return len(seats), seats.sent, seats.dropped

    def end_waiting(self) -> None:
        if self._runtime is not None:
            self._runtime.feed.end()

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            msg = "the application has not started"
            raise RuntimeError(msg)
        return self._runtime

    def callers(self) -> Callers:
        if self._callers is None:
            msg = "the application has not started"
            raise RuntimeError(msg)
        return self._callers

    def probe(self) -> Probe:
        if self._probe is None:
            msg = "the application has not started"
            raise RuntimeError(msg)
        return self._probe

    async def log(self) -> tuple[int, Lag]:
        return await self.probe().log()

    def give_runtime(self) -> Runtime:
        return self.runtime
