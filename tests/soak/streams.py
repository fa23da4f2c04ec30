"""Browsers of the night: streams that stay, that come back, and that fall asleep."""

import asyncio
import random
from collections.abc import Callable

import httpx

STREAM = "/annolog/v1/stream"

STAY = 20.0, 90.0
"""Seconds after which a browser is closed, at least and at most."""

AWAY = 2.0
"""Seconds after which it is opened again, at most."""

ASLEEP = 300.0
"""Seconds for which one that sleeps reads nothing: until what is kept for it on the way
is full, and longer than the service bears that."""


class GapError(Exception):
    """A stream did not give each change once, in order."""


async def browse(
    client: httpx.AsyncClient, chance: random.Random, heard: Callable[[], None]
) -> None:
    """Follow the log as a browser does: closed and opened again, missing nothing.

    Parameters
    ----------
    client
        Sends to the service.
    chance
        Says how long to stay and to be away.
    heard
        Is called for each change.

    Raises
    ------
    GapError
        A change was left out or came twice.
    """
    last: int | None = None
    while True:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with client.stream(
            "GET", STREAM, params={"brief": 1}, headers=headers
        ) as answer:
            answer.raise_for_status()
            last = await _read(answer, last, chance.uniform(*STAY), heard)
        await asyncio.sleep(chance.uniform(0.0, AWAY))


async def sleep(client: httpx.AsyncClient) -> None:
    """Open a stream and read nothing of it, again and again."""
    while True:
        async with client.stream("GET", STREAM):
            await asyncio.sleep(ASLEEP)


async def _read(
    answer: httpx.Response,
    last: int | None,
    seconds: float,
    heard: Callable[[], None],
) -> int | None:
    """Read a stream for so long; give the number up to which all was read."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    number, name = 0, ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            number = int(value)
        elif field == "event":
            name = value
        elif field == "data":
            if name == "change":
                if last is not None and number != last + 1:
                    raise GapError(f"{number} came after {last}")
                heard()
            elif name == "reset":
                raise GapError(f"a stream at {last} was told {value}")
            last = number
        if loop.time() > ends:
            break
    return last
