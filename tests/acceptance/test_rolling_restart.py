"""Two processes behind one name are restarted one after the other, under load.

Writers and readers are as simple as clients can be: they try the next process only
where a connection is refused. Whatever fails after that is a request lost.
"""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.served import ServiceProcess
from tests.support.sse import PATH, Stream, StreamEndedError

ROUNDS = int(os.environ.get("RESTART_ROUNDS", "1"))
"""How often each process is restarted; more on a long evening."""

WRITERS = 4
"""Of each sort: with a kept connection, and with a new one for each request."""

STREAMS = 6
WAITERS = 3
PAUSE = 0.02
"""Seconds between the requests of one writer."""

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Doors:
    """The one address of several processes: each connection goes to the next one."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self.refused = 0

    async def connect(self) -> Wire:
        self._ports.append(self._ports.pop(0))
        for port in tuple(self._ports):
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                self.refused += 1
        raise AssertionError("nobody is there")

    @asynccontextmanager
    async def follow(self, last: int, query: str) -> AsyncIterator[Stream]:
        reader, writer = await self.connect()
        stream = Stream(reader, writer)
        try:
            await stream.begin(
                f"GET {PATH}?{query} HTTP/1.1\r\nHost: annolog\r\n"
                f"X-Annolog-User: reader\r\nLast-Event-ID: {last}\r\n\r\n".encode()
            )
            assert stream.status == 200
            yield stream
        finally:
            writer.transport.abort()


class Client:
    """Sends requests over a connection that is kept for as long as the server says."""

    def __init__(self, doors: Doors, *, keep: bool) -> None:
        self._doors = doors
        self._keep = keep
        self._wire: Wire | None = None

    async def send(self, method: str, path: str, body: object = None) -> bytes:
        if self._wire is None or self._wire[0].at_eof():
            self.close()
            self._wire = await self._doors.connect()
        reader, writer = self._wire
        content = b"" if body is None else json.dumps(body).encode()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: annolog\r\nX-Annolog-User: jdoe\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            "".encode()
            + content
        )
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            answer = await reader.readexactly(int(length))
        assert head.split()[1] in {"200", "201"}, head + answer.decode()
        if not self._keep or "connection: close" in head:
            self.close()
        return answer

    def close(self) -> None:
        if self._wire is not None:
            self._wire[1].transport.abort()
            self._wire = None


@pytest.fixture
def two(database_url: str, tmp_path: Path) -> Iterator[list[ServiceProcess]]:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    with (
        ServiceProcess(database_url, homes[0]) as one,
        ServiceProcess(database_url, homes[1]) as other,
    ):
        yield [one, other]


async def test_a_rolling_restart_loses_no_request_and_no_event(
    two: list[ServiceProcess],
) -> None:
    doors = Doors([process.port for process in two])
    first = await _head(doors)
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        followers = [
            group.create_task(_follow(doors, first, end, "brief=1" if n % 2 else ""))
            for n in range(STREAMS)
        ]
        waiters = [group.create_task(_wait(doors, first, end)) for _ in range(WAITERS)]
        stop = asyncio.Event()
        writers = [
            group.create_task(_write(doors, n, stop)) for n in range(2 * WRITERS)
        ]
        for process in two * ROUNDS:
            await asyncio.sleep(1)
            assert await asyncio.to_thread(process.stop) == 0
            await asyncio.sleep(0.5)
            process.start()
            await asyncio.to_thread(process.wait_until_ready)
        await asyncio.sleep(1)
        stop.set()
        written = [number for one in writers for number in await one]
        last = await _head(doors)
        # One more, so that whoever has all before they know the end looks again.
        end.set_result(last + 1)
        await Client(doors, keep=False).send(
            "POST", "/annolog/v1/annotations", _draft(UUID(int=10**9), "the end")
        )
    numbers = list(range(first + 1, last + 1))
    assert sorted(written) == numbers
    assert len(numbers) > 100
    for reader in followers + waiters:
        found = reader.result()
        assert found[: len(numbers)] == numbers
    # They did go through restarts.
    assert doors.refused > 0
    for process in two:
        told = process.told()
        assert "Traceback" not in told
        assert '"severity":"ERROR"' not in told


async def _write(doors: Doors, which: int, stop: asyncio.Event) -> list[int]:
    """Post one statement after the other, and give the numbers of their changes."""
    client = Client(doors, keep=which < WRITERS)
    numbers = []
    for turn in itertools.count():
        if stop.is_set():
            break
        name = UUID(int=1 + which + turn * 100)
        said = await client.send(
            "POST", "/annolog/v1/annotations", _draft(name, f"{which}/{turn}")
        )
        numbers.append(int(json.loads(said)["origin_number"]))
        await asyncio.sleep(PAUSE)
    client.close()
    return numbers


def _draft(name: UUID, text: str) -> dict[str, object]:
    key = f"exposure:LSSTCam/{2026111900001 + name.int % 500}"
    return {"annotation_id": str(name), "targets": [key], "text": text}


async def _follow(
    doors: Doors, after: int, end: "asyncio.Future[int]", query: str
) -> list[int]:
    """Follow the log, and come back each time with what was seen last."""
    numbers: list[int] = []
    while True:
        async with doors.follow(after, query) as stream:
            try:
                while True:
                    sent = await stream.event()
                    assert sent.name in {"start", "change"}, sent
                    if sent.name == "change":
                        assert sent.id is not None
                        assert sent.id > after
                        after = sent.id
                        numbers.append(after)
                        if end.done() and after >= end.result():
                            return numbers
            except StreamEndedError:
                continue


async def _wait(doors: Doors, after: int, end: "asyncio.Future[int]") -> list[int]:
    """Follow the log by asking for what comes next."""
    client = Client(doors, keep=True)
    numbers: list[int] = []
    while not (end.done() and after >= end.result()):
        page = json.loads(
            await client.send("GET", f"/annolog/v1/changes?after={after}&wait=25")
        )
        assert page["head"] >= page["next_after"] >= after
        after = page["next_after"]
        numbers += [item["data"]["number"] for item in page["items"]]
    client.close()
    return numbers


async def _head(doors: Doors) -> int:
    client = Client(doors, keep=False)
    found = json.loads(await client.send("GET", "/annolog/v1/changes?limit=1"))
    return int(found["head"])
