"""A load generator that costs little: HTTP/1.1 over kept connections, by hand.

The client shares two cores with what it measures, so a comfortable HTTP library would
be most of the figure.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
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
    """One kept connection: a request out, its answer in."""

    def __init__(self) -> None:
        self._data = b""
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
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and len(rest) >= int(value):
                status = int(head[9:12])
                self._data = b""
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(status)
                return

    async def send(self, wire: bytes) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(wire)  # type: ignore[attr-defined]
        return await self._answer


async def drive(
    port: int, make: Callable[[int], bytes], count: int, concurrency: int, status: int
) -> Figures:
    """Send requests and time them.

    Parameters
    ----------
    port
        Where the service listens, on loopback.
    make
        Gives the bytes of the n-th request.
    count
        How many to send.
    concurrency
        How many connections, each with one request at a time.
    status
        The status that every answer must have.
    """
    loop = asyncio.get_running_loop()
    wires = [make(n) for n in range(count)]
    left = iter(wires)
    took: list[float] = []

    async def one() -> None:
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        for wire in left:
            begun = time.perf_counter()
            got = await connection.send(wire)
            took.append(time.perf_counter() - begun)
            if got != status:
                msg = f"answered {got}, not {status}"
                raise RuntimeError(msg)
        connection.transport.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(concurrency)))
    return Figures(
        count / (time.perf_counter() - begun),
        quantile(took, 0.5) * 1000,
        quantile(took, 0.99) * 1000,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
