"""A link to PostgreSQL that is cut just when the answer to a commit should come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from tests.support.ports import HOST

_COMMIT = b"commit\0"
"""How the lane's last statement ends on the wire."""

_READY = b"Z\0\0\0\5"
"""How the server says that it has done what it was asked for."""


class _Link:
    is_lossy = False


class LossyLink:
    """Passes everything on, but for the answers to the next few commits.

    The server has done what it was asked for before the link is cut.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts_left = 0
        """How many commits will not be answered."""

    async def accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        upstream, server = await asyncio.open_unix_connection(self._socket)
        link = _Link()
        with contextlib.suppress(ConnectionError):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._there(link, reader, server))
                group.create_task(self._back(link, upstream, writer))
        server.close()
        writer.close()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _there(
        self, link: _Link, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65_536):
            if self.cuts_left and data.lower().endswith(_COMMIT):
                self.cuts_left -= 1
                link.is_lossy = True
            server.write(data)
            await server.drain()
        server.close()

    async def _back(
        self, link: _Link, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await upstream.read(65_536):
            if link.is_lossy and _READY in data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def lossy(database_url: str) -> AsyncIterator[tuple[LossyLink, str]]:
    """Give a link to a database, and the URL by which it is reached over the link."""
    parts = urlsplit(database_url)
    (directory,) = parse_qs(parts.query)["host"]
    link = LossyLink(f"{directory}/.s.PGSQL.5432")
    listener = await asyncio.start_server(link.accept, HOST, 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield link, f"postgresql://annolog@{HOST}:{port}{parts.path}?sslmode=disable"
    finally:
        listener.close()
        await link.close()
