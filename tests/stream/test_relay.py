"""The relay against a real database and a real broker, under faults."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from annolog.domain.events import MAX_EVENT_BYTES, STATE_EMPTIED
from annolog.storage import changes
from annolog.stream.consume import Until, follow
from annolog.stream.relay import STOPPED
from annolog.stream.topics import Access, Topics, ensure
from tests.support import log
from tests.support.kafka import KafkaServer
from tests.support.relay import (
    RelayProcess,
    demand_all_once_in_order,
    numbers_in,
    published,
    wait_until_published,
)

Conn = asyncpg.Connection


async def test_every_change_comes_once_and_in_order(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    relay.wait_for("goes on after change 0")
    last = await log.append_many(conn, 200)
    await wait_until_published(conn, prefix, last)
    await demand_all_once_in_order(conn, kafka_bootstrap, prefix, last)
    assert relay.stop() == 0
    assert relay.lines()[-1].endswith("relay stopped after change 200")


async def test_a_change_is_out_soon_after_its_commit(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    relay.wait_for("goes on after change 0")
    await log.append(conn)
    await wait_until_published(conn, prefix, 1)

    def next_event() -> tuple[int, float]:
        received = follow(
            Access(kafka_bootstrap),
            Topics.named(prefix).changes,
            start=2,
            until=Until(idle=10),
        )
        one = next(received)
        received.close()
        return one.event.number, time.monotonic()

    waiting = asyncio.create_task(asyncio.to_thread(next_event))
    await asyncio.sleep(1)
    committed_at = time.monotonic()
    assert await log.append(conn) == 2
    number, seen_at = await waiting
    assert number == 2
    # A poll alone would take seconds; without a notification this fails.
    assert seen_at - committed_at < 1


async def test_nothing_is_lost_or_twice_when_the_relay_is_killed(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    relay.wait_for("goes on after change 0")
    for _ in range(4):
        await log.append_many(conn, 60)
        relay.kill()
        await log.append_many(conn, 20)
        relay.start()
    last = await changes.head(conn)
    await wait_until_published(conn, prefix, last)
    await demand_all_once_in_order(conn, kafka_bootstrap, prefix, last)


async def test_nothing_is_lost_or_twice_when_broker_and_relay_are_killed(
    conn: Conn,
    relay: RelayProcess,
    kafka_server: KafkaServer,
    prefix: str,
) -> None:
    relay.wait_for("goes on after change 0")
    await log.append_many(conn, 60)
    kafka_server.kill()
    await log.append_many(conn, 40)
    await asyncio.to_thread(relay.wait, 30)
    relay.start()
    relay.wait_for("no Kafka broker answers")
    relay.kill()
    relay.start()
    kafka_server.start()
    for _ in range(40):
        await log.append_many(conn, 5)
        relay.revive()
    last = await changes.head(conn)
    deadline = time.monotonic() + 60
    while (await changes.floor(conn, Topics.named(prefix).changes) or 0) < last:
        relay.revive()
        assert time.monotonic() < deadline, relay.said()
        await asyncio.sleep(0.1)
    await demand_all_once_in_order(conn, kafka_server.bootstrap, prefix, last)
    # What a supervisor's log shows of an outage: a few lines, no traceback.
    assert "Traceback" not in relay.said()
    assert len(relay.lines()) < 25


async def test_a_second_relay_waits_and_takes_over(
    conn: Conn,
    relay: RelayProcess,
    make_relay: Callable[[], RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    relay.wait_for("goes on after change 0")
    second = make_relay()
    second.start()
    second.wait_for("another relay is at work")
    await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, 30)
    assert second.exit_code is None
    assert "goes on" not in second.said()
    relay.kill()
    second.wait_for("goes on after change 30")
    await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, 60)
    await demand_all_once_in_order(conn, kafka_bootstrap, prefix, 60)


async def test_a_frozen_relay_is_passed_over_and_ends_when_it_thaws(
    conn: Conn,
    relay: RelayProcess,
    make_relay: Callable[[], RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    relay.wait_for("goes on after change 0")
    await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, 30)
    relay.freeze()
    # As if its twenty seconds were over.
    await conn.execute("update lease set until = now() - interval '5 s'")
    second = make_relay()
    second.start()
    await log.append_many(conn, 30)
    second.wait_for("goes on after change 30")
    relay.thaw()
    assert await asyncio.to_thread(relay.wait) == 1
    await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, 90)
    await demand_all_once_in_order(conn, kafka_bootstrap, prefix, 90)


async def test_a_target_of_which_nothing_is_said_any_more_is_a_tombstone(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    key = log.exposure_key(1)
    await log.append(conn, keys=[key], flag="junk", tags=["donuts"])
    await wait_until_published(conn, prefix, 1)
    await log.append(conn, keys=[key], flag=None, empty=True)
    await wait_until_published(conn, prefix, 2)
    states = await published(kafka_bootstrap, Topics.named(prefix).targets)
    assert [s.event.key for s in states] == [key, key]
    first, second = (s.event for s in states)
    assert (first.body() or {})["tags"] == ["donuts"]
    assert (second.data, second.type, second.number) == (None, STATE_EMPTIED, 2)
    del relay


async def test_ten_thousand_targets_are_one_small_event_and_all_their_states(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    keys = [log.exposure_key(n) for n in range(10_000)]
    await log.append(conn, keys=keys, text="x" * 65_536)
    await wait_until_published(conn, prefix, 1)
    topics = Topics.named(prefix)
    (one,) = await published(kafka_bootstrap, topics.changes)
    assert one.event.size < MAX_EVENT_BYTES
    assert (one.event.body() or {})["targets"]["complete"] is False
    states = await published(kafka_bootstrap, topics.targets)
    assert sorted(s.event.key for s in states) == sorted(keys)
    del relay


async def test_a_topic_that_knows_more_than_the_log_stops_the_relay(
    conn: Conn, relay: RelayProcess, prefix: str
) -> None:
    await log.append_many(conn, 9)
    await wait_until_published(conn, prefix, 9)
    assert relay.stop() == 0
    await conn.execute("delete from change where number > 5")
    relay.start()
    assert await asyncio.to_thread(relay.wait) == STOPPED
    assert "holds change 9 and the log ends at 5" in relay.lines()[-1]
    # Writers compare this with the log.
    assert await changes.floor(conn, Topics.named(prefix).changes) == 9
    await log.begin_site(conn, first_number=1_000_000_000, incarnation="ffffffff")
    relay.start()
    relay.wait_for("goes on after change 9", times=1)
    last = await log.append(conn)
    await wait_until_published(conn, prefix, last)


async def test_a_log_that_went_another_way_stops_the_relay(
    conn: Conn, relay: RelayProcess, prefix: str
) -> None:
    await log.append_many(conn, 3)
    await wait_until_published(conn, prefix, 3)
    relay.stop()
    await conn.execute("update change set operation = 'refresh' where number = 3")
    relay.start()
    assert await asyncio.to_thread(relay.wait) == STOPPED
    assert "two databases have published" in relay.lines()[-1]


async def test_an_empty_topic_goes_on_from_the_floor(
    conn: Conn,
    make_relay: Callable[[], RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    await log.append_many(conn, 8)
    await changes.set_floor(conn, Topics.named(prefix).changes, 5)
    relay = make_relay()
    relay.start()
    await wait_until_published(conn, prefix, 8)
    received = await published(kafka_bootstrap, Topics.named(prefix).changes)
    assert sorted(one.event.number for one in received) == [6, 7, 8]


async def test_a_broker_that_is_away_at_start_gives_one_line(
    conn: Conn, database_url: str, kafka_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    nobody = "127.0.0.1:1"
    relay = RelayProcess(database_url, nobody, prefix, tmp_path / "relay.log")
    relay.start()
    try:
        relay.wait_for("no Kafka broker answers at 127.0.0.1:1")
        await asyncio.sleep(3)
        assert relay.exit_code is None
        assert len(relay.lines()) == 1
        assert relay.stop() == 0
    finally:
        relay.clean()
    del conn, kafka_bootstrap


async def test_a_topic_with_other_partitions_gives_one_line(
    conn: Conn,
    make_relay: Callable[[], RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics(
        {f"{prefix}.changes": {"num_partitions": 2, "replication_factor": 1}},
        wait_for_metadata=True,
    )
    admin.close()
    relay = make_relay()
    relay.start()
    assert await asyncio.to_thread(relay.wait) == 1
    (line,) = relay.lines()
    assert re.search(r"has 2 partitions and must have 6", line)
    del conn


async def test_foreign_records_in_the_topic_do_not_confuse_the_position(
    conn: Conn,
    make_relay: Callable[[], RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    topics = Topics.named(prefix)
    first = make_relay()
    first.start()
    last = await log.append_many(conn, 20)
    await wait_until_published(conn, prefix, last)
    first.stop()
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    for n in range(2_000):
        producer.send(topics.changes, b"?", key=str(n).encode())
    producer.flush()
    producer.close()
    second = make_relay()
    second.start()
    second.wait_for("goes on after change 20")


async def test_topics_are_made_once_and_found_again(
    kafka_bootstrap: str, prefix: str
) -> None:
    for _ in range(2):
        await asyncio.to_thread(ensure, Access(kafka_bootstrap), Topics.named(prefix))


# ----------------------------------------------- topics that are not as they were


@contextmanager
def administering(bootstrap: str) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    yield admin
    admin.close()


def trim(bootstrap: str, topic: str, *, left: int) -> None:
    """Remove all records but the last of each partition, as a retention does."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    parts = [TopicPartition(topic, number) for number in range(6)]
    begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
    consumer.close()
    with administering(bootstrap) as admin:
        admin.delete_records({p: max(begins[p], ends[p] - left) for p in parts})


def delete(bootstrap: str, *topics: str) -> None:
    with administering(bootstrap) as admin:
        admin.delete_topics(list(topics))
        deadline = time.monotonic() + 10
        while set(topics) & set(admin.list_topics()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


async def test_a_log_of_two_lives_that_was_never_published_goes_out_from_its_first(
    conn: Conn,
    make_relay: Callable[[], RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    await log.append_many(conn, 3)
    await log.begin_site(conn, first_number=1_000_000_000, incarnation="ffffffff")
    last = await log.append(conn)
    relay = make_relay()
    relay.start()
    relay.wait_for("goes on after change 0")
    await wait_until_published(conn, prefix, last)
    topic = Topics.named(prefix).changes
    assert await numbers_in(kafka_bootstrap, topic) == [1, 2, 3, 1_000_000_000]


async def test_a_trimmed_topic_goes_on_after_its_last_event(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    topic = Topics.named(prefix).changes
    await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, 30)
    relay.stop()
    # Two offsets: the last event and the marker of its transaction.
    await asyncio.to_thread(trim, kafka_bootstrap, topic, left=2)
    relay.start()
    relay.wait_for("goes on after change 30")
    await log.append_many(conn, 5)
    await wait_until_published(conn, prefix, 35)
    found = await numbers_in(kafka_bootstrap, topic)
    assert found[-6:] == [30, 31, 32, 33, 34, 35]
    assert len(set(found)) == len(found) < 35
    assert "is not in it" not in relay.said()


async def test_a_topic_emptied_by_its_retention_goes_on_from_the_floor_and_says_so(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    topic = Topics.named(prefix).changes
    await log.append_many(conn, 9)
    await wait_until_published(conn, prefix, 9)
    relay.stop()
    await asyncio.to_thread(trim, kafka_bootstrap, topic, left=0)
    relay.start()
    relay.wait_for("goes on after change 9")
    assert f"{topic} was emptied by its retention" in relay.said()
    assert "annologd replay --from N --topic NEW" in relay.said()
    assert (await changes.lag(conn, topic)).missing == 9
    await log.append(conn)
    await wait_until_published(conn, prefix, 10)
    assert await numbers_in(kafka_bootstrap, topic) == [10]


async def test_topics_deleted_while_the_relay_is_stopped_are_made_anew_and_go_on(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    topics = Topics.named(prefix)
    await log.append_many(conn, 9)
    await wait_until_published(conn, prefix, 9)
    relay.stop()
    await asyncio.to_thread(delete, kafka_bootstrap, topics.changes, topics.targets)
    relay.start()
    relay.wait_for("goes on after change 9")
    assert f"{topics.changes} is new or empty" in relay.said()
    assert f"{topics.targets} is empty" in relay.said()
    assert "annologd replay --states" in relay.said()
    await log.append(conn)
    await wait_until_published(conn, prefix, 10)
    assert await numbers_in(kafka_bootstrap, topics.changes) == [10]
    # The next start finds nothing new to say.
    relay.stop()
    relay.start()
    relay.wait_for("goes on after change 10")
    assert relay.said().count("is new or empty") == 1
    assert (await changes.lag(conn, topics.changes)).missing == 9


async def test_topics_made_anew_while_the_relay_runs_miss_nothing_new_and_it_says_so(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    topics = Topics.named(prefix)
    await log.append_many(conn, 40)
    await wait_until_published(conn, prefix, 40)
    await asyncio.to_thread(delete, kafka_bootstrap, topics.changes, topics.targets)
    await asyncio.to_thread(ensure, Access(kafka_bootstrap), topics)
    last = await log.append_many(conn, 40)
    deadline = time.monotonic() + 60
    while (await changes.floor(conn, topics.changes) or 0) < last:
        relay.revive()
        assert time.monotonic() < deadline, relay.said()
        await asyncio.sleep(0.1)
    found = await numbers_in(kafka_bootstrap, topics.changes)
    assert found == list(range(41, last + 1))
    missing = (await changes.lag(conn, topics.changes)).missing
    assert missing is not None, relay.said()
    assert missing >= 40
    assert "is not in it" in relay.said()
    relay.stop()


async def test_a_topic_of_another_site_stops_the_relay(
    conn: Conn,
    relay: RelayProcess,
    make_relay: Callable[..., RelayProcess],
    prefix: str,
) -> None:
    await log.append_many(conn, 2)
    await wait_until_published(conn, prefix, 2)
    relay.stop()
    await conn.execute("update site set site_id = 'usdf'")
    other = make_relay(site_id="usdf")
    other.start()
    assert await asyncio.to_thread(other.wait) == STOPPED
    assert "holds events of urn:annolog:summit:" in other.lines()[-1]
    assert "choose another prefix" in other.lines()[-1]
    stopped = (await changes.lag(conn, Topics.named(prefix).changes)).stopped
    assert stopped is not None
    assert "choose another prefix" in stopped


async def test_a_log_that_shrinks_under_the_running_relay_stops_it(
    conn: Conn, relay: RelayProcess, prefix: str
) -> None:
    await log.append_many(conn, 5)
    await wait_until_published(conn, prefix, 5)
    await conn.execute("delete from change where number > 3")
    await changes.notify(conn, 3)
    assert await asyncio.to_thread(relay.wait) == STOPPED
    assert "holds change 5 and the log ends at 3" in relay.lines()[-1]
