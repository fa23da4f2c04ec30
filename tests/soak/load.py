"""What people and programs do all night: write, correct, read, export, follow."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from annolog.storage import database
from tests.benchmarks import nights, writes
from tests.benchmarks.calls import PREFIX
from tests.benchmarks.native import PATH
from tests.benchmarks.servers import Stand
from tests.soak import streams

READS = 0.2
"""Requests that read, for each that writes."""

FOLLOWERS, REST = 10, 0.5
"""How many wait for changes, and seconds that each takes for what it was given."""

BROWSERS, SLEEPERS = 20, 2
"""How many follow the log as streams, and how many open one and read nothing."""

REMEMBERED = 20_000
"""Annotations of this run that may still be edited or retracted."""

HELD, PAUSE = 180.0, 60.0
"""Seconds that a snapshot is held open, and seconds before the next."""

EXPORTS = 60.0
"""Seconds between two exports over HTTP."""

_LONGEST = 30.0
_USER = {"X-Annolog-User": "bench"}


@dataclass(slots=True)
class Tally:
    """What was done since it was last asked.

    Attributes
    ----------
    took
        Seconds of each write.
    reads, heard, streamed, refused
        Answers to readers, changes that followers and streams were given, and answers
        503.
    """

    took: list[float] = field(default_factory=list)
    reads: int = 0
    heard: int = 0
    streamed: int = 0
    refused: int = 0


class Load:
    """The work of a night on one service.

    Parameters
    ----------
    stand
        The database and the service.
    rate
        Requests a second that write.
    """

    def __init__(self, stand: Stand, rate: float) -> None:
        self._url = stand.url
        self._rate = rate
        self._chance = random.Random(5)
        self._known: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._next = 0
        self._tally = Tally()
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{stand.port}",
            headers=_USER,
            timeout=_LONGEST,
            limits=httpx.Limits(max_connections=200),
        )

    def taken(self) -> Tally:
        """Give what was done since the last call."""
        done, self._tally = self._tally, Tally()
        return done

    async def run(self) -> None:
        """Work until cancelled; whatever goes wrong ends it."""
        async with self._client, asyncio.TaskGroup() as work:
            work.create_task(self._steadily(self._rate, self._write))
            work.create_task(self._steadily(self._rate * READS, self._read))
            work.create_task(self._export())
            work.create_task(self._hold())
            for _ in range(FOLLOWERS):
                work.create_task(self._follow())
            for _ in range(BROWSERS):
                work.create_task(streams.browse(self._client, self._chance, self._hear))
            for _ in range(SLEEPERS):
                work.create_task(streams.sleep(self._client))

    def _hear(self) -> None:
        self._tally.streamed += 1

    async def _steadily(
        self, rate: float, do: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Begin something so many times a second, however long it takes."""
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as work:
            number = 0
            while True:
                number += 1
                wait = begun + number / rate - time.perf_counter()
                await asyncio.sleep(max(0.0, wait))
                work.create_task(do())

    # ------------------------------------------------------------------ writing

    async def _write(self) -> None:
        kind = self._chance.random()
        begun = time.perf_counter()
        if kind < 0.6 or not self._known:
            answer = await self._create()
        elif kind < 0.7:
            answer = await self._client.post(
                f"{PREFIX}/messages", json=self._message(), headers=_USER
            )
        elif kind < 0.9:
            answer = await self._edit()
        else:
            answer = await self._retract()
        self._tally.took.append(time.perf_counter() - begun)
        self._note(answer)

    async def _create(self) -> httpx.Response:
        self._next += 1
        answer = await self._client.post(PATH, json=writes.draft(self._next))
        self._remember(answer)
        return answer

    async def _edit(self) -> httpx.Response:
        annotation_id, tag = self._forget()
        text = f"{writes.TEXT} Seen again {self._chance.random()}."
        patch = {"text": text, "flag": self._chance.choice([None, "junk"])}
        answer = await self._client.patch(
            f"{PATH}/{annotation_id}",
            json=patch,
            headers={
                "If-Match": tag,
                "Content-Type": "application/merge-patch+json",
            },
        )
        self._remember(answer)
        return answer

    async def _retract(self) -> httpx.Response:
        annotation_id, tag = self._forget()
        headers = {"If-Match": tag}
        return await self._client.post(
            f"{PATH}/{annotation_id}/retract", headers=headers
        )

    def _message(self) -> dict[str, Any]:
        camera = nights.CAMERAS[0]
        night = nights.LAST_NIGHT - timedelta(days=self._chance.randrange(10))
        seq_num = self._chance.randrange(camera.exposures) + 1
        return {
            "obs_id": nights.obs_id(camera, night, seq_num),
            "instrument": camera.name,
            "message_text": writes.TEXT,
            "user_id": "observer",
            "user_agent": "LOVE",
            "is_human": True,
            "is_new": True,
        }

    def _remember(self, answer: httpx.Response) -> None:
        if answer.is_success:
            self._known.append((answer.json()["annotation_id"], answer.headers["ETag"]))

    def _forget(self) -> tuple[str, str]:
        """Take one of the known, so that nobody else changes it meanwhile."""
        self._known.rotate(self._chance.randrange(len(self._known)))
        return self._known.popleft()

    def _note(self, answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self._tally.refused += 1
        else:
            answer.raise_for_status()

    # ------------------------------------------------------------------ reading

    async def _read(self) -> None:
        day = 20261101 + self._chance.randrange(28)
        path = self._chance.choice(
            (
                f"{PATH}?limit=100",
                f"{PATH}?instrument=LSSTCam&day_obs={day}&order=night&limit=200",
                f"{PATH}?words=rings+focus&limit=50",
                f"/annolog/v1/targets?instrument=LSSTCam&day_obs={day}&limit=200",
                f"{PREFIX}/messages?order_by=-date_added&limit=50",
                f"{PREFIX}/messages?min_day_obs={day}&max_day_obs={day + 1}&limit=1000",
            )
        )
        self._note(await self._client.get(path))
        self._tally.reads += 1

    async def _export(self) -> None:
        while True:
            await asyncio.sleep(EXPORTS)
            path = f"{PREFIX}/messages?is_valid=either&limit=10000"
            async with self._client.stream("GET", path) as answer:
                async for _ in answer.aiter_raw():
                    pass
                self._note(answer)

    async def _hold(self) -> None:
        """Hold a snapshot open as a slow export does: nothing dead can be removed."""
        while True:
            connection = await database.connect(self._url, database.BULK)
            try:
                async with connection.transaction(
                    isolation="repeatable_read", readonly=True
                ):
                    await connection.fetchval("select count(*) from revision")
                    await asyncio.sleep(HELD)
                    await connection.fetchval("select count(*) from revision")
            finally:
                await connection.close()
            await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        """Ask for what is new again and again, from now on."""
        after = None
        while True:
            query = {"after": 2**62} if after is None else {"after": after, "wait": 20}
            answer = await self._client.get("/annolog/v1/changes", params=query)
            self._note(answer)
            if answer.is_success:
                told = answer.json()
                self._tally.heard += len(told["items"])
                after = told["head"] if after is None else told["next_after"]
            await asyncio.sleep(REST)
