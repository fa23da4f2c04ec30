"""Whether the service is alive, and whether it can serve.

`/health/live` says that the process answers: restart it where it does not.
`/health/ready` says whether it can serve, which is a matter of the database alone.
Kafka being away makes it degraded and not unready: changes wait in the log, and the
numbers here say how many and for how long.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, TypeAlias

from litestar import Response, get
from litestar.openapi import ResponseSpec
from pydantic import BaseModel, ConfigDict, Field

from annolog.domain.errors import UnavailableError
from annolog.storage import changes, database, incarnations, orders
from annolog.storage.database import Connection

PATIENCE = 3.0
"""Seconds that the database has to answer; probes seldom wait longer than five."""

BEHIND = 60.0
"""Seconds that the oldest unpublished change may wait before the stream is degraded."""


class Live(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    status: Literal["alive"] = "alive"


class DatabaseHealth(BaseModel):
    """Whether the database can be used."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "away", "not_current"] = Field(
        description="away: it does not answer; not_current: `annologd migrate` is due"
    )
    schema_version: str | None = Field(
        description="Migration that the database is at; null if not known or none"
    )
    schema_wanted: str = Field(description="Migration that this program needs")
    log_head: int | None = Field(
        description="Greatest change number; null if not known"
    )
    writes: Literal["open", "closed"] | None = Field(
        description="closed: the database may have gone back, and numbers that others"
        " have seen would be given again; null if not known"
    )
    writes_code: str | None = Field(
        description="Code of the error that writers get; null if open"
    )
    detail: str | None = Field(
        description="Why writes are closed, and what to do; null if open"
    )


StreamState: TypeAlias = Literal["ok", "behind", "stopped", "off", "unknown"]


class StreamHealth(BaseModel):
    """How far Kafka is behind the log."""

    model_config = ConfigDict(frozen=True)

    status: StreamState = Field(
        description="off: no broker is set, changes wait in the log; behind: the oldest"
        " unpublished change waits for more than 60 s; stopped: the relay ended and"
        " waits for a person to act; unknown: the database is away"
    )
    relay: Literal["running", "absent"] | None = Field(
        description="Whether a relay is at work now; null if not known, or off"
    )
    position: int | None = Field(
        description="Greatest change number known to be in the topic; null if none"
    )
    position_at: datetime | None = Field(
        description="When that became known; null if never"
    )
    lag_changes: int | None = Field(
        description="Changes not in the topic yet, counted to 100000; null if not known"
    )
    lag_seconds: float | None = Field(
        description="Age of the oldest of them; 0 if there is none"
    )
    missing_to: int | None = Field(
        description="What was published up to this number is in the log and not in a"
        " topic any more: it was emptied or made anew; null if none is known to be"
        " missing"
    )
    orders: int | None = Field(
        description="Orders to send again that are not over; null if not known"
    )
    detail: str | None = Field(
        description="What is wrong with the stream, and what to do; null if nothing is"
    )


ButlerState: TypeAlias = Literal["idle", "open", "away"]


class ButlerHealth(BaseModel):
    """One butler of the site."""

    model_config = ConfigDict(frozen=True)

    registry: int = Field(description="Its place in ANNOLOG_BUTLER_URIS, 1 to 3")
    status: ButlerState = Field(
        description="idle: nobody asked it yet; away: it did not answer last time, and"
        " only what nobody brought from it before is missing"
    )


class Ready(BaseModel):
    """Whether the service can serve, and what stands in its way."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ready", "degraded", "unready"] = Field(
        description="degraded: it serves, but writes are closed, the stream is"
        " behind or stopped, or a butler is away"
    )
    database: DatabaseHealth
    stream: StreamHealth
    butlers: list[ButlerHealth] = Field(description="The butlers that are set")


_UNREADY = ResponseSpec(
    Ready, description="It cannot serve now", generate_examples=False
)


class Probe:
    """Looks whether the parts of a process can do their work.

    Parameters
    ----------
    reads
        Lends a connection for reading; raises `UnavailableError`.
    topic
        The topic of changes, whose position is looked at.
    kafka
        Whether a broker is set.
    butlers
        Gives the state of each butler that is set, by its number.
    """

    def __init__(
        self,
        reads: Callable[[], AbstractAsyncContextManager[Connection]],
        *,
        topic: str,
        kafka: bool,
        butlers: Callable[[], Mapping[int, ButlerState]] = dict,
    ) -> None:
        self._reads = reads
        self._topic = topic
        self._kafka = kafka
        self._butlers = butlers

    async def log(self) -> tuple[int, changes.Lag]:
        """Read the log's head and how far the topic is behind it.

        Returns
        -------
        tuple of int and Lag
            Head and lag, from one connection.

        Raises
        ------
        UnavailableError
            The database is away, takes too long, or is not migrated.
        """
        with database.answering():
            async with asyncio.timeout(PATIENCE), self._reads() as connection:
                return await self._log(connection)

    async def ready(self) -> Ready:
        """Look at everything; never raises for what is merely away.

        Returns
        -------
        Ready
            What was found, within `PATIENCE` seconds.
        """
        version: str | None = None
        try:
            with database.answering():
                async with asyncio.timeout(PATIENCE), self._reads() as connection:
                    version = await database.schema_version(connection)
                    if version != database.SCHEMA:
                        return self._unready("not_current", version)
                    head, lag = await self._log(connection)
                    closed = await incarnations.closed(connection)
                    stream = await self._stream(connection, lag)
        except UnavailableError:
            return self._unready("away", version)
        butlers = self._butler_health()
        lacking = (
            closed is not None
            or stream.status in {"behind", "stopped"}
            or any(b.status == "away" for b in butlers)
        )
        return Ready(
            status="degraded" if lacking else "ready",
            database=DatabaseHealth(
                status="ok",
                schema_version=version,
                schema_wanted=database.SCHEMA,
                log_head=head,
                writes="open" if closed is None else "closed",
                writes_code=None if closed is None else closed.code,
                detail=None if closed is None else closed.reason,
            ),
            stream=stream,
            butlers=butlers,
        )

    def _butler_health(self) -> list[ButlerHealth]:
        return [
            ButlerHealth(registry=number, status=state)
            for number, state in sorted(self._butlers().items())
        ]

    async def _log(self, connection: Connection) -> tuple[int, changes.Lag]:
        try:
            head = await changes.head(connection)
        except LookupError:
            # Migrated, but no process has given the database its site yet.
            head = 0
        return head, await changes.lag(connection, self._topic)

    async def _stream(self, connection: Connection, lag: changes.Lag) -> StreamHealth:
        relay: Literal["running", "absent"] | None = None
        if self._kafka:
            alive = await changes.is_leased(connection, changes.RELAY_LEASE)
            relay = "running" if alive else "absent"
        return StreamHealth(
            status=self._stream_status(lag),
            relay=relay,
            position=lag.position,
            position_at=lag.seen_at,
            lag_changes=lag.changes,
            lag_seconds=lag.seconds,
            missing_to=lag.missing,
            orders=await orders.open_count(connection),
            detail=lag.stopped or _missing(lag),
        )

    def _stream_status(self, lag: changes.Lag) -> StreamState:
        if not self._kafka:
            return "off"
        if lag.stopped is not None:
            return "stopped"
        return "behind" if lag.seconds > BEHIND else "ok"

    def _unready(
        self, why: Literal["away", "not_current"], version: str | None
    ) -> Ready:
        return Ready(
            status="unready",
            database=DatabaseHealth(
                status=why,
                schema_version=version,
                schema_wanted=database.SCHEMA,
                log_head=None,
                writes=None,
                writes_code=None,
                detail=None,
            ),
            stream=StreamHealth(
                status="unknown" if self._kafka else "off",
                relay=None,
                position=None,
                position_at=None,
                lag_changes=None,
                lag_seconds=None,
                missing_to=None,
                orders=None,
                detail=None,
            ),
            butlers=self._butler_health(),
        )


def _missing(lag: changes.Lag) -> str | None:
    if lag.missing is None:
        return None
    return (
        f"what was published up to change {lag.missing} is not in a topic any more:"
        " fill another one with changes by `annologd replay --from N --topic NEW`, and"
        " send states again with `annologd replay --states`"
    )


def health_routes(probe: Callable[[], Probe]) -> list[Any]:
    """Make the two routes of health.

    Parameters
    ----------
    probe
        Gives who looks; asked at each request, as the parts of a process open after
        its routes are made.

    Returns
    -------
    list of HTTPRouteHandler
        Open to anyone.
    """

    @get(
        "/health/live",
        summary="Is the process alive",
        description="Answers without looking at anything else.",
        tags=["operations"],
        opt={"anyone": True},
        sync_to_thread=False,
    )
    def live() -> Live:
        return Live()

    @get(
        "/health/ready",
        summary="Can the service serve",
        description="200 while it can (status ready or degraded), 503 with the same"
        " body while it cannot (unready): the database is away or not migrated.",
        tags=["operations"],
        opt={"anyone": True},
        responses={503: _UNREADY},
    )
    async def ready() -> Response[Ready]:
        found = await probe().ready()
        if found.status == "unready":
            retry = {"Retry-After": str(database.RETRY_AFTER)}
            return Response(found, status_code=503, headers=retry)
        return Response(found)

    return [live, ready]
