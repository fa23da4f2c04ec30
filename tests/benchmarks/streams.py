"""Streams: how far behind many of them are, and how much one process can give out.

    python -m tests.benchmarks.streams --streams 500 --rate 200 --seconds 20

One `annologd serve` with full durability, so many open streams, so many POSTs a second;
then a burst, to see how many events a second leave the process at most. Writers and
readers share the machine with what they measure, so the lag is theirs too.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop
from typing_extensions import override

from tests.benchmarks.http import quantile, request
from tests.benchmarks.servers import server, service

STREAM = "/annolog/v1/stream"
BATCH = 500
"""Annotations of one request of the burst."""

_HEAD = b"\nevent: change\n"
_REACH = 64
"""Bytes at the end of a read in which the head of an event may have been cut."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the report.

    Attributes
    ----------
    title
        Which streams.
    changes
        Changes a second, as they were answered.
    p50, p99, worst
        Milliseconds from sending a POST to its event at a reader.
    cpu
        Share of one core that the service took.
    burst
        Events a second in a burst, over all streams.
    """

    title: str
    changes: float
    p50: float
    p99: float
    worst: float
    cpu: float
    burst: float


def measure(port: int, streams: int, rate: float, seconds: float) -> list[Line]:
    """Measure with whole events and with briefs.

    Parameters
    ----------
    port
        Where the service listens.
    streams
        How many are open.
    rate
        POSTs a second.
    seconds
        For how long.

    Raises
    ------
    RuntimeError
        A stream has not got each change once, in order.
    """
    found = []
    for title, query in (("whole", ""), ("brief", "?brief=1")):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found.append(
                runner.run(
                    _measure(title, port, STREAM + query, streams, rate, seconds)
                )
            )
    return found


async def _measure(
    title: str, port: int, path: str, streams: int, rate: float, seconds: float
) -> Line:
    loop = asyncio.get_running_loop()
    readers: list[_Reader] = []
    for _ in range(streams):
        _, reader = await loop.create_connection(_Reader, "127.0.0.1", port)
        reader.open(path)
        readers.append(reader)
    await _until(lambda: all(reader.begun for reader in readers))
    writers = [await _Writer.connect(port) for _ in range(16)]
    pid = _process(port)
    cpu, begun = _cpu(pid), time.perf_counter()
    sent = await _post(writers, rate, seconds)
    newest = max(sent)
    took = time.perf_counter() - begun
    await _until(lambda: all(reader.last >= newest for reader in readers))
    cpu = _cpu(pid) - cpu
    lags = [
        (at - sent[number]) * 1000
        for reader in readers
        for first, last, at in reader.arrived
        for number in range(first, last + 1)
        if number in sent
    ]
    if len(lags) != len(sent) * streams:
        msg = f"{len(lags)} events arrived of {len(sent) * streams}"
        raise RuntimeError(msg)
    burst = await _burst(writers[0], readers)
    for reader in readers:
        reader.transport.abort()
    return Line(
        title,
        len(sent) / took,
        quantile(lags, 0.5),
        quantile(lags, 0.99),
        max(lags),
        cpu / took,
        burst,
    )


async def _post(
    writers: "list[_Writer]", rate: float, seconds: float
) -> dict[int, float]:
    """Send POSTs at a rate, and give when each change was sent."""
    sent: dict[int, float] = {}
    begun = time.perf_counter()

    async def write(which: int) -> None:
        for turn in range(int(rate * seconds) // len(writers)):
            due = begun + (turn * len(writers) + which) / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            at = time.perf_counter()
            number = turn * len(writers) + which
            said = await writers[which].post("/annolog/v1/annotations", _draft(number))
            sent[json.loads(said)["origin_number"]] = at

    await asyncio.gather(*(write(which) for which in range(len(writers))))
    return sent


async def _burst(writer: "_Writer", readers: "list[_Reader]") -> float:
    """Write as fast as possible for a moment, and see how fast it is given out."""
    begun = time.perf_counter()
    first = readers[0].last
    drafts = [_draft(number) for number in range(BATCH)]
    for _ in range(4):
        await writer.post("/annolog/v1/annotations/batch", drafts)
    await _until(lambda: all(one.last >= first + 4 * BATCH for one in readers))
    took = time.perf_counter() - begun
    return 4 * BATCH * len(readers) / took


def _draft(number: int) -> dict[str, object]:
    key = f"exposure:LSSTCam/{2026111900001 + number % 900}"
    return {"targets": [key], "text": "Rings around bright stars. " * 8, "flag": "junk"}


async def _until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.perf_counter() + seconds
    while not holds():
        if time.perf_counter() > deadline:
            msg = "streams have fallen behind for good"
            raise RuntimeError(msg)
        await asyncio.sleep(0.02)


class _Reader(asyncio.Protocol):
    """One stream: notes when which number came."""

    def __init__(self) -> None:
        self.arrived: list[tuple[int, int, float]] = []
        self.last = 0
        self.begun = False
        self._rest = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def open(self, path: str) -> None:
        self.transport.write(request("GET", path))

    @override
    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        data = self._rest + data
        self.begun = self.begun or b"event: start" in data
        # Only the first and the last head are looked for: reading all that is sent
        # would take more of the machine than sending it.
        newest = data.rfind(_HEAD)
        if newest < 0:
            self._rest = data[-_REACH:]
            return
        first = _number(data, data.find(_HEAD))
        if self.last and first != self.last + 1:
            msg = f"{first} came after {self.last}"
            raise RuntimeError(msg)
        self.last = _number(data, newest)
        self.arrived.append((first, self.last, at))
        self._rest = data[max(newest + len(_HEAD), len(data) - _REACH) :]


def _number(data: bytes, head: int) -> int:
    """Give the number in the line before the head of an event."""
    return int(data[data.rfind(b"id: ", 0, head) + 4 : head])


class _Writer:
    """One kept connection that posts."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> "_Writer":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, body: object) -> bytes:
        self._writer.write(request("POST", path, json.dumps(body).encode()))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None, head
        content = await self._reader.readexactly(int(length[1]))
        if head[9:10] != b"2":
            raise RuntimeError(content.decode())
        return content


def _process(port: int) -> int:
    """Find the service by its environment."""
    sought = f"ANNOLOG_PORT={port}".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if sought in place.read_bytes().split(b"\0"):
                return int(place.parent.name)
        except OSError:
            continue
    msg = f"no process serves port {port}"
    raise RuntimeError(msg)


def _cpu(pid: int) -> float:
    """Give the seconds of CPU that a process has taken."""
    after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")


def table(lines: list[Line]) -> str:
    """Write what was measured."""
    head = ["changes/s", "p50 ms", "p99 ms", "worst", "CPU", "burst/s"]
    rows = [f"{'streams':<12}" + "".join(f"{cell:>12}" for cell in head)]
    for one in lines:
        cells = [
            f"{one.changes:.0f}",
            f"{one.p50:.1f}",
            f"{one.p99:.1f}",
            f"{one.worst:.1f}",
            f"{one.cpu:.0%}",
            f"{one.burst:.0f}",
        ]
        rows.append(f"{one.title:<12}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(rows)


def main() -> int:
    """Measure with a service of its own, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.streams", description=__doc__
    )
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="annolog-bench-"))
    try:
        with server(home) as running, service(running.url) as process:
            lines = measure(process.port, asked.streams, asked.rate, asked.seconds)
        sys.stdout.write(table(lines) + "\n")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
