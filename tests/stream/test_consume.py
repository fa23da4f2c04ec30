"""Readers of the topics, against a real broker."""

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from annolog.cli.consume import consume
from annolog.domain.events import (
    Event,
    LoggedChange,
    LoggedState,
    change_detail,
    change_event,
    state_event,
)
from annolog.domain.states import TargetState
from annolog.stream.consume import Received, Seen, Until, follow
from annolog.stream.topics import (
    Access,
    BrokerAwayError,
    TopicError,
    Topics,
    ensure,
)
from tests.support.kafka import KafkaServer

NIGHT = datetime(2026, 11, 20, 3, 12, 0, tzinfo=UTC)
END = Until(end=True)
_prefixes = count()


def a_change(
    number: int, *, incarnation: str = "0a1b2c3d", flag: str = "junk"
) -> Event:
    return change_event(
        LoggedChange(
            number,
            UUID(int=number),
            "revision",
            "create",
            str(UUID(int=number // 3)),
            ("LSSTCam",),
            change_detail(
                number=number,
                body_bytes=100,
                actor={"id": "jdoe", "kind": "human"},
                added=[
                    "exposure:LSSTCam/1",
                    *(f"exposure:LSSTCam/{n}" for n in "2345"),
                ],
                count=5,
            ),
            json.dumps(
                {"author": "jdoe", "flag": flag, "tags": ["donuts"], "text": "a\nb"}
            ).encode(),
            NIGHT,
            "summit",
            incarnation,
        )
    )


def a_state(
    number: int, key: str = "exposure:LSSTCam/1", *, empty: bool = False
) -> Event:
    state = TargetState(
        key=key, kind="exposure", number=number, site_id="summit", flag="junk", notes=2
    )
    return state_event(LoggedState(state, empty, NIGHT, "0a1b2c3d"))


@pytest.fixture
def prefix() -> str:
    return f"consume{next(_prefixes)}.{time.time_ns()}"


@pytest.fixture
def topics(kafka_bootstrap: str, prefix: str) -> Topics:
    named = Topics.named(prefix)
    ensure(Access(kafka_bootstrap), named)
    return named


@pytest.fixture
def access(kafka_bootstrap: str) -> Access:
    return Access(kafka_bootstrap)


@pytest.fixture
def producer(kafka_bootstrap: str) -> Iterator[KafkaProducer]:
    one = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    yield one
    one.close(timeout=2)


def send(producer: KafkaProducer, topic: str, *events: Event) -> None:
    for event in events:
        producer.send(
            topic, key=event.key.encode(), value=event.data, headers=event.headers()
        )
    producer.flush(10)


def numbers(received: list[Received]) -> list[int]:
    return sorted(one.event.number for one in received)


def test_a_reader_sees_each_change_once_though_it_was_sent_again(
    producer: KafkaProducer, topics: Topics, access: Access
) -> None:
    sent = [a_change(n) for n in range(1, 31)]
    send(producer, topics.changes, *sent, *sent[10:], *sent[20:])
    received = list(follow(access, topics.changes, until=END))
    assert numbers(received) == list(range(1, 31))
    assert {one.event.id: one.event for one in received} == {e.id: e for e in sent}
    again = list(follow(access, topics.changes, until=END, dedupe=False))
    assert len(again) == 60


def test_a_new_life_of_the_database_is_another_source() -> None:
    seen = Seen()
    assert seen.is_new(a_change(9), 0)
    assert not seen.is_new(a_change(9), 0)
    assert not seen.is_new(a_change(8), 0)
    assert seen.is_new(a_change(8), 1)
    assert seen.is_new(a_change(8, incarnation="ffffffff"), 0)


def test_states_of_one_change_are_told_apart_by_key() -> None:
    seen = Seen()
    assert seen.is_new(a_state(7, "exposure:A/1"), 0)
    assert seen.is_new(a_state(7, "exposure:A/2"), 0)
    assert seen.is_new(a_state(3, "exposure:A/3"), 0)
    assert not seen.is_new(a_state(7, "exposure:A/2"), 0)
    assert not seen.is_new(a_state(6, "exposure:A/2", empty=True), 0)


def test_a_reader_may_begin_with_a_number_or_now(
    producer: KafkaProducer, topics: Topics, access: Access
) -> None:
    send(producer, topics.changes, *(a_change(n) for n in range(1, 11)))
    from_seven = list(follow(access, topics.changes, start=7, until=END))
    assert numbers(from_seven) == [7, 8, 9, 10]
    assert not list(follow(access, topics.changes, start="now", until=END))
    assert not list(
        follow(access, topics.changes, start="now", until=Until(seconds=0.3))
    )


def test_what_is_no_event_is_passed_over(
    producer: KafkaProducer, topics: Topics, access: Access
) -> None:
    producer.send(topics.changes, b"hello", key=b"x")
    send(producer, topics.changes, a_change(1))
    assert numbers(list(follow(access, topics.changes, until=END))) == [1]


def test_an_unfinished_transaction_is_not_seen(
    kafka_bootstrap: str, topics: Topics, access: Access
) -> None:
    one = KafkaProducer(
        bootstrap_servers=kafka_bootstrap, transactional_id=topics.changes
    )
    one.init_transactions()
    one.begin_transaction()
    send(one, topics.changes, a_change(1))
    assert not list(follow(access, topics.changes, until=END))
    one.abort_transaction()
    one.begin_transaction()
    send(one, topics.changes, a_change(2))
    one.commit_transaction()
    assert numbers(list(follow(access, topics.changes, until=END))) == [2]
    one.close(timeout=2)


# The client drops sockets of failed attempts without closing them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_broker_that_goes_away_makes_a_pause(
    kafka_server: KafkaServer, topics: Topics, access: Access
) -> None:
    def produce(first: int) -> None:
        producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
        send(producer, topics.changes, *(a_change(n) for n in range(first, first + 20)))
        producer.close(timeout=2)

    await asyncio.to_thread(produce, 1)
    received: list[Received] = []

    def read() -> None:
        for one in follow(access, topics.changes, until=Until(seconds=60)):
            received.append(one)
            if len(received) == 40:
                return

    reading = asyncio.create_task(asyncio.to_thread(read))
    while len(received) < 20:  # noqa: ASYNC110 - the reader is a thread
        await asyncio.sleep(0.05)
    kafka_server.kill()
    await asyncio.sleep(1)
    # In this thread: the broker ends with the thread that started it.
    kafka_server.start()
    await asyncio.to_thread(produce, 21)
    await reading
    gc.collect()
    assert numbers(received) == list(range(1, 41))


def test_an_unknown_topic_is_said_in_one_line(access: Access) -> None:
    with pytest.raises(TopicError, match=r"^there is no topic nowhere\.changes at"):
        next(follow(access, "nowhere.changes"))


def test_an_absent_broker_is_said_in_one_line() -> None:
    with pytest.raises(BrokerAwayError, match=r"^no Kafka broker answers at"):
        next(follow(Access("127.0.0.1:1"), "lsst.annolog.changes"))


def run(*arguments: str, bootstrap: str, prefix: str) -> tuple[int, list[str]]:
    environment = {
        "ANNOLOG_KAFKA_BOOTSTRAP": bootstrap,
        "ANNOLOG_KAFKA_TOPIC_PREFIX": prefix,
    }
    result = CliRunner().invoke(consume, arguments, env=environment)
    return result.exit_code, result.output.splitlines()


def test_the_command_tells_a_change_in_one_line(
    producer: KafkaProducer, topics: Topics, kafka_bootstrap: str, prefix: str
) -> None:
    send(producer, topics.changes, a_change(1024))
    code, lines = run(
        "--from", "beginning", "--max", "1", bootstrap=kafka_bootstrap, prefix=prefix
    )
    assert code == 0
    (line,) = lines
    assert line.split("  ") == [
        "2026-11-20T03:12:00.000Z",
        "#1024",
        "annotation.created",
        "by jdoe",
        "junk",
        "[donuts]",
        "exposure:LSSTCam/1 exposure:LSSTCam/2 exposure:LSSTCam/3 +2",
        "a b",
    ]


def test_the_command_tells_states_and_tombstones(
    producer: KafkaProducer, topics: Topics, kafka_bootstrap: str, prefix: str
) -> None:
    send(producer, topics.targets, a_state(5), a_state(6, empty=True))
    code, lines = run(
        *("--topic", "targets", "--from", "0", "--timeout", "1"),
        bootstrap=kafka_bootstrap,
        prefix=prefix,
    )
    assert code == 0
    assert [line.split("  ")[1:] for line in lines] == [
        ["#5", "target.changed", "exposure:LSSTCam/1", "junk", "2 notes"],
        ["#6", "target.emptied", "exposure:LSSTCam/1"],
    ]


def test_the_command_gives_events_as_json(
    producer: KafkaProducer, topics: Topics, kafka_bootstrap: str, prefix: str
) -> None:
    send(producer, topics.changes, a_change(1))
    _, lines = run(
        *("--from", "1", "--json", "--max", "1"),
        bootstrap=kafka_bootstrap,
        prefix=prefix,
    )
    assert [json.loads(line) for line in lines] == [
        json.loads(a_change(1).structured())
    ]


@pytest.mark.parametrize(
    ("arguments", "bootstrap", "expected", "words"),
    [
        ((), "", 2, "ANNOLOG_KAFKA_BOOTSTRAP is not set"),
        ((), "127.0.0.1:1", 1, "no Kafka broker answers at 127.0.0.1:1"),
        (("--from", "-3"), "127.0.0.1:1", 2, "none of: beginning, now"),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: tuple[str, ...], bootstrap: str, expected: int, words: str
) -> None:
    code, lines = run(*arguments, bootstrap=bootstrap, prefix="lsst.annolog")
    assert code == expected
    assert words in lines[-1]
