"""The consumer kit against a real broker: nothing is lost and nothing comes twice."""

import contextlib
import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from typing_extensions import override

from annolog.domain.errors import MalformedError
from annolog.domain.events import (
    Event,
    LoggedChange,
    LoggedState,
    change_detail,
    change_event,
    state_event,
)
from annolog.domain.states import TargetState
from annolog.stream.batches import Batch, batches
from annolog.stream.consume import Until
from annolog.stream.positions import Place, Position, PositionError, partition_of
from annolog.stream.topics import Access, TopicError, Topics, ensure
from tests.support import log
from tests.support.kafka import KafkaServer

ALL = Until(end=True)
LIFE, NEXT_LIFE = "0a1b2c3d", "ffffffff"
_prefixes = count()


def a_change(number: int, *, life: str = LIFE) -> Event:
    detail = change_detail(number=number, body_bytes=2, count=1)
    return change_event(
        LoggedChange(
            number,
            log.revision_id(number),
            "revision",
            "create",
            str(log.annotation_id(number)),
            ("LSSTCam",),
            detail,
            b"{}",
            log.NIGHT,
            log.SITE_ID,
            life,
        )
    )


def a_state(
    number: int, key: str = "exposure:LSSTCam/1", *, empty: bool = False
) -> Event:
    state = TargetState(
        key=key, kind="exposure", number=number, site_id="summit", flag="junk", notes=1
    )
    return state_event(LoggedState(state, empty, log.NIGHT, LIFE))


class Broker:
    """What a test does to topics behind a reader's back."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.access = Access(bootstrap)
        self.topics = Topics.named(prefix)
        ensure(self.access, self.topics)
        self._bootstrap = bootstrap

    def send(self, topic: str, *events: Event) -> None:
        records = [(e.key.encode(), e.data, e.headers()) for e in events]
        self.send_raw(topic, records)

    def send_raw(
        self,
        topic: str,
        records: Sequence[tuple[bytes, bytes | None, list[tuple[str, bytes]]]],
        partition: int | None = None,
    ) -> None:
        producer = KafkaProducer(bootstrap_servers=self._bootstrap)
        for key, value, headers in records:
            producer.send(
                topic, key=key, value=value, headers=headers, partition=partition
            )
        producer.flush(10)
        producer.close(timeout=2)

    @contextlib.contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        yield admin
        admin.close()

    def make_anew(self, topic: str) -> None:
        with self.admin() as admin:
            admin.delete_topics([topic])
            deadline = time.monotonic() + 20
            while topic in admin.list_topics():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        ensure(self.access, self.topics)

    def read(self, topic: str, position: Position | None = None) -> list[Batch]:
        return list(batches(self.access, topic, position, until=ALL))


@pytest.fixture
def prefix() -> str:
    return f"kit{next(_prefixes)}.{time.time_ns()}"


@pytest.fixture
def broker(kafka_bootstrap: str, prefix: str) -> Broker:
    return Broker(kafka_bootstrap, prefix)


def numbers(read: Sequence[Batch]) -> list[int]:
    return sorted(event.number for batch in read for event in batch.events)


def stored(position: Position) -> Position:
    """Give a position as it comes out of a database."""
    return Position.from_json(position.to_json())


# ------------------------------------------------------------------ positions


def test_a_position_is_stored_as_text() -> None:
    position = Position("t.changes", "id", {0: Place(9, 8, "x", {"urn:a": 7})}, 3, 5)
    assert stored(position) == position
    assert stored(Position()) == Position()
    with pytest.raises(MalformedError, match="no position"):
        Position.from_json('{"topic": 3}')


def test_a_position_of_six_partitions_is_small() -> None:
    position = Position("lsst.annolog.changes", "0" * 36)
    for number in range(100):
        event = a_change(10**9 + number)
        position = position.past(event, partition_of(event.key, 6), 10**9 + number)
    assert len(position.to_json()) < 1200


def test_changes_are_had_by_source_and_partition() -> None:
    position = Position().past(a_change(9), 0, 4)
    assert position.had(a_change(9), 0)
    assert position.had(a_change(8), 0)
    assert not position.had(a_change(10), 0)
    assert not position.had(a_change(8), 1)
    assert not position.had(a_change(8, life=NEXT_LIFE), 0)


def test_what_came_over_http_was_had_in_every_life_and_partition() -> None:
    position = Position(floor=1_000_000_007).past(a_change(9), 0, 4)
    assert position.had(a_change(4711), 3)
    assert position.had(a_change(1_000_000_007, life=NEXT_LIFE), 2)
    assert not position.had(a_change(1_000_000_008, life=NEXT_LIFE), 2)


def test_states_sent_anew_count_once_the_snapshot_is_passed() -> None:
    position = Position(floor=7)
    assert position.had(a_state(7), 0)
    assert position.had(a_state(5), 0)
    above = position.past(a_state(8), 0, 1)
    assert not above.had(a_state(5), 0)
    assert above.had(a_state(5), 1)


def test_offsets_are_given_up_once_http_has_told_all_that_they_stand_for() -> None:
    position = Position("t.changes", "id").past(a_change(9), 0, 4)
    assert position.read_over_http(8, 5) == replace(position, floor=8, at=5)
    assert position.read_over_http(9, 5) == Position(floor=9, at=5)


# ------------------------------------------------------------------ resuming


def test_a_reader_goes_on_after_each_batch_that_it_stored(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 101)))
    position = Position()
    seen: list[int] = []
    while len(seen) < 100:
        reading = batches(broker.access, topic, position, most=7, until=ALL)
        # Whatever it reads ahead is lost with it, as when a process is killed.
        for batch in islice(reading, 3):
            seen += [event.number for event in batch.events]
            position = stored(batch.position)
        reading.close()
    assert sorted(seen) == list(range(1, 101))
    (last,) = broker.read(topic, position)
    assert not last.events
    assert last.arrives
    broker.send(topic, a_change(101))
    assert numbers(broker.read(topic, position)) == [101]


def test_a_batch_that_was_not_stored_comes_again(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 31)))
    first = broker.read(topic)
    again = broker.read(topic)
    assert numbers(first) == numbers(again) == list(range(1, 31))
    assert first[-1].position == again[-1].position


@pytest.mark.parametrize("order", ["as they were", "with others before them"])
def test_a_topic_made_anew_is_read_without_what_was_had(
    broker: Broker, order: str
) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 31)))
    position = broker.read(topic)[-1].position
    broker.make_anew(topic)
    if order != "as they were":
        broker.send_raw(topic, [(b"?", b"?", [])] * 50)
    broker.send(topic, *(a_change(n) for n in range(1, 41)))
    read = broker.read(topic, stored(position))
    assert numbers(read) == list(range(31, 41))
    assert numbers(broker.read(topic, read[-1].position)) == []


def test_a_mirror_that_repeats_itself_is_read_without_what_was_had(
    broker: Broker, kafka_bootstrap: str, prefix: str
) -> None:
    sent = [a_change(n) for n in range(1, 31)]
    broker.send(broker.topics.changes, *sent)
    position = broker.read(broker.topics.changes)[-1].position
    mirror = Broker(kafka_bootstrap, f"summit.{prefix}")
    more = [a_change(n) for n in range(31, 36)]
    mirror.send(mirror.topics.changes, *sent[10:], *more, *more[2:], *more[3:])
    assert numbers(mirror.read(mirror.topics.changes, position)) == [31, 32, 33, 34, 35]


def test_another_record_where_the_last_one_was_means_another_topic(
    broker: Broker,
) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 31)))
    position = broker.read(topic)[-1].position
    # As after a restored broker: the topic's id is the same.
    old = {
        number: replace(place, last_id="another", numbers={})
        for number, place in position.places.items()
    }
    read = broker.read(topic, replace(position, places=old))
    assert numbers(read) == list(range(1, 31))


def test_a_topic_made_anew_under_a_reader_is_read_on(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 61)))
    reading = batches(broker.access, topic, until=Until(seconds=90))
    seen: list[int] = []
    while len(seen) < 60:
        seen += [event.number for event in next(reading).events]
    broker.make_anew(topic)
    broker.send(topic, *(a_change(n) for n in range(58, 64)))
    while len(seen) < 63:
        seen += [event.number for event in next(reading).events]
    reading.close()
    assert sorted(seen) == list(range(1, 64))


def test_a_new_life_of_the_database_goes_on_in_the_same_topic(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 21)))
    position = broker.read(topic)[-1].position
    first = 1_000_000_000
    new = [a_change(n, life=NEXT_LIFE) for n in range(first, first + 20)]
    # What is late of the old life was had.
    broker.send(topic, *new[:10], a_change(20), *new[10:])
    assert numbers(broker.read(topic, position)) == list(range(first, first + 20))


def test_changes_that_retention_removed_unread_are_told(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 31)))
    position = broker.read(topic)[-1].position
    broker.send(topic, *(a_change(n) for n in range(31, 61)))
    now = broker.read(topic)[-1].position
    ends = {
        TopicPartition(topic, number): place.offset
        for number, place in now.places.items()
    }
    with broker.admin() as admin:
        admin.delete_records(ends)
    with pytest.raises(PositionError, match=r"/changes\?after=\d+\), then come back"):
        broker.read(topic, position)
    over_http = position.read_over_http(60, position.at)
    broker.send(topic, a_change(61))
    assert numbers(broker.read(topic, over_http)) == [61]


def test_a_position_among_states_says_nothing_of_changes(broker: Broker) -> None:
    broker.send(broker.topics.targets, a_state(1))
    position = broker.read(broker.topics.targets)[-1].position
    with pytest.raises(PositionError, match="says nothing of the changes"):
        broker.read(broker.topics.changes, position)


# -------------------------------------------------------------------- states


def test_states_are_read_from_the_beginning_then_followed(broker: Broker) -> None:
    topic = broker.topics.targets
    broker.send(topic, *(a_state(n, f"exposure:A/{n % 10}") for n in range(1, 41)))
    read = broker.read(topic)
    assert [batch.begins for batch in read] == [True] + [False] * (len(read) - 1)
    assert [b.arrives for b in read] == [False] * (len(read) - 1) + [True]
    assert numbers(read) == list(range(1, 41))
    broker.send(topic, a_state(41, "exposure:A/1", empty=True))
    later = broker.read(topic, stored(read[-1].position))
    assert not any(batch.begins for batch in later)
    (event,) = (event for batch in later for event in batch.events)
    assert (event.key, event.body(), event.number) == ("exposure:A/1", None, 41)


def test_states_sent_anew_in_place_are_given_again(broker: Broker) -> None:
    topic = broker.topics.targets
    broker.send(topic, a_state(1, "exposure:A/1"), a_state(5, "exposure:A/2"))
    position = broker.read(topic)[-1].position
    broker.send(topic, a_state(1, "exposure:A/1"), a_state(5, "exposure:A/2"))
    assert numbers(broker.read(topic, position)) == [1, 5]


def test_a_topic_of_states_made_anew_begins_again(broker: Broker) -> None:
    topic = broker.topics.targets
    broker.send(topic, *(a_state(n, f"exposure:A/{n}") for n in range(1, 21)))
    position = broker.read(topic)[-1].position
    broker.make_anew(topic)
    broker.send(topic, *(a_state(n, f"exposure:A/{n}") for n in range(3, 12)))
    read = broker.read(topic, position)
    assert read[0].begins
    assert numbers(read) == list(range(3, 12))


def test_a_reader_away_for_as_long_as_tombstones_are_kept_begins_again(
    broker: Broker,
) -> None:
    topic = broker.topics.targets
    broker.send(topic, a_state(1), a_state(2))
    position = broker.read(topic)[-1].position
    weeks = replace(position, at=position.at - 14 * 86_400_000)
    read = broker.read(topic, weeks)
    assert read[0].begins
    assert numbers(read) == [1, 2]
    assert numbers(broker.read(topic, position)) == []


def test_an_empty_topic_is_caught_up_at_once(broker: Broker) -> None:
    (batch,) = broker.read(broker.topics.targets)
    assert batch.begins
    assert batch.caught_up
    assert not batch.events


# ----------------------------------------------------------- what cannot be read


def test_what_cannot_be_read_is_counted_and_passed_over(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = broker.topics.changes
    good = a_change(1)
    later = Event(
        {
            **good.attributes,
            "type": "org.lsst.annolog.annotation.created.v2",
            "dataschema": "urn:annolog:schema:change:2",
        },
        good.key,
        b'{"schema_version": 2}',
    )
    torn = Event({**a_change(2).attributes}, good.key, b'{"number": ')
    broker.send_raw(topic, [(b"?", b"?", [])] * 3, partition=0)
    broker.send(topic, later, torn, good)
    with caplog.at_level(logging.WARNING, "annolog.consume"):
        read = broker.read(topic)
    assert numbers(read) == [1]
    assert sum(batch.passed_over for batch in read) == 5
    said = "\n".join(caplog.messages)
    assert "passed over 3 of" in said
    assert "schema urn:annolog:schema:change:2, which this version does not" in said


def test_an_unfinished_transaction_is_waited_for(
    broker: Broker, kafka_bootstrap: str
) -> None:
    topic = broker.topics.targets
    one = KafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic)
    one.init_transactions()
    one.begin_transaction()
    event = a_state(1)
    one.send(topic, event.data, key=event.key.encode(), headers=event.headers())
    one.flush(10)
    (batch,) = broker.read(topic)
    assert not batch.events
    one.commit_transaction()
    one.close(timeout=2)
    assert numbers(broker.read(topic, batch.position)) == [1]


# ------------------------------------------------------------ going and stopping


class Reading(threading.Thread):
    """A reader in a thread of its own, as a service has it."""

    def __init__(self, access: Access, topic: str) -> None:
        super().__init__(daemon=True)
        self._access, self._topic = access, topic
        self.stop = threading.Event()
        self.seen: list[int] = []
        self.start()

    @override
    def run(self) -> None:
        for batch in batches(self._access, self._topic, stop=self.stop):
            self.seen += [event.number for event in batch.events]

    def wait_for(self, enough: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while len(self.seen) < enough:
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.02)

    def end(self) -> None:
        self.stop.set()
        self.join(20)
        assert not self.is_alive()


# The client drops sockets of failed attempts without closing them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_broker_that_goes_away_makes_a_pause(
    kafka_server: KafkaServer, broker: Broker
) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 21)))
    reading = Reading(broker.access, topic)
    reading.wait_for(20)
    kafka_server.kill()
    late = Reading(broker.access, topic)
    time.sleep(3)
    kafka_server.start()
    broker.send(topic, *(a_change(n) for n in range(21, 41)))
    reading.wait_for(40)
    late.wait_for(40)
    # Stopping needs no broker.
    kafka_server.freeze()
    reading.end()
    late.end()
    kafka_server.thaw()
    gc.collect()
    assert sorted(reading.seen) == sorted(late.seen) == list(range(1, 41))


def test_a_reader_ends_on_request_and_when_nothing_comes(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, a_change(1))
    reading = Reading(broker.access, topic)
    reading.wait_for(1)
    reading.end()
    read = list(batches(broker.access, topic, until=Until(idle=0.3)))
    assert numbers(read) == [1]
    assert not list(batches(Access("127.0.0.1:1"), topic, until=Until(seconds=0.1)))


def test_a_topic_that_is_not_there_is_an_error(broker: Broker) -> None:
    with pytest.raises(TopicError, match=r"^there is no topic nowhere\.changes at"):
        broker.read("nowhere.changes")


def test_a_key_decides_the_partition_as_the_broker_has_it(broker: Broker) -> None:
    topic = broker.topics.changes
    broker.send(topic, *(a_change(n) for n in range(1, 61)))
    position = broker.read(topic)[-1].position
    for number in range(1, 61):
        event = a_change(number)
        place = position.places[partition_of(event.key, 6)]
        assert place.number >= number
    assert {place.number for place in position.places.values()} >= {60}


# --------------------------------------------------------------- as documented


def test_the_recipe_of_the_documentation_runs(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs/events.md").read_text()
    recipe = text.split("```python\n", 1)[1].split("```", 1)[0]
    broker.send(broker.topics.targets, a_state(1), a_state(2, empty=True))
    kept: dict[str, str] = {}
    applied: list[Event] = []
    database = contextlib.nullcontext()
    seen: Callable[..., Iterator[Batch]] = batches
    monkeypatch.setattr(
        "annolog.stream.batches.batches",
        lambda _access, _topic, position: seen(
            broker.access, broker.topics.targets, position, until=ALL
        ),
    )
    names = {
        "database": database,
        "apply": applied.append,
        "load_position": lambda: kept.get("position", Position().to_json()),
        "store_position": lambda text: kept.update(position=text),
    }
    exec(recipe, names)  # noqa: S102 - our own page
    assert [event.number for event in applied] == [1, 2]
    assert json.loads(kept["position"])["topic"] == broker.topics.targets
    exec(recipe, names)  # noqa: S102 - as above
    assert [event.number for event in applied] == [1, 2]
