import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import uvicorn
from litestar.types import Receive, Scope, Send
from typing_extensions import override

from annolog.api.wire import GATHERED, Gathering, Protocol

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Wire(asyncio.Transport):
    """Keeps what is sent, packet by packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.closed = False

    @override
    def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        self.packets.append(b"".join(parts))

    @override
    def close(self) -> None:
        self.closed = True

    @override
    def is_closing(self) -> bool:
        return self.closed


@asynccontextmanager
async def served(app: App) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
            )
        )
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def go_on(send: Send, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def ask(port: int, method: str = "GET") -> tuple[StreamReader, StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return reader, writer


async def test_what_is_written_together_is_sent_together() -> None:
    wire = Wire()
    gathering = Gathering(wire, asyncio.get_running_loop())
    gathering.write(b"head ")
    gathering.write(b"body")
    assert wire.packets == []
    gathering.flush()
    await asyncio.sleep(0)
    assert wire.packets == [b"head body"]


async def test_what_nobody_completes_is_sent_when_the_loop_turns() -> None:
    wire = Wire()
    gathering = Gathering(wire, asyncio.get_running_loop())
    gathering.write(b"head")
    await asyncio.sleep(0)
    assert wire.packets == [b"head"]


async def test_a_large_part_is_not_kept() -> None:
    wire = Wire()
    gathering = Gathering(wire, asyncio.get_running_loop())
    gathering.write(b"head")
    gathering.write(b"x" * GATHERED)
    assert [len(packet) for packet in wire.packets] == [4 + GATHERED]


async def test_what_was_written_is_sent_before_the_end_and_nothing_after() -> None:
    wire = Wire()
    gathering = Gathering(wire, asyncio.get_running_loop())
    gathering.write(b"head")
    gathering.close()
    assert gathering.is_closing()
    gathering.write(b"more")
    await asyncio.sleep(0)
    assert wire.packets == [b"head"]


async def test_answers_of_any_length_arrive_whole() -> None:
    body = b"x" * (5 * GATHERED)

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await start(send, (b"content-length", b"%d" % len(body)))
        await go_on(send, body)

    async with served(app) as port:
        reader, writer = await ask(port)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
        writer.close()


async def test_an_answer_without_a_body_is_sent() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await start(send, (b"content-length", b"4"))
        await go_on(send, b"body")

    async with served(app) as port:
        reader, writer = await ask(port, "HEAD")
        assert b"content-length: 4" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_pieces_of_an_answer_are_sent_as_they_come() -> None:
    seen = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await start(send)
        await go_on(send, b"first", more=True)
        await seen.wait()
        await go_on(send, b"second")

    async with served(app) as port:
        reader, writer = await ask(port)
        await reader.readuntil(b"first\r\n")
        seen.set()
        assert await reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        writer.close()
