"""`GET /annolog/v1/stream`: the log as Server-Sent Events, over real connections."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from annolog.api import observe
from annolog.api import stream as stream_api
from annolog.api.logs import ACCESS, AccessLine, AskedFor
from annolog.stream import feed as feed_module
from annolog.stream.seats import Seats
from tests.support.postgres import PostgresServer
from tests.support.sse import Stream, following, until
from tests.support.uvicorned import Served, serving

CHANGES = "/annolog/v1/changes"


@pytest.fixture
async def annolog(database_url: str) -> AsyncIterator[Served]:
    async with serving(database_url) as served:
        yield served


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the clock of streams tick twenty times a second."""
    monkeypatch.setattr(feed_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(stream_api, "QUIET_SECONDS", 0.1)


async def begun(stream: Stream) -> int:
    """Take the first event, and give the number from which the stream goes on."""
    start = await stream.event()
    assert (stream.status, start.name) == (200, "start")
    assert start.id == start.data["after"]
    return int(start.data["after"])


async def read_changes(annolog: Served, after: int) -> list[dict[str, Any]]:
    answer = await annolog.client.get(CHANGES, params={"after": after, "limit": 1000})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_what_is_said_from_now_on_comes_as_changes_gives_it(
    annolog: Served,
) -> None:
    before = await annolog.say(1)
    async with following(annolog.port) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert await begun(stream) == before
        for number in range(2, 5):
            await annolog.say(number, text="two\nlines\r\nand é")
        found = await stream.changes(3)
    assert [one.data for one in found] == await read_changes(annolog, before)
    assert [one.id for one in found] == [before + 1, before + 2, before + 3]


async def test_the_first_event_says_whose_numbers_these_are(annolog: Served) -> None:
    async with following(annolog.port) as stream:
        start = await stream.event()
    site = annolog.runtime.site
    assert start.data["site_id"] == site.site_id
    assert start.data["incarnation"] == site.incarnation
    assert start.retry is not None
    assert 1000 <= start.retry < 3000


async def test_who_comes_back_misses_nothing(annolog: Served) -> None:
    async with following(annolog.port) as stream:
        await begun(stream)
        await annolog.say(1)
        await stream.changes(1)
    missed = [await annolog.say(number) for number in (2, 3)]
    # A browser asks with the address of the first time, and says where it was.
    headers = {"Last-Event-ID": str(stream.last)}
    async with following(annolog.port, headers=headers, after=0) as stream:
        assert await begun(stream) == missed[0] - 1
        assert [one.id for one in await stream.changes(2)] == missed


async def test_all_of_the_log_is_given_to_who_begins_at_its_beginning(
    annolog: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The vocabulary is in the log: more than is held, so it comes from the database.
    monkeypatch.setattr(feed_module, "BACKFILL", 5)
    last = await annolog.say(1)
    async with following(annolog.port, after=0) as stream:
        assert await begun(stream) == 0
        found = await stream.changes(last)
        assert [one.data for one in found] == await read_changes(annolog, 0)
        await annolog.say(2)
        assert [one.id for one in await stream.changes(1)] == [last + 1]


async def test_filters_are_those_of_changes(annolog: Served) -> None:
    async with (
        following(annolog.port, instrument="LATISS") as of_latiss,
        following(annolog.port, kind="checked") as of_checks,
    ):
        await begun(of_latiss)
        await begun(of_checks)
        await annolog.say(1)
        answer = await annolog.client.post(
            "/annolog/v1/checked",
            json={"instrument": "LSSTCam", "day_obs": 20261119},
        )
        assert answer.status_code == 201, answer.text
        last = await annolog.say(2, targets=["exposure:LATISS/2026111900001"])
        assert [one.id for one in await of_latiss.changes(1)] == [last]
        assert [one.id for one in await of_checks.changes(1)] == [last - 1]


async def test_a_filter_that_leaves_nothing_still_says_how_far_it_is(
    annolog: Served, soon: None
) -> None:
    del soon
    async with following(annolog.port, kind="policy") as stream:
        await begun(stream)
        last = await annolog.say(1)
        position = await stream.event()
    assert (position.name, position.id, position.data) == (
        "position",
        last,
        {"after": last},
    )


async def test_a_brief_says_what_to_look_at_and_no_words(annolog: Served) -> None:
    async with following(annolog.port, brief=1) as stream:
        await begun(stream)
        number = await annolog.say(7, text="secret words")
        (sent,) = await stream.changes(1)
    key = "exposure:LSSTCam/2026111900007"
    (whole,) = await read_changes(annolog, number - 1)
    assert sent.data == {
        "number": number,
        "kind": "revision",
        "operation": "create",
        "subject": whole["subject"],
        "annotation_id": whole["data"]["annotation_id"],
        "author": "jdoe",
        "author_kind": "human",
        "instruments": ["LSSTCam"],
        "targets": [key],
        "complete": True,
        "time": whole["time"],
    }


@pytest.mark.parametrize(
    ("header", "query", "reason"),
    [
        ("999999", {}, "ahead"),
        ("9" * 30, {}, "unknown"),
        ("-1", {}, "unknown"),
        ("1f0a/12", {}, "unknown"),
        (None, {"after": 999999}, "ahead"),
        ("3", {"incarnation": "ffffffff"}, "incarnation"),
    ],
)
async def test_who_cannot_go_on_is_told_to_reload_and_from_where(
    annolog: Served, header: str | None, query: dict[str, Any], reason: str
) -> None:
    head = await annolog.say(1)
    headers = {} if header is None else {"Last-Event-ID": header}
    async with following(annolog.port, headers=headers, **query) as stream:
        assert await begun(stream) == head
        reset = await stream.event()
        assert (reset.name, reset.id) == ("reset", head)
        assert reset.data == {"reason": reason, "after": head}
        await annolog.say(2)
        assert [one.id for one in await stream.changes(1)] == [head + 1]


async def test_a_reader_of_briefs_far_behind_reloads(
    annolog: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "BACKFILL", 3)
    monkeypatch.setattr(stream_api, "TOO_FAR", 10)
    head = await annolog.say(1)
    async with following(annolog.port, after=head - 5, brief=1) as near:
        await begun(near)
        assert len(await near.changes(5)) == 5
    async with following(annolog.port, after=0, brief=1) as far:
        await begun(far)
        reset = await far.event()
        assert (reset.name, reset.data["reason"]) == ("reset", "behind")
        assert reset.id == head


async def test_a_silent_stream_says_that_it_lives(annolog: Served, soon: None) -> None:
    del soon
    async with following(annolog.port) as stream:
        await begun(stream)
        for _ in range(3):
            comment = await stream.event(comments=True)
            assert (comment.id, comment.name, comment.data) == (None, None, None)


async def test_streams_end_now_and_then_so_that_callers_show_who_they_are(
    annolog: Served, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del soon
    monkeypatch.setattr(stream_api, "MAX_AGE", 0.2)
    async with following(annolog.port) as stream:
        await begun(stream)
        await stream.end()


async def test_a_stream_outlives_its_database(
    annolog: Served,
    soon: None,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del soon
    monkeypatch.setattr(feed_module, "RETRY_SECONDS", 0.1)
    async with following(annolog.port) as stream:
        await begun(stream)
        postgres_server.kill()
        await stream.event(comments=True)
        async with following(annolog.port) as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"]
        # In this thread: the server ends with the thread that started it.
        postgres_server.start()
        async with asyncio.timeout(30):
            while True:
                answer = await annolog.client.post(
                    "/annolog/v1/annotations",
                    json={"targets": ["exposure:LSSTCam/2026111900001"], "text": "x"},
                )
                if answer.status_code == 201:
                    break
                await asyncio.sleep(0.1)
        (sent,) = await stream.changes(1)
        assert sent.id == answer.json()["origin_number"]


async def test_who_leaves_is_gone_at_once(annolog: Served) -> None:
    seats = annolog.runtime.feed.seats
    async with following(annolog.port) as one, following(annolog.port) as other:
        await begun(one)
        await begun(other)
        assert len(seats) == 2
    await until(lambda: not seats)


async def test_who_takes_nothing_is_dropped_and_holds_nobody_up(
    annolog: Served, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del soon
    monkeypatch.setattr("annolog.stream.seats.Seats.drop_stuck", _impatient)
    text = "x" * 60_000
    async with following(annolog.port) as slow, following(annolog.port) as quick:
        first = await begun(slow)
        await begun(quick)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        numbers: list[int] = []
        async with asyncio.timeout(60):
            while not annolog.runtime.feed.seats.dropped:
                numbers.append(await annolog.say(len(numbers) % 900 + 1, text=text))
                assert (await quick.changes(1))[0].id == numbers[-1]
        assert numbers[0] == first + 1
        metrics = (await annolog.client.get("/metrics")).text.splitlines()
    assert "annolog_streams_dropped_total 1.0" in metrics
    assert "annolog_streams_open 1.0" in metrics
    events = next(m for m in metrics if m.startswith("annolog_stream_events_total"))
    assert float(events.split()[1]) >= len(numbers)
    # It comes back for the rest, which is still there.
    headers = {"Last-Event-ID": str(first)}
    async with following(annolog.port, headers=headers) as back:
        await begun(back)
        assert [one.id for one in await back.changes(len(numbers))] == numbers


_drop_stuck = Seats.drop_stuck


def _impatient(seats: Seats, now: float, patience: float = 2.0) -> None:
    _drop_stuck(seats, now, patience)


async def test_there_are_only_so_many(annolog: Served) -> None:
    annolog.runtime.feed.seats._most = 1
    async with following(annolog.port) as stream:
        await begun(stream)
        async with following(annolog.port) as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == str(stream_api.RETRY_AFTER)
            assert json.loads(await refused.body())["code"] == "too_many_streams"


async def test_all_that_wait_end_in_order_when_the_service_stops(
    annolog: Served,
) -> None:
    head = await annolog.say(1)
    async with following(annolog.port) as stream:
        await begun(stream)
        waiting = asyncio.create_task(
            annolog.client.get(CHANGES, params={"after": head, "wait": 25})
        )
        await asyncio.sleep(0.3)
        ended = annolog.stop()
        await stream.end()
        answer = await waiting
        assert answer.json() == {"items": [], "head": head, "next_after": head}
        assert answer.headers["connection"] == "close"
    async with asyncio.timeout(10):
        await asyncio.shield(ended)


async def test_a_kept_connection_is_answered_once_more_while_the_service_stops(
    annolog: Served,
) -> None:
    client = annolog.client
    assert "connection" not in (await client.get("/health/live")).headers
    # One that is open and has never asked anything must be heard too.
    reader, writer = await asyncio.open_connection("127.0.0.1", annolog.port)
    ended = annolog.stop()
    await until(lambda: annolog.runtime.feed.closed)
    answer = await client.get(CHANGES)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"200"
    with pytest.raises(httpx.ConnectError):
        await client.get(CHANGES)
    writer.close()
    await asyncio.shield(ended)


async def test_a_stream_that_ended_is_one_line_of_the_access_log(
    annolog: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", ACCESS)
    written: list[AccessLine] = []
    monkeypatch.setattr(observe, "write_access", written.append)

    def of_streams() -> list[AskedFor]:
        asked = [line.http_request for line in written]
        return [one for one in asked if one.request_url == "/annolog/v1/stream"]

    async with following(annolog.port) as stream:
        await begun(stream)
        assert not of_streams()
    await until(of_streams)
    (line,) = of_streams()
    assert line.status == 200
    assert line.response_size > 50


async def test_a_head_request_opens_no_stream(annolog: Served) -> None:
    async with following(annolog.port, method="HEAD") as answer:
        assert answer.status == 405
    assert not annolog.runtime.feed.seats


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=1&after=2", "brief=maybe", "instrumnt=x"]
)
async def test_what_is_out_of_bounds_is_refused(annolog: Served, query: str) -> None:
    answer = await annolog.client.get(f"/annolog/v1/stream?{query}")
    assert answer.status_code == 422
    assert re.match(r"\?(after|brief|instrumnt)", answer.json()["errors"][0]["pointer"])
