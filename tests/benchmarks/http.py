"""A load generator that costs little: HTTP/1.1 over kept connections, by hand.

The client shares two cores with what it measures, so a comfortable HTTP library would
be most of the figure.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run of requests came to.

    Attributes
    ----------
    rate
        Requests a second.
    p50, p99
        Milliseconds from sending a request to its last byte.
    count
        Requests.
    refused
        How many were answered 503: there is no room, ask again. Times are of the rest.
    service, postgres
        Microseconds of processor a request: of the serving processes, and of the
        database server. None where it is not known.
    """

    rate: float
    p50: float
    p99: float
    count: int = 0
    refused: int = 0
    service: float | None = None
    postgres: float | None = None

    @classmethod
    def of(cls, took: Sequence[float], seconds: float, refused: int = 0) -> "Figures":
        """Give what answers that took so many seconds each came to in all."""
        return cls(
            len(took) / seconds,
            quantile(took, 0.5) * 1000,
            quantile(took, 0.99) * 1000,
            len(took),
            refused,
        )


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Write a request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Annolog-User: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One kept connection: a request out, its answer in, which is only counted."""

    def __init__(self) -> None:
        self._head = b""
        self._status = 0
        self._missing: int | None = None
        self._last = b""
        self._answer: asyncio.Future[int] | None = None
        self.transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    @override
    def data_received(self, data: bytes) -> None:
        if not self._status:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = b""
            self._status = int(head[9:12])
            self._missing = _length(head, self._status)
        if self._missing is not None:
            self._missing -= len(data)
            over = self._missing <= 0
        else:
            # JSON has no line ends, so only the last chunk looks like this.
            self._last = (self._last + data)[-7:]
            over = self._last == b"\r\n0\r\n\r\n"
        if over and self._answer is not None and not self._answer.done():
            status, self._status, self._last = self._status, 0, b""
            self._answer.set_result(status)

    async def send(self, wire: bytes) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(wire)
        return await self._answer


def _length(head: bytes, status: int) -> int | None:
    """Give the length of an answer; None if it comes in chunks."""
    if status == 204:
        return 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None


async def drive(
    ports: Sequence[int],
    wires: Iterable[bytes],
    concurrency: int,
    status: int,
    *,
    seconds: float = math.inf,
) -> Figures:
    """Send requests and time them.

    Parameters
    ----------
    ports
        Where the service listens, on loopback; connections are shared out evenly.
    wires
        The requests.
    concurrency
        How many connections, each with one request at a time.
    status
        The status that every answer must have.
    seconds
        After which no further request is sent.
    """
    left = iter(wires)
    took: list[float] = []

    async def one(port: int) -> None:
        connection = await _connected(port)
        for wire in left:
            sent = time.perf_counter()
            _demand(await connection.send(wire), status, wire)
            took.append(time.perf_counter() - sent)
            if time.perf_counter() - begun > seconds:
                break
        connection.transport.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one(ports[n % len(ports)]) for n in range(concurrency)))
    return Figures.of(took, time.perf_counter() - begun)


async def steady(
    ports: Sequence[int],
    wires: Iterable[bytes],
    rate: float,
    status: int,
    *,
    concurrency: int = 16,
) -> Figures:
    """Send requests at a steady rate, however long answers take.

    Parameters
    ----------
    ports
        Where the service listens, on loopback.
    wires
        The requests.
    rate
        How many are due a second.
    status
        The status that every answer must have, unless it is 503.
    concurrency
        How many connections; a request that finds none free waits for one.

    Returns
    -------
    Figures
        Times are from the moment at which a request was due, so that those that had
        to wait for others count in full.
    """
    idle: asyncio.Queue[_Connection] = asyncio.Queue()
    for number in range(concurrency):
        idle.put_nowait(await _connected(ports[number % len(ports)]))
    took: list[float] = []
    refused = 0

    async def send(connection: _Connection, wire: bytes, due: float) -> None:
        nonlocal refused
        got = await connection.send(wire)
        if got == _NO_ROOM:
            refused += 1
        else:
            _demand(got, status, wire)
            took.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for number, wire in enumerate(wires):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sending.create_task(send(await idle.get(), wire, due))
    seconds = time.perf_counter() - begun
    while not idle.empty():
        idle.get_nowait().transport.close()
    return Figures.of(took, seconds, refused)


async def _connected(port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(
        _Connection, "127.0.0.1", port
    )
    return connection


_NO_ROOM = 503


def _demand(got: int, status: int, wire: bytes) -> None:
    if got != status:
        msg = f"answered {got}, not {status}: {wire[:200]!r}"
        raise RuntimeError(msg)


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value below which this share of the values lies."""
    ordered = sorted(values) or [math.nan]
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
