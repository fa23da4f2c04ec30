"""The log over HTTP: `GET /annolog/v1/changes`, paged or waited for.

The events are those of the topic of changes, made by the same function.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from annolog.domain.events import change_event
from annolog.storage import changes
from annolog.storage.database import Pool, reading
from annolog.stream.feed import Feed

MAX_LIMIT = 1000
"""Changes of one answer."""

MAX_BYTES = 8_000_000
"""Records of one answer; one change is answered at any size."""

MAX_WAIT = 25.0
"""Seconds; proxies commonly cut after 30 or 60."""

MAX_NUMBER = 2**62
"""Above any number that will be given."""


@get(
    "/annolog/v1/changes",
    summary="The log of changes",
    description="Changes above a number, in order, each as a CloudEvents event: the"
    " same ids and numbers as in the topic of changes. `next_after` is where to read"
    " on, also where `items` is empty: a filtered answer looks at a bounded part of"
    " the log. With `wait` an empty answer is put off until there is something.",
    media_type=MediaType.JSON,
)
async def list_changes(  # noqa: PLR0913 # the parameters of the request
    *,
    reads: NamedDependency[Pool],
    feed: NamedDependency[Feed],
    after: Annotated[
        int,
        QueryParameter(
            ge=0, le=MAX_NUMBER, description="Change number; those above it are given."
        ),
    ] = 0,
    limit: Annotated[
        int, QueryParameter(ge=1, le=MAX_LIMIT, description="At most so many changes.")
    ] = 100,
    wait: Annotated[
        float,
        QueryParameter(ge=0, le=MAX_WAIT, description="Seconds to wait for a change."),
    ] = 0.0,
    kind: Annotated[
        str | None,
        QueryParameter(
            max_length=64, description='Only records of this kind ("revision").'
        ),
    ] = None,
    instrument: Annotated[
        str | None,
        QueryParameter(
            max_length=64, description="Only changes that concern this instrument."
        ),
    ] = None,
    whole: Annotated[
        bool,
        QueryParameter(
            description="Give records of any size in full; else a record of more than"
            " 256 KiB is left out and `after_link` leads to it."
        ),
    ] = False,
) -> Response[bytes]:
    """Answer with a page of the log."""
    wanted = Wanted(after, limit, kind, instrument)
    found, head = await _wait_for(reads, feed, wanted, wait)
    items = b",".join(
        change_event(change, whole=whole).structured() for change in found.changes
    )
    content = b'{"items":[%b],"head":%d,"next_after":%d}'
    return Response(
        content % (items, head, found.next_after), media_type=MediaType.JSON
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes a request asks for; as `annolog.storage.changes.read` has it."""

    after: int
    limit: int
    kind: str | None
    instrument: str | None


async def _wait_for(
    reads: Pool, feed: Feed, wanted: Wanted, seconds: float
) -> tuple[changes.Page, int]:
    """Read until something is found or time is up; hold no connection meanwhile."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    after = wanted.after
    while True:
        async with reading(reads) as conn:
            found = await changes.read(
                conn,
                after,
                wanted.limit,
                kind=wanted.kind,
                instrument=wanted.instrument,
                max_bytes=MAX_BYTES,
            )
            # Asked last, so that it is never below what was found.
            head = await changes.head(conn)
        feed.heard(head)
        after = found.next_after
        left = deadline - loop.time()
        if found.changes or left <= 0 or feed.closed:
            return found, head
        if after >= head:
            await feed.wait(after, left)
