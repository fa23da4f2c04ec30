"""A client of streams that sees everything: heads, comments and how a stream ended.

async with following(port, after=7) as stream:
    first = await stream.event()
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

PATH = "/annolog/v1/stream"
PATIENCE = 20.0
"""Seconds to wait for what a test expects."""


@dataclass(frozen=True)
class Sent:
    """One event as it came; a comment has neither name nor data."""

    id: int | None
    name: str | None
    data: Any
    retry: int | None = None


class StreamEndedError(Exception):
    """The server ended the stream in order."""


class Stream:
    """An open stream.

    Attributes
    ----------
    status, headers
        Of the answer; names in lower case.
    last
        The id that a client would come back with.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self.writer = reader, writer
        self._text = b""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last: int | None = None

    async def begin(self, request: bytes) -> None:
        self.writer.write(request)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)
        status, *lines = head.decode().strip().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }

    async def event(self, *, comments: bool = False) -> Sent:
        """Give the next event, or comment if wanted."""
        while True:
            sent = await asyncio.wait_for(self._next(), PATIENCE)
            if sent.name is not None or comments:
                return sent

    async def changes(self, count: int) -> list[Sent]:
        """Give the next changes, and nothing may come between."""
        found = [await self.event() for _ in range(count)]
        assert [one.name for one in found] == ["change"] * count, found
        return found

    async def body(self) -> bytes:
        """Give the body of an answer that is no stream."""
        return await self._reader.readexactly(int(self.headers["content-length"]))

    async def end(self) -> None:
        """Wait until the server ends it, and take nothing more for an answer."""
        try:
            sent = await self.event()
        except StreamEndedError:
            return
        raise AssertionError(sent)

    async def _next(self) -> Sent:
        while b"\n\n" not in self._text:
            size = int((await self._reader.readuntil(b"\r\n"))[:-2], 16)
            piece = await self._reader.readexactly(size + 2)
            if size == 0:
                raise StreamEndedError
            self._text += piece[:-2]
        block, _, self._text = self._text.partition(b"\n\n")
        fields: dict[str, str] = {}
        for line in block.decode().split("\n"):
            name, _, value = line.partition(":")
            assert name not in fields
            fields[name] = value.removeprefix(" ")
        if "id" in fields:
            self.last = int(fields["id"])
        return Sent(
            int(fields["id"]) if "id" in fields else None,
            fields.get("event"),
            json.loads(fields["data"]) if "data" in fields else None,
            int(fields["retry"]) if "retry" in fields else None,
        )


async def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - as the name says
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(
    port: int,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    **query: object,
) -> AsyncIterator[Stream]:
    """Open a stream as anybody."""
    sent = {"Host": "127.0.0.1", "X-Annolog-User": "reader", **(headers or {})}
    path = f"{PATH}?{urlencode(query)}" if query else PATH
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stream = Stream(reader, writer)
    try:
        await stream.begin(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        yield stream
    finally:
        writer.transport.abort()
