"""The worked example of the documentation, killed again and again.

Everything is real: the service, the relay, the broker, and the example as a process.
"""

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from annolog.stream.batches import batches
from annolog.stream.consume import Until, follow
from annolog.stream.over_http import RefusedError, changes, snapshot
from annolog.stream.positions import Position
from annolog.stream.topics import Access, Topics
from tests.support.junk_exposures import Example, Row, Speaker, row_of
from tests.support.marked import wait_for
from tests.support.relay import RelayProcess
from tests.support.served import ServiceProcess

KILLS = 8


@pytest.fixture
def prefix() -> str:
    return f"example.{time.time_ns()}"


@pytest.fixture
def speaker(
    database_url: str, kafka_bootstrap: str, prefix: str, tmp_path: Path
) -> Iterator[Speaker]:
    """Give somebody who speaks to a running service, with a relay behind it."""
    with ServiceProcess(database_url, tmp_path / "service") as service:
        relay = RelayProcess(
            database_url, kafka_bootstrap, prefix, tmp_path / "relay.log"
        )
        relay.start()
        try:
            relay.wait_for("goes on after change")
            one = Speaker(service.url, seed=7)
            yield one
            one.http.close()
        finally:
            relay.clean()


@pytest.fixture
def example(tmp_path: Path, kafka_bootstrap: str, prefix: str) -> Iterator[Example]:
    one = Example(tmp_path, kafka_bootstrap, prefix)
    yield one
    one.clean()


class Watcher(threading.Thread):
    """Looks at the example's table all the time, as whoever sends alerts does."""

    def __init__(self, example: Example) -> None:
        super().__init__(daemon=True)
        self._example = example
        self._over = threading.Event()
        self.saw: dict[str, tuple[dict[str, Row], Position, bool]] = {}

    @override
    def run(self) -> None:
        while not self._over.wait(0.005):
            rows, position, caught_up = self._example.table()
            self.saw[position.to_json()] = rows, position, caught_up

    def end(self) -> None:
        self._over.set()
        self.join(20)


def folded(bootstrap: str, prefix: str, position: Position) -> dict[str, Row]:
    """Give what the topic says is junk up to a position."""
    topic = Topics.named(prefix).targets
    held: dict[str, Row] = {}
    for one in recorded(bootstrap, topic):
        if one[0] < position.places[one[1]].offset:
            state = json.loads(one[3]) if one[3] else None
            held.pop(one[2], None)
            if state and state["flag"] == "junk":
                held[one[2]] = row_of(state)
    return held


_records: dict[str, list[tuple[int, int, str, bytes | None]]] = {}


def recorded(bootstrap: str, topic: str) -> list[tuple[int, int, str, bytes | None]]:
    """Give offset, partition, key and value of all that a topic holds."""
    if topic not in _records:
        access = Access(bootstrap)
        _records[topic] = [
            (one.offset, one.partition, one.event.key, one.event.data)
            for one in follow(access, topic, until=Until(end=True), dedupe=False)
        ]
    return _records[topic]


def test_the_table_is_always_what_was_said_though_its_keeper_is_killed(
    speaker: Speaker, example: Example, kafka_bootstrap: str, prefix: str
) -> None:
    example.start()
    watcher = Watcher(example)
    watcher.start()
    for kill in range(KILLS):
        _, stood, _ = example.table()
        if kill % 3:
            # At work: it has stored something since it was started.
            deadline = time.monotonic() + 30
            while example.table()[1] == stood:
                assert time.monotonic() < deadline, example.said()
                speaker.speak()
        ends = time.monotonic() + speaker.dice.uniform(0, 1)
        while time.monotonic() < ends:
            speaker.speak()
        assert example.end(signal.SIGKILL) == -signal.SIGKILL
        for _ in range(speaker.dice.randrange(5)):
            speaker.speak()
        example.start()
    # One more that it stores itself: before that it may not have begun.
    stood = example.table()[1]
    speaker.speak()
    expected = speaker.junk()
    wait_for(
        lambda: example.table()[0] == expected and example.table()[1] != stood,
        30,
        example.said,
    )
    assert example.end(signal.SIGTERM) == 0
    watcher.end()
    assert expected
    assert "Traceback" not in example.said()
    # At every moment the rows were what the topic says up to the position beside them.
    seen = [one for one in watcher.saw.values() if one[1] != Position()]
    assert len(seen) > KILLS
    for rows, position, _ in seen:
        assert rows == folded(kafka_bootstrap, prefix, position)
    # And it went on where it was: the topic was read from its beginning but once.
    assert "is read from the beginning" not in example.said()


def test_the_example_runs_once_and_begins_with_a_snapshot(
    speaker: Speaker, example: Example
) -> None:
    for _ in range(60):
        speaker.speak()
    service = str(speaker.http.base_url).removesuffix("/annolog/v1/")
    for _ in range(2):
        example.start("--once", "--service", service)
        assert example.wait() == 0, example.said()
        wait_for(lambda: example.table()[0] == speaker.junk(), 5, example.said)
        for _ in range(5):
            speaker.speak()
        # One that runs once sees what the relay has sent by then.
        time.sleep(1)
    assert example.said().count("caught up") == 2


def test_the_log_is_read_over_http_and_kafka_in_turns(
    speaker: Speaker, kafka_bootstrap: str, prefix: str
) -> None:
    topic = Topics.named(prefix).changes
    access = Access(kafka_bootstrap)
    service = httpx.Client(base_url=str(speaker.http.base_url).partition("/annolog")[0])
    position = Position()
    ids: list[str] = []
    with service:
        for turn in range(6):
            for _ in range(15):
                speaker.speak()
            if turn % 2:
                read = list(changes(service, position, until=Until(end=True)))
            else:
                wait_for(lambda: _published(access, topic) == speaker.head())
                read = list(batches(access, topic, position, until=Until(end=True)))
            ids += [event.id for batch in read for event in batch.events]
            position = Position.from_json(read[-1].position.to_json())
        assert position.upto == speaker.head()
        whole = list(changes(service, until=Until(end=True)))
    everything = [event.id for batch in whole for event in batch.events]
    assert len(ids) == len(set(ids)) == speaker.head()
    assert set(ids) == set(everything)
    in_topic = {
        one.event.id: one.event for one in follow(access, topic, until=Until(end=True))
    }
    # Whole events are the same, to the byte.
    for batch in whole:
        for event in batch.events:
            if event.id in in_topic:
                assert in_topic[event.id] == event


def _published(access: Access, topic: str) -> int:
    numbers = [one.event.number for one in follow(access, topic, until=Until(end=True))]
    return max(numbers, default=0)


def test_a_snapshot_and_what_follows_it_are_the_states(
    speaker: Speaker,
    kafka_bootstrap: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("annolog.stream.over_http.PAGE", 7)
    for _ in range(80):
        speaker.speak()
    held: dict[str, int] = {}
    url = str(speaker.http.base_url).partition("/annolog")[0]
    positions = []
    with httpx.Client(base_url=url) as service:
        for batch in snapshot(service, target_kind="exposure"):
            positions.append(batch.position)
            for event in batch.events:
                assert event.key not in held
                held[event.key] = event.number
            # Statements go on while the pages are read.
            for _ in range(5):
                speaker.speak()
    assert len(positions) > 3
    assert all(position == Position() for position in positions[:-1])
    floor = positions[-1].floor
    assert max(held.values()) <= floor
    wait_for(
        lambda: (
            _published(Access(kafka_bootstrap), Topics.named(prefix).changes)
            == speaker.head()
        )
    )
    read = batches(
        Access(kafka_bootstrap),
        Topics.named(prefix).targets,
        positions[-1],
        until=Until(end=True),
    )
    for batch in read:
        assert not batch.begins
        for event in batch.events:
            assert event.number > floor
            held.pop(event.key, None)
            if event.data is not None:
                held[event.key] = event.number
    listed = speaker.http.get("/targets", params={"limit": 1000, "order": "number"})
    assert held == {row["key"]: row["number"] for row in listed.json()["items"]}


def test_a_service_that_refuses_says_so_and_one_that_is_away_is_waited_for() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, text="who are you?", request=request)

    with (
        httpx.Client(
            base_url="http://test", transport=httpx.MockTransport(refuse)
        ) as http,
        pytest.raises(RefusedError, match="401: who are you"),
    ):
        list(changes(http))
    answers = iter([503, 429, 200])

    def recover(request: httpx.Request) -> httpx.Response:
        content = b'{"items":[],"head":0,"next_after":0}'
        return httpx.Response(next(answers), content=content, request=request)

    with httpx.Client(
        base_url="http://test", transport=httpx.MockTransport(recover)
    ) as http:
        (batch,) = changes(http, until=Until(end=True))
    assert batch.arrives
