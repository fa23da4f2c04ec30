"""Snapshots put together from the topics: the same as the service's own."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from annolog.domain.entries import Alias, Policy, SameAs
from annolog.domain.snapshots import (
    Line,
    SnapshotFilter,
    Stands,
    State,
    Statement,
    Weighing,
    read,
)
from annolog.stream.folding import TopicsSource
from annolog.stream.snapshots import Source
from annolog.stream.topics import Access, Topics
from tests.support.relay import RelayProcess
from tests.support.service import Service, service

FIRST, SECOND, THIRD = (f"exposure:LSSTCam/202611190000{n}" for n in (1, 2, 3))

CHIP, TWIN = (f"record:detector/instrument=LSSTCam/detector={n}" for n in (94, 95))


def now() -> datetime:
    return datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def source(kafka_bootstrap: str, prefix: str) -> TopicsSource:
    access, topics = Access(kafka_bootstrap), Topics.named(prefix)
    return TopicsSource(access, topics, SnapshotFilter(), now)


def sorted_lines(lines: list[Line]) -> list[Line]:
    """Leave out what only orders differ in."""
    found: list[Line] = []
    for one in lines:
        if isinstance(one, Statement):
            keys = tuple(sorted(one.counted_for))
            found.append(msgspec.structs.replace(one, counted_for=keys))
        elif isinstance(one, State | Stands | Weighing):
            found.append(one)
    return sorted(found, key=repr)


async def of_service(annolog: Service) -> list[Line]:
    answer = await annolog.get("/snapshot")
    return sorted_lines([read(line) for line in answer.text.split("\n") if line])


def of_topics(source: Source) -> list[Line]:
    with source.whole() as (_, lines):
        return sorted_lines(list(lines))


async def head(annolog: Service) -> int:
    number: int = (await annolog.get("/changes")).json()["head"]
    return number


def until(source: Source, number: int) -> list[Line]:
    """Follow up to a change, and give what came."""
    found: list[Line] = []
    deadline = time.monotonic() + 30
    reached = 0
    while reached < number:
        assert time.monotonic() < deadline
        if source.wait(reached, 1.0, threading.Event()) != "none":
            with source.changed(reached) as (first, lines):
                found += lines
                reached = first.number
    return found


async def test_the_topics_give_what_the_service_gives(
    database_url: str,
    make_relay: Callable[..., RelayProcess],
    source: TopicsSource,
) -> None:
    async with service(database_url) as annolog:
        many = [f"exposure:LSSTCam/20261119{n:05}" for n in range(100, 140)]
        await annolog.say(*many, flag="junk", tags=["vignetting"], text="dome")
        said = await annolog.say(FIRST, SECOND, flag="junk", text="trailed")
        await annolog.review(said, "reject", by="bob", targets=[FIRST])
        secret = await annolog.say(THIRD, text="secret")
        path = f"/annotations/{secret['annotation_id']}/redact"
        await annolog.post(path, {"reason": "private"}, by="admin")
        gone = await annolog.say(THIRD, flag="junk")
        await annolog.retract(gone)
        await annolog.set_entry(SameAs(key_a=FIRST, key_b=many[0]))
        await annolog.set_entry(Policy(instrument="LATISS", rule="latest"))
        await annolog.set_entry(Alias(name="jd", leads_to="jdoe"))
        since = {"begin": "2026-11-01T00:00:00Z"}
        bad = await annolog.say(CHIP, FIRST, flag="junk", observed_at=since)
        await annolog.review(bad, "confirm", by="bob")
        await annolog.review(bad, "reject", by="alice")
        await annolog.set_entry(SameAs(key_a=CHIP, key_b=TWIN))
        relay = make_relay()
        relay.start()
        relay.wait_for("goes on after")
        with source.running():
            wanted = await of_service(annolog)
            number = await head(annolog)
            until(source, number)
            with source.whole() as (first, _):
                assert (first.site_id, first.number) == ("summit", number)
            assert of_topics(source) == wanted
            # And what changes later.
            await annolog.set_entry(Policy(instrument=None, rule="latest"))
            await annolog.edit(bad, observed_at=since | {"end": "2026-11-30T00:00:00Z"})
            await annolog.say(SECOND, tags=["donuts"])
            await annolog.retract(said)
            number = await head(annolog)
            found = until(source, number)
            states = {one.key: one for one in found if isinstance(one, State)}
            assert states[SECOND].tags == ("donuts",)
            assert any(isinstance(one, Stands) and one.observed_end for one in found)
            assert any(isinstance(one, Weighing) for one in found)
            assert of_topics(source) == await of_service(annolog)
