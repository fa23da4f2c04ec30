"""The log as Server-Sent Events: `GET /annolog/v1/stream`.

A stream is a position and one open answer. What it sends is made once for all
streams; one that takes nothing waits at its place, and is closed in the end.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from annolog.api.changes import MAX_NUMBER
from annolog.api.contract import ANY, contract
from annolog.api.parameters import read_query
from annolog.domain.errors import UnavailableError
from annolog.domain.queries import Word
from annolog.runtime import Runtime
from annolog.storage.database import Site, reading
from annolog.stream.feed import Feed
from annolog.stream.seats import Seat
from annolog.stream.tail import Bounds, Page, Selection

PIECE = Bounds(changes=500, bytes=64 * 1024)
"""What is written at once: as much as a slow client may make a process keep for it."""

QUIET_SECONDS = 10.0
"""A stream that has been silent for so long says at the next tick that it is alive: at
least every 15 seconds, as proxies commonly cut after 30 or 60."""

MAX_AGE = 3600.0
"""Seconds after which a stream ends in order. Its client comes back where it was, and
has to show again who it is; and processes share streams evenly after a restart."""

TOO_FAR = 1000
"""A reader of briefs that is so many changes behind what is held is told to reload:
that is less work for both than thousands of hints what to reload."""

RETRY_AFTER = 5
"""Seconds after which one who found no place may come again."""

ABORT = "annolog.abort"
"""Extension of the ASGI scope; its `call` ends the connection at once, and drops what
is not sent yet."""

HEADERS = {
    # Not even to be compressed on the way: that holds events back.
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
"""What keeps proxies from holding events back."""

_ALIVE = b":\n\n"

_NUMBER = re.compile("[0-9]{1,19}")

Reason = Literal["ahead", "behind", "incarnation", "unknown"]
"""Why a client must reload: its position is above the head; it is too far behind; its
numbers belong to another life of the database; it is no number at all."""


class StreamQuery(BaseModel):
    """Which events a stream gives, and from where on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: int | None = Field(
        None,
        ge=0,
        le=MAX_NUMBER,
        description="Change number; events above it are given. The header"
        " Last-Event-ID goes before it. Without either: from now on.",
    )
    incarnation: str | None = Field(
        None,
        max_length=64,
        description="The life of the database that `after` or Last-Event-ID is a"
        " number of, as the event `start` gave it. Where that is over, an event"
        " `reset` says so.",
    )
    kind: Word | None = Field(
        None, description='Only records of this kind ("revision").'
    )
    instrument: Word | None = Field(
        None, description="Only changes that concern this instrument."
    )
    brief: bool = Field(
        False, description="Give briefs: what was touched, and none of the words."
    )


@get(
    "/annolog/v1/stream",
    summary="Follow the log",
    description="Server-Sent Events without an end. `start` comes first and says from"
    " which number on; `change` has the number as its id, and as data the same event"
    " as `/changes`; `position` says that everything up to its id is done where a"
    " filter left nothing to send; `reset` that the client must load its state anew,"
    " and goes on from its id. A client that comes back with `Last-Event-ID` misses"
    " nothing. A comment comes at least every 15 seconds.",
    media_type="text/event-stream",
    **contract(asks=StreamQuery, gives={200: ANY}, produces=("text/event-stream",)),
)
async def follow(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a stream."""
    wanted = read_query(request, StreamQuery)
    feed = runtime.feed
    async with reading(runtime.reads) as conn:
        # Its own word and not the feed's, which may be a moment behind the process
        # that sent the client its last event.
        await feed.ask(conn)
    if feed.closed or feed.seats.full:
        raise UnavailableError(
            "No further stream can be opened here now; try again, or poll /changes.",
            code="too_many_streams",
            extra={"retry_after": RETRY_AFTER},
        )
    asked = request.headers.get("last-event-id") or wanted.after
    return _Stream(feed, wanted, _begin(asked, wanted.incarnation, runtime, feed.head))


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Where a stream begins, and why not where it was asked to begin (or None)."""

    position: int
    reason: Reason | None
    site: Site


def _begin(
    asked: str | int | None, incarnation: str | None, runtime: Runtime, head: int
) -> _Beginning:
    site = runtime.site
    if asked is None:
        return _Beginning(head, None, site)
    if not _NUMBER.fullmatch(str(asked)):
        return _Beginning(head, "unknown", site)
    position = int(asked)
    if position > head:
        return _Beginning(head, "ahead", site)
    # Up to where this life began, its numbers are those of the one before.
    if incarnation not in {None, site.incarnation} and position >= site.first_number:
        return _Beginning(head, "incarnation", site)
    return _Beginning(position, None, site)


class _Stream(Response[bytes]):
    def __init__(self, feed: Feed, wanted: StreamQuery, begin: _Beginning) -> None:
        super().__init__(b"", media_type="text/event-stream")
        self._parts = feed, wanted, begin

    @override
    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _Sending(*self._parts)


class _Sending(ASGIResponse):
    """The open answer of one stream."""

    _should_set_content_length = False

    def __init__(self, feed: Feed, wanted: StreamQuery, begin: _Beginning) -> None:
        super().__init__(media_type="text/event-stream", headers=HEADERS)
        self._feed = feed
        self._brief = wanted.brief
        self._selection = Selection(wanted.kind, wanted.instrument)
        self._begin = begin
        self._position = self._told = begin.position
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._seat = Seat(None)
        self._waiting: asyncio.Future[None] | None = None

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, Any] = scope.get("extensions") or {}
        abort: Callable[[], None] | None = extensions.get(ABORT, {}).get("call")
        self._seat = Seat(abort)
        await self.start_response(send)
        gone = asyncio.create_task(_gone(receive))
        gone.add_done_callback(self._wake)
        self._feed.seats.take(self._seat)
        try:
            await self._write(send, self._first())
            await self._follow(send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._feed.seats.leave(self._seat)
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _follow(self, send: Send, gone: "asyncio.Task[None]") -> None:
        ends = self._loop.time() + MAX_AGE
        while not (gone.done() or self._feed.closed or self._loop.time() > ends):
            reason = self._lost()
            if reason is not None:
                self._position = self._told = self._feed.head
                await self._write(send, _reset(reason, self._position))
            page = await self._page()
            if page is not None and page.entries:
                self._position = self._told = page.next_after
                self._feed.seats.sent += len(page.entries)
                await self._write(send, page.briefs if self._brief else page.frames)
            elif page is not None:
                self._position = page.next_after
            if page is not None and page.more:
                continue
            if self._loop.time() - self._sent_at >= QUIET_SECONDS:
                await self._write(send, self._alive())
            self._waiting = self._feed.grown()
            if not gone.done():
                await self._waiting

    def _first(self) -> bytes:
        begin, site = self._begin, self._begin.site
        # Spread out: else all clients of a process that ends come back at once.
        retry = 1000 + self._feed.seats.opened % 20 * 100
        said = {
            "after": begin.position,
            "site_id": site.site_id,
            "incarnation": site.incarnation,
        }
        first = b"retry: %d\n" % retry + _event("start", begin.position, said)
        if begin.reason is not None:
            first += _reset(begin.reason, begin.position)
        return first

    def _lost(self) -> Reason | None:
        """Say why the present position is of no use any more; None if it is."""
        if self._position > self._feed.head:
            return "ahead"
        far = self._feed.head - self._position > TOO_FAR
        if self._brief and far and not self._feed.holds(self._position):
            return "behind"
        return None

    async def _page(self) -> Page | None:
        """Read on; None while the database is away, which streams outlive."""
        try:
            return await self._feed.page(self._position, self._selection, PIECE)
        except UnavailableError:
            return None

    def _alive(self) -> bytes:
        """Say that the stream lives, and how far it is where that was not said yet."""
        if self._told == self._position:
            return _ALIVE
        self._told = self._position
        return _event("position", self._position, {"after": self._position})

    async def _write(self, send: Send, content: bytes) -> None:
        self._seat.sending_since = self._sent_at = self._loop.time()
        await send({"type": "http.response.body", "body": content, "more_body": True})
        self._seat.sending_since = None

    def _wake(self, _: object) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


async def _gone(receive: Receive) -> None:
    """End when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: str, number: int, said: dict[str, Any]) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        number,
        name.encode(),
        msgspec.json.encode(said),
    )


def _reset(reason: Reason, number: int) -> bytes:
    return _event("reset", number, {"reason": reason, "after": number})


HANDLERS = [follow]
"""Route handlers of this module."""
