import asyncio
import gc
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from litestar.types import Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from annolog.api.metrics import Metrics
from annolog.api.observe import Front
from annolog.api.wire import GATHERED, Gathering, Protocol, whole_of

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


HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"4")]


async def whole_or_in_parts(scope: Scope, _: Receive, send: Send) -> None:
    """Answer `/whole` whole if that is possible, and all else in parts."""
    answer = whole_of(scope) if scope["path"] == "/whole" else None
    if answer is None or not answer(200, HEADERS, b"body"):
        await start(send, *HEADERS)
        await go_on(send, b"body")


async def exchanged(port: int, *requests: str) -> list[bytes]:
    """Send requests at once and read until the server ends; without the dates."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(requests).encode())
    read = await reader.read()
    writer.close()
    return [line for line in read.split(b"\r\n") if not line.startswith(b"date:")]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_answer_sent_whole_is_the_one_that_is_sent_in_parts(
    method: str, version: str
) -> None:
    def asked(path: str, *headers: str) -> str:
        lines = (f"{method} {path} HTTP/{version}", "Host: a", *headers, "", "")
        return "\r\n".join(lines)

    async with served(whole_or_in_parts) as port:
        # Three at once: the next one is served when the last is answered.
        whole, parts = [
            await exchanged(
                port, asked(path), asked(path), asked(path, "Connection: close")
            )
            for path in ("/whole", "/parts")
        ]

    assert whole == parts
    answers = b"".join(whole).count(b"HTTP/1.1 200 OK")
    assert answers == (3 if version == "1.1" else 1)


@pytest.mark.parametrize(
    "forged",
    [
        (b"etag", b"a\r\nset-cookie: b"),
        (b"etag", b"a\nset-cookie: b"),
        (b"etag", b"a\rset-cookie: b"),
        (b"etag", b"a\x00"),
        (b"etag: a\r\nset-cookie", b"b"),
    ],
)
async def test_a_header_that_would_begin_another_is_not_sent(
    forged: tuple[bytes, bytes],
) -> None:
    sent: list[bool] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        answer = whole_of(scope)
        assert answer is not None
        sent.append(answer(200, [*HEADERS, forged], b"body"))
        await start(send, *HEADERS)
        await go_on(send, b"body")

    async with served(app) as port:
        reader, writer = await ask(port)
        assert b"etag" not in await reader.readuntil(b"body")
        writer.close()

    assert sent == [False]


async def test_an_answer_sent_whole_is_counted_and_kept_safe_like_any_other() -> None:
    metrics = Metrics()
    front = Front(whole_or_in_parts, metrics)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_template"] = "/{name}"
        await front(scope, receive, send)

    asked = (
        "GET /{} HTTP/1.1\r\nHost: a\r\nX-Request-ID: one\r\nConnection: close\r\n\r\n"
    )
    async with served(app) as port:
        whole = await exchanged(port, asked.format("whole"))
        parts = await exchanged(port, asked.format("parts"))

    assert whole == parts
    assert b"x-request-id: one" in whole
    assert b"x-frame-options: DENY" in whole
    assert (
        b'annolog_requests_total{method="GET",route="/{name}",status="200"} 2.0'
        in metrics.text().splitlines()
    )


async def test_an_answer_sent_whole_leaves_nothing_to_the_garbage_collector() -> None:
    front = Front(whole_or_in_parts, Metrics())
    async with served(front) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                writer.write(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n")
                await reader.readuntil(b"body")
            gc.collect()
            kept = [one for one in gc.garbage if isinstance(one, RequestResponseCycle)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        writer.close()

    assert kept == []
