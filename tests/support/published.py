"""One of every kind of message, from the real service on a real database.

The clock and the ids are fixed, so that the messages of one version are the same every
time. They are read as the relay reads them, a cycle after each step.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import asyncpg

from annolog import runtime
from annolog.actions import dataid_drift
from annolog.domain import records
from annolog.domain.entries import (
    Alias,
    FlagEntry,
    Policy,
    SameAs,
    TagEntry,
    TagVocabulary,
)
from annolog.domain.events import Event, change_event, state_event
from annolog.domain.instruments import Instrument
from annolog.storage import changes
from annolog.storage.changes import Bounds, Cycle
from annolog.storage.database import Connection
from tests.support import log
from tests.support.service import Service, Shown, service

BOUNDS = Bounds(changes=10_000, states=100_000, bytes=1 << 30)


@dataclass
class Published:
    """Follows the log as the relay does.

    Attributes
    ----------
    changes, states
        The events of both topics, in the order of their publishing.
    cycles
        The cycles that they came with.
    """

    conn: Connection
    after: int = 0
    cycles: list[Cycle] = field(default_factory=list)
    changes: list[Event] = field(default_factory=list)
    states: list[Event] = field(default_factory=list)

    async def go_on(self) -> None:
        """Take what is new, as one cycle."""
        cycle = await changes.cycle(self.conn, self.after, BOUNDS)
        self.cycles.append(cycle)
        self.changes += map(change_event, cycle.changes)
        self.states += map(state_event, cycle.states)
        if cycle.changes:
            self.after = cycle.changes[-1].number

    async def wait_for(self, operation: str) -> None:
        """Follow until the last change does this: it comes by itself."""
        for _ in range(1_000):
            await self.go_on()
            if self.changes and _body(self.changes[-1])["operation"] == operation:
                return
            await self.conn.execute("select pg_sleep(0.02)")
        raise AssertionError(operation)


def _body(event: Event) -> Shown:
    body = event.body()
    assert body is not None
    return body


class _Fixed:
    """A clock that a test moves, and ids in a row."""

    def __init__(self) -> None:
        self.moment = log.NIGHT
        self._ids = 0

    def now(self) -> datetime:
        return self.moment

    def new_id(self, moment: datetime) -> UUID:
        self._ids += 1
        return records.revision_id(moment, self._ids)


@asynccontextmanager
async def publishing(
    database_url: str,
) -> AsyncIterator[tuple[Service, Published, _Fixed]]:
    """Run the service with a fixed clock, behind what is shipped."""
    conn = await asyncpg.connect(database_url)
    fixed = _Fixed()
    try:
        await log.begin_site(conn)
        with (
            mock.patch.object(runtime, "now", fixed.now),
            mock.patch.object(runtime, "new_id", fixed.new_id),
        ):
            async with service(database_url) as annolog:
                yield annolog, Published(conn, await changes.head(conn)), fixed
    finally:
        await conn.close()


async def everything(database_url: str) -> Published:
    """Do everything that can be done, and give what was published of it."""
    async with publishing(database_url) as (annolog, published, fixed):
        async for _ in _steps(annolog):
            await published.go_on()
            fixed.moment += timedelta(seconds=7, microseconds=250_001)
        await annolog.set_entry(Policy(instrument="LSSTCam", rule="latest"))
        await published.wait_for("refresh")
        return published


NIGHT = 2026111900000


def key(number: int) -> str:
    return f"exposure:LSSTCam/{NIGHT + number}"


async def _steps(annolog: Service) -> AsyncIterator[Any]:
    junk = await annolog.say(
        key(123),
        text="vignetted, *see* the **donuts** ☕",
        flag="junk",
        tags=["donuts", "vignetting"],
        urls=["https://example.org/ticket/17"],
        level=30,
        observed_at={"begin": "2026-11-20T03:10:00Z", "end": None},
    )
    yield
    junk = await annolog.edit(junk, text="vignetted", flag="questionable")
    yield
    junk = await annolog.edit(
        junk, targets={"add": [key(124), key(125)], "remove": [key(123)]}
    )
    yield
    # Somebody else mends the tags: the words stay the author's.
    junk = await annolog.edit(junk, tags=["vignetting"], by="carla")
    yield
    yield await annolog.say(
        *(key(n) for n in range(200, 217)),
        by="bot:donut-finder",
        flag="junk",
        tags=["donuts"],
        check="donuts",
        agent={"name": "donut-finder", "version": "1.2", "run": "17"},
    )
    yield await annolog.review(junk, "confirm", by="ann", reason="I see it too")
    yield await annolog.review(junk, "reject", by="bob", targets=[key(124)])
    ask = await annolog.say(
        f"detector:LSSTCam/{NIGHT + 123}/94",
        flag="follow_up",
        assignee="ann",
        text="dead?",
    )
    yield
    yield await annolog.review(ask, "closed", by="ann", reason="alive")
    reply = await annolog.post(
        "/annotations", {"reply_to": junk["annotation_id"], "text": "indeed"}
    )
    assert reply.status_code == 201
    yield
    alone = await annolog.say(key(130), text="wind gust", tags=["donuts"])
    yield
    alone = await annolog.retract(alone)
    yield  # a tombstone
    alone = await annolog.restore(alone)
    yield
    redact = f"/annotations/{alone['annotation_id']}/redact"
    done = await annolog.post(redact, {"reason": "a password"}, by="carla")
    assert done.status_code == 201
    yield
    for step in _facts():
        answer = await annolog.post(*step, by="camera")
        assert answer.status_code in {200, 201}, answer.text
        yield
    mark = {"instrument": "LSSTCam", "day_obs": 20261119, "seq_last": 130}
    marked = await annolog.post("/checked", mark | {"tags": ["donuts"]})
    yield
    again = await annolog.post(f"/checked/{marked.json()['record_id']}/revoke")
    assert again.status_code == 200
    yield
    for entry in (
        FlagEntry(name="odd", severity=60),
        TagEntry(name="ghost", description="A reflection."),
        TagVocabulary(mode="curated"),
        Alias(name="jdoe@summit-host", leads_to="jdoe"),
        SameAs(key_a=key(123), key_b=key(124)),
        Instrument(name="HSC", detector_max=112),
    ):
        yield await annolog.set_entry(entry)
    message = {
        "obs_id": "MC_O_20261119_000123",
        "instrument": "LSSTCam",
        "message_text": "from an old client",
        "user_id": "eve",
        "user_agent": "a test",
        "is_human": True,
        "is_new": False,
        "exposure_flag": "junk",
        "tags": ["Ghost"],
    }
    answered = await annolog.client.post("/exposurelog/messages", json=message)
    assert answered.status_code == 200, answered.text
    yield
    change = {"message_text": "mended", "site_id": "summit"}
    path = f"/exposurelog/messages/{answered.json()['id']}"
    assert (await annolog.client.patch(path, json=change)).status_code == 200
    yield
    async for _ in _sets(annolog):
        yield


async def _sets(annolog: Service) -> AsyncIterator[object]:
    """Build a set, release it, let another keep it, and see it drift and settle."""
    part = {"name": "bad", "query": {"flags": ["odd"]}}
    recipe = {"instrument": "LSSTCam", "parts": [part]}
    sets = "/data-id-sets/bad"
    wrong = await annolog.say(key(140), flag="odd", text="what is this?")
    yield None
    made = await annolog.post(f"{sets}/build", {"recipe": recipe, "reason": "nightly"})
    assert made.status_code == 201, made.text
    yield None
    done = await annolog.post(f"{sets}/versions/1/release", {"label": "DRP1"})
    assert done.status_code == 201, done.text
    yield None
    shared = await annolog.put(f"{sets}/access", {"editors": ["nightly"]})
    assert shared.status_code == 200, shared.text
    yield None
    wrong = await annolog.retract(wrong)
    yield await _drift(annolog)
    wrong = await annolog.restore(wrong)
    yield await _drift(annolog)
    done = await annolog.post(f"{sets}/versions/1/withdraw", {"reason": "an error"})
    assert done.status_code == 200, done.text
    yield None
    data_id = {"instrument": "LSSTCam", "exposure": NIGHT + 140}
    draft = {"reason": "a password", "data_ids": [data_id]}
    done = await annolog.post(f"{sets}/versions/1/redact", draft, by="carla")
    assert done.status_code == 201, done.text
    yield None


async def _drift(annolog: Service) -> object:
    runtime = annolog.runtime
    site = runtime.site.site_id
    told = await dataid_drift.look(
        runtime.lane, runtime.reads, site, interval=timedelta(0)
    )
    assert len(told) == 1
    return told


def _facts() -> list[tuple[str, Shown]]:
    exposure = {"instrument": "LSSTCam", "obs_id": "MC_O_20261119_000123"}
    began = {"event": "start", "source": "camera", "begin": "2026-11-20T03:12:00Z"}
    more = {"exposure_time": 15, "physical_filter": "r_57", "fields": {"seeing": 0.7}}
    visit = {"instrument": "LSSTCam", "visit": NIGHT + 123}
    return [
        ("/exposures", exposure),
        ("/exposures", exposure | began | more),
        ("/exposures", {"instrument": "LSSTCam", "exposure_id": NIGHT + 131}),
        (
            "/exposures",
            {"instrument": "LSSTCam", "exposure_id": NIGHT + 131, "event": "cancel"},
        ),
        ("/visits", visit | {"exposures": [NIGHT + 123, NIGHT + 124]}),
    ]
