"""A snapshot over HTTP: `GET /annolog/v1/snapshot`, as long as it takes.

It is read in one transaction, row by row as fast as the client takes it, so it needs
little memory here and shows one moment throughout.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.response import Stream

from annolog.api import formats
from annolog.api.contract import ANY, contract
from annolog.api.parameters import read_query
from annolog.domain.snapshots import (
    SCHEMA_VERSION,
    End,
    Gone,
    Head,
    SnapshotFilter,
    stands,
    weighing,
    write,
)
from annolog.runtime import Runtime
from annolog.storage import entries, snapshots
from annolog.storage.database import Connection, snapshot

MEDIA_TYPE = "application/x-ndjson"
"""One JSON object a line."""

PIECE = 64 * 1024
"""Bytes that are sent at a time, at least."""


@get(
    "/annolog/v1/snapshot",
    summary="All that now holds",
    description="The states of all targets and all statements that count, of one"
    ' moment, one JSON object a line. The first line (`type` "snapshot") says of which'
    " site, life of its database, change number and time; then come states"
    ' ("state"), with the keys that are `joined` to theirs; then the current revisions'
    ' of annotations that count ("statement"), with the keys they are `counted_for`;'
    " then how statements, and reviews that confirm them, stand on detectors as such"
    ' ("standing"), with the time that they are about: for an exposure those hold whose'
    ' time overlaps its own; then the entries by which votes are weighed ("entry");'
    ' then versions of data-ID sets that are asked for ("set_version");'
    ' the last line ("end") says how many there were: without it something is missing.'
    " Pass over types that you do not know. With `after` only what changed since that"
    " number is given.",
    media_type=MEDIA_TYPE,
    **contract(asks=SnapshotFilter, gives={200: ANY}, produces=(MEDIA_TYPE,)),
)
async def give(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Stream:
    """Answer with a snapshot."""
    asked = read_query(request, SnapshotFilter)
    lines = _pieces(_lines(runtime, asked))
    # Now and not while it is sent: a database that is away is still an error of ours.
    first = await anext(lines)
    return Stream(_led_by(first, lines), media_type=MEDIA_TYPE)


async def _lines(
    runtime: Runtime, asked: SnapshotFilter
) -> AsyncGenerator[bytes, None]:
    async with snapshot(runtime.streams) as connection:
        now = await snapshots.moment(connection)
        yield write(
            Head(
                SCHEMA_VERSION,
                now.site_id,
                now.incarnation,
                now.number,
                now.taken_at,
                asked.after,
                asked.instrument,
                asked.day_obs_min,
                asked.day_obs_max,
                now.refreshing,
            )
        )
        count = 0
        for section in SECTIONS:
            async with contextlib.aclosing(section(connection, asked)) as found:
                async for line in found:
                    count += 1
                    yield line
        yield write(End(count))


async def _states(
    connection: Connection, asked: SnapshotFilter
) -> AsyncGenerator[bytes, None]:
    async for row, joined in snapshots.states(connection, asked):
        head = b'{"type":"state","joined":%b,"empty":%b,' % (
            msgspec.json.encode(joined),
            b"true" if row.empty else b"false",
        )
        yield head + formats.state_json(row)[1:] + b"\n"


async def _statements(
    connection: Connection, asked: SnapshotFilter
) -> AsyncGenerator[bytes, None]:
    async for row in snapshots.statements(connection, asked):
        if row.keys:
            head = b'{"type":"statement","counted_for":%b,'
            yield head % msgspec.json.encode(row.keys) + row.body[1:] + b"\n"
        else:
            yield write(Gone(row.annotation_id))


async def _standings(
    connection: Connection, asked: SnapshotFilter
) -> AsyncGenerator[bytes, None]:
    async for row in snapshots.standings(connection, asked):
        yield write(stands(*row))


async def _entries(
    connection: Connection, asked: SnapshotFilter
) -> AsyncGenerator[bytes, None]:
    known = await entries.read(connection)
    for one in weighing(known.vocabulary, asked.after):
        yield write(one)


class _Reason(msgspec.Struct):
    """What of a version's record a snapshot shows."""

    reason: str | None = None


class _Rows(msgspec.Struct):
    """What of a record of rows a snapshot shows; the rows stay as they are."""

    dimensions: tuple[str, ...]
    columns: tuple[str, ...]
    rows: msgspec.Raw


async def _sets(
    connection: Connection, asked: SnapshotFilter
) -> AsyncGenerator[bytes, None]:
    async for one in snapshots.set_versions(connection, asked):
        held = msgspec.json.decode(one.rows, type=_Rows)
        yield (
            msgspec.json.encode(
                {
                    "type": "set_version",
                    "key": one.key,
                    "name": one.name,
                    "version": one.version,
                    "content": one.content,
                    "author": one.author,
                    "created_at": one.created_at,
                    "reason": msgspec.json.decode(one.body, type=_Reason).reason or "",
                    "labels": [one.label] if one.label else [],
                    "dimensions": held.dimensions,
                    "columns": held.columns,
                    "rows": held.rows,
                }
            )
            + b"\n"
        )


Section = Callable[[Connection, SnapshotFilter], AsyncGenerator[bytes, None]]
"""One part of a snapshot: lines with their line breaks, read on the connection."""

SECTIONS: tuple[Section, ...] = (_states, _statements, _standings, _entries, _sets)
"""The parts in their order. A further kind of line is a further function here."""


async def _pieces(lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Send many lines at once: a message each would cost more than making it."""
    async with contextlib.aclosing(lines):
        held: list[bytes] = [await anext(lines)]
        size = len(held[0])
        async for line in lines:
            held.append(line)
            size += len(line)
            if size >= PIECE:
                yield b"".join(held)
                held, size = [], 0
        if held:
            yield b"".join(held)


async def _led_by(
    first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


HANDLERS = [give]
"""Route handlers of this module."""
