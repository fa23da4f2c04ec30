"""Writers: many at once, over HTTP, each sending until it is answered.

A client that is not answered does not know whether it was heard. It sends the same
request with the same id again, to whichever process answers; a few give up, as people
do who close their notebook.
"""

import asyncio
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from typing_extensions import override

from tests.faults.ledger import Ledger, Said

WRITERS = 32
"""Writers at a time."""

PAUSE = 0.15
"""Seconds between two statements of a writer, on average: people and bots think."""

PATIENCE = 6.0
"""Seconds after which a writer holds a process that does not answer for gone."""

DRAIN = 90.0
"""Seconds for getting the last answers, when all processes are well again."""

GIVE_UP = 0.03
"""Share of unknown outcomes that are never asked about again."""

NIGHTS = (20261119, 20261120, 20261121, 20261122)
EXPOSURES = 1000
HOT = [f"exposure:LSSTCam/{2026111900001 + n}" for n in range(40)]
MANY = 120
ANNOTATIONS = "/annolog/v1/annotations"
FLAGS = ("junk", "questionable", "good", None)
TAGS = ("bad_focus", "trailed", "vignetted")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What a writer asks for, and what it will have said then."""

    operation: str
    method: str
    path: str
    body: Json | None
    parent: Said | None
    content: Json
    keys: frozenset[str]
    annotation_id: str


class Writers(threading.Thread):
    """All writers, in a thread of their own."""

    def __init__(self, urls: Sequence[str], seed: str, ledger: Ledger) -> None:
        super().__init__(name="writers")
        self._urls = list(urls)
        self._seed = seed
        self.ledger = ledger
        self._over = threading.Event()
        self._deadline = math.inf
        self.failed: BaseException | None = None
        """What ended them before their time."""

    def end(self, patience: float = DRAIN) -> None:
        """Let each end what it has begun within so many seconds, and wait for that."""
        self._deadline = time.monotonic() + patience
        self._over.set()
        self.join(patience + 3 * PATIENCE)

    @property
    def are_over(self) -> bool:
        """Whether nothing new is to be said."""
        return self._over.is_set()

    @property
    def are_late(self) -> bool:
        """Whether even what was begun is to be left."""
        return time.monotonic() > self._deadline

    @override
    def run(self) -> None:
        try:
            asyncio.run(self._write())
        except BaseException as error:  # noqa: BLE001 - told by whoever joins us
            self.failed = error

    async def _write(self) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(WRITERS):
                urls = self._urls if n % 2 else self._urls[::-1]
                dice = random.Random(f"{self._seed}/{n}")
                writer = _Writer(f"writer{n}", urls, dice, self)
                group.create_task(writer.run())


class _Writer:
    def __init__(
        self, name: str, urls: Sequence[str], dice: random.Random, all_of_us: Writers
    ) -> None:
        self._name = name
        self._urls = list(urls)
        self._dice = dice
        self._all = all_of_us
        self._ledger = all_of_us.ledger
        self._mine: list[Said] = []

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as self._client:
            while not self._all.are_over:
                await asyncio.sleep(self._dice.expovariate(1 / PAUSE))
                earlier: Said | None = None
                if self._mine and self._dice.random() < 0.45:
                    earlier = self._mine.pop(self._dice.randrange(len(self._mine)))
                request = self._next(earlier)
                said = await self._send(request)
                if said is not None:
                    self._mine.append(said)
                    del self._mine[:-20]

    # ------------------------------------------------------------ what is said

    def _next(self, earlier: Said | None) -> Request:
        if earlier is None:
            return self._create()
        path = f"{ANNOTATIONS}/{earlier.annotation_id}"
        if earlier.operation == "retract":
            return self._step("restore", path, earlier)
        if self._dice.random() < 0.3:
            return self._step("retract", path, earlier)
        return self._edit(path, earlier)

    def _create(self) -> Request:
        key = str(UUID(int=self._dice.getrandbits(128), version=4))
        content = self._content()
        keys = self._targets()
        body = {"annotation_id": key, "targets": sorted(keys), **content}
        return Request(
            "create", "POST", ANNOTATIONS, body, None, content, keys, annotation_id=key
        )

    def _edit(self, path: str, earlier: Said) -> Request:
        content = self._content()
        body: Json = {**content}
        keys = earlier.keys
        if self._dice.random() < 0.3:
            added = self._dice.choice(HOT)
            body["targets"] = {"add": [added], "remove": []}
            keys |= {added}
        return Request(
            "edit", "PATCH", path, body, earlier, content, keys, earlier.annotation_id
        )

    def _step(self, step: str, path: str, earlier: Said) -> Request:
        return Request(
            step,
            "POST",
            f"{path}/{step}",
            None,
            earlier,
            dict(earlier.content),
            earlier.keys,
            earlier.annotation_id,
        )

    def _content(self) -> Json:
        return {
            "flag": self._dice.choice(FLAGS),
            "tags": sorted(self._dice.sample(TAGS, self._dice.randrange(3))),
            "text": f"{self._name} {self._dice.getrandbits(64):016x}",
        }

    def _targets(self) -> frozenset[str]:
        night = self._dice.choice(NIGHTS)
        kind = self._dice.random()
        if kind < 0.04:
            first = self._dice.randrange(EXPOSURES - MANY)
            numbers = range(first, first + self._dice.randrange(20, MANY))
            return frozenset(_exposure(night, n) for n in numbers)
        if kind < 0.2:
            return frozenset(self._dice.sample(HOT, 2))
        return frozenset({_exposure(night, self._dice.randrange(EXPOSURES))})

    # ------------------------------------------------------------ until answered

    async def _send(self, request: Request) -> Said | None:
        ledger = self._ledger
        headers = {"X-Annolog-User": self._name}
        if request.parent is not None:
            headers["If-Match"] = f'"{request.parent.revision_id}"'
        unknown = False
        before: list[str] = []
        while True:
            ledger.requests += 1
            try:
                answer = await self._client.request(
                    request.method,
                    self._urls[0] + request.path,
                    json=request.body,
                    headers=headers,
                )
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
                ledger.unreached += 1
                before.append("nobody there")
                self._urls.reverse()
            except httpx.TransportError:
                # Perhaps it was heard; another process must know what became of it.
                ledger.broken += 1
                before.append("cut off")
                unknown = True
                self._urls.reverse()
            else:
                if answer.status_code not in {429, 503}:
                    return self._answered(request, answer, before, unknown=unknown)
                code = _code(answer)
                ledger.refused[f"{answer.status_code} {code}"] += 1
                before.append(code)
                unknown = unknown or code == "outcome_unknown"
                if self._dice.random() < 0.3:
                    self._urls.reverse()
            if unknown and self._dice.random() < GIVE_UP:
                ledger.given_up.append((request.operation, request.annotation_id))
                return None
            if self._all.are_late:
                ledger.wrong.append(f"{_shown(request)} was never answered")
                ledger.given_up.append((request.operation, request.annotation_id))
                return None
            await asyncio.sleep(0.1 + 0.3 * self._dice.random())

    def _answered(
        self,
        request: Request,
        answer: httpx.Response,
        before: Sequence[str],
        *,
        unknown: bool,
    ) -> Said | None:
        if answer.status_code not in {200, 201}:
            self._ledger.wrong.append(
                f"{_shown(request)} was answered {answer.status_code}:"
                f" {answer.text[:300]}"
            )
            self._ledger.given_up.append((request.operation, request.annotation_id))
            return None
        shown = answer.json()
        said = Said(
            request.operation,
            request.annotation_id,
            shown["revision_id"],
            shown["number"],
            request.content,
            request.keys,
        )
        self._ledger.moments.append(time.monotonic())
        self._ledger.said.append(said)
        if request.operation == "create":
            was_there = answer.status_code == 200
            if unknown:
                how = "had been stored" if was_there else "had not been stored"
                self._ledger.resolved[how] += 1
            elif was_there:
                # Whoever has no id to send again would have said it twice.
                self._ledger.wrong.append(
                    f"{_shown(request)} was stored, and answered so before:"
                    f" {', '.join(before) or 'not at all'}"
                )
        elif unknown:
            self._ledger.resolved["told by the answer to a repeat"] += 1
        return said


def _exposure(night: int, number: int) -> str:
    return f"exposure:LSSTCam/{night}{number + 1:05d}"


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (ValueError, KeyError):
        return "without a code"


def _shown(request: Request) -> str:
    return f"{request.operation} of {request.annotation_id}"
