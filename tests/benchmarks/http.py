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
    """

    rate: float
    p50: float
    p99: float


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

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
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
        self.transport.write(wire)  # type: ignore[attr-defined]
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
    port: int,
    wires: Iterable[bytes],
    concurrency: int,
    status: int,
    *,
    seconds: float = math.inf,
) -> Figures:
    """Send requests and time them.

    Parameters
    ----------
    port
        Where the service listens, on loopback.
    wires
        The requests.
    concurrency
        How many connections, each with one request at a time.
    status
        The status that every answer must have.
    seconds
        After which no further request is sent.
    """
    loop = asyncio.get_running_loop()
    left = iter(wires)
    took: list[float] = []

    async def one() -> None:
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        for wire in left:
            sent = time.perf_counter()
            got = await connection.send(wire)
            took.append(time.perf_counter() - sent)
            if got != status:
                msg = f"answered {got}, not {status}: {wire[:200]!r}"
                raise RuntimeError(msg)
            if time.perf_counter() - begun > seconds:
                break
        connection.transport.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(concurrency)))
    return Figures(
        len(took) / (time.perf_counter() - begun),
        quantile(took, 0.5) * 1000,
        quantile(took, 0.99) * 1000,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
