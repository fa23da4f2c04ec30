"""The log over HTTP: `GET /annolog/v1/changes`, paged or waited for.

The events are those of the topic of changes, made by the same function.
"""

import asyncio
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from pydantic import BaseModel, ConfigDict, Field

from annolog.api.contract import ANY, contract
from annolog.api.parameters import read_query
from annolog.domain.queries import Word
from annolog.runtime import Runtime
from annolog.storage import changes
from annolog.storage.database import reading
from annolog.stream.tail import Bounds, Entry, Page, Selection

MAX_LIMIT = 1000
"""Changes of one answer."""

MAX_BYTES = 8_000_000
"""Records of one answer; one change is answered at any size."""

MAX_WAIT = 25.0
"""Seconds; proxies commonly cut after 30 or 60."""

MAX_NUMBER = 2**62
"""Above any number that will be given."""


class Wanted(BaseModel):
    """Which changes a request asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: int = Field(
        0,
        ge=0,
        le=MAX_NUMBER,
        description="Change number; those above it are given.",
    )
    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="At most so many changes.")
    wait: float = Field(
        0.0, ge=0, le=MAX_WAIT, description="Seconds to wait for a change."
    )
    kind: Word | None = Field(
        None, description='Only records of this kind ("revision").'
    )
    instrument: Word | None = Field(
        None, description="Only changes that concern this instrument."
    )
    whole: bool = Field(
        False,
        description="Give records of any size in full; else a record of more than"
        " 256 KiB is left out and `after_link` leads to it.",
    )


@get(
    "/annolog/v1/changes",
    summary="The log of changes",
    description="Changes above a number, in order, each as a CloudEvents event: the"
    " same ids and numbers as in the topic of changes. `next_after` is where to read"
    " on, also where `items` is empty: a filtered answer looks at a bounded part of"
    " the log. With `wait` an empty answer is put off until there is something.",
    media_type=MediaType.JSON,
    **contract(asks=Wanted, gives={200: ANY}),
)
async def list_changes(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a page of the log."""
    wanted = read_query(request, Wanted)
    found = await _wait_for(runtime, wanted)
    if found.next_after > runtime.feed.head:
        # Only the database can say whether the log went back, or another process told
        # the caller of what this one has not heard of yet.
        async with reading(runtime.reads) as conn:
            await runtime.feed.ask(conn)
    content = b'{"items":[%b],"head":%d,"next_after":%d}'
    return Response(
        content % (found.items, runtime.feed.head, found.next_after),
        media_type=MediaType.JSON,
    )


async def _wait_for(runtime: Runtime, wanted: Wanted) -> Page:
    """Read until something is found or time is up; hold no connection meanwhile."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wanted.wait
    after = wanted.after
    while True:
        found = await _read(runtime, wanted, after)
        after = found.next_after
        left = deadline - loop.time()
        if found.entries or left <= 0 or runtime.feed.closed:
            return found
        if not found.more:
            await runtime.feed.wait(after, left)


async def _read(runtime: Runtime, wanted: Wanted, after: int) -> Page:
    feed = runtime.feed
    if wanted.wait and not wanted.whole:
        selection = Selection(wanted.kind, wanted.instrument)
        return await feed.page(after, selection, Bounds(wanted.limit, MAX_BYTES))
    # Who does not wait gets what the database has: also what another process wrote a
    # moment ago, which this one may not have heard of.
    async with reading(runtime.reads) as conn:
        found = await changes.read(
            conn,
            after,
            wanted.limit,
            kind=wanted.kind,
            instrument=wanted.instrument,
            max_bytes=MAX_BYTES,
        )
        # Asked last, so that it is never below what was found.
        head = await feed.ask(conn)
    entries = tuple(Entry(change, whole=wanted.whole) for change in found.changes)
    return Page(entries, found.next_after, more=found.next_after < head)


HANDLERS = [list_changes]
"""Route handlers of this module."""
