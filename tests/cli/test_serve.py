"""How a process stops serving, seen from its connections."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from litestar import Litestar, get

from annolog.cli import serve
from annolog.local.kafka import free_ports
from annolog.storage.database import unavailable
from tests.support.marked import Marked

REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@get("/hello", sync_to_thread=False)
def hello() -> str:
    return "hello"


class Listening:
    """A server that accepts only when a test lets the loop run."""

    def __init__(self) -> None:
        self.ended = 0
        self._listener = serve.bind("127.0.0.1", 0)
        self.server = serve._server(Litestar([hello], logging_config=None), self._end)
        self._clients: list[socket.socket] = []

    def _end(self) -> None:
        self.ended += 1

    def connect(self) -> socket.socket:
        client = socket.create_connection(self._listener.getsockname(), timeout=5)
        self._clients.append(client)
        return client

    async def start(self) -> None:
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup([self._listener])

    async def stop(self) -> None:
        await self.server.shutdown([self._listener])

    def close(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Listening]:
    one = Listening()
    await one.start()
    try:
        yield one
    finally:
        one.close()


async def test_who_was_connected_but_not_accepted_is_answered() -> None:
    async with listening() as one:
        clients = [one.connect() for _ in range(20)]
        for client in clients:
            client.sendall(REQUEST)
        await one.stop()
        for client in clients:
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer
            assert client.recv(1) == b""
        assert one.ended == 1


async def test_who_has_not_asked_yet_is_heard() -> None:
    async with listening() as one:
        client = one.connect()
        stopping = asyncio.create_task(one.stop())
        await asyncio.sleep(0.2)
        client.sendall(REQUEST)
        await stopping
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


async def test_who_asks_nothing_more_does_not_hold_the_end_up() -> None:
    async with listening() as one:
        clients = [one.connect(), one.connect()]
        clients[0].sendall(REQUEST)
        await asyncio.sleep(0.2)
        assert b"connection: close" not in clients[0].recv(65536)
        async with asyncio.timeout(serve.LAST_REQUESTS / 2):
            await one.stop()
        assert clients[0].recv(1) == clients[1].recv(1) == b""


LATER_GONE = """
import asyncio
from annolog.cli import main, serve
serve._check_database = lambda *_: asyncio.sleep(0)
main.main()
"""
"""The command, with a database that went away when it had been looked at."""


def test_a_database_that_goes_away_during_the_start_is_one_line_and_exit_code_1(
    tmp_path: Path,
) -> None:
    (nowhere,) = free_ports(1)
    running = Marked(
        ("-c", LATER_GONE, "serve", "--port", "0"),
        tmp_path,
        {
            "ANNOLOG_DATABASE_URL": f"postgresql://annolog@127.0.0.1:{nowhere}/annolog",
            "ANNOLOG_AUTH": "none",
        },
    )
    try:
        assert running.exit_code() == 1
        assert running.errors == [f"annologd: {unavailable().detail}"]
        assert "Traceback" not in running.told()
    finally:
        running.close()


async def test_what_nobody_foresaw_at_the_start_keeps_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @asynccontextmanager
    async def broken(_: Litestar) -> AsyncIterator[None]:
        msg = "a fault of ours"
        raise ZeroDivisionError(msg)
        yield

    app = Litestar([hello], lifespan=[broken], logging_config=None)
    server = serve._server(app, lambda: None)
    server.config.load()
    with pytest.raises(SystemExit, match=r"^1$"):
        await server.startup([])
    assert "ZeroDivisionError: a fault of ours" in caplog.text
    assert "Traceback" in caplog.text
