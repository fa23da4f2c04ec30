"""What a broker forgot of a transaction is ended, and sent again.

The faults are a real broker's. One that starts calls a transaction ended in partitions
that have no leader yet, and writes no marker there; tests cannot wait for that moment,
so here the coordinator never hears of some partitions that a transaction writes to,
which leaves the same behind.
"""

import contextlib
from collections.abc import Iterable, Iterator

import asyncpg
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource

from annolog.domain.events import change_event
from annolog.storage import changes, orders
from annolog.storage.orders import Wish
from annolog.stream import mending
from annolog.stream.consume import open_topic
from annolog.stream.mending import LeftOpenError, Watch, demand_ended, settle
from annolog.stream.orders import OneTopic
from annolog.stream.position import held_by
from annolog.stream.publisher import Publisher, Thread, events_of
from annolog.stream.topics import (
    Access,
    BrokerAwayError,
    MissingTopicError,
    Topics,
    ensure,
)
from tests.support import log
from tests.support.relay import (
    RelayProcess,
    demand_all_once_in_order,
    numbers_in,
    wait_until_published,
)

Conn = asyncpg.Connection

FORGOTTEN = range(3)
"""Partitions that the coordinator does not hear of."""


@pytest.fixture
def lenient(kafka_bootstrap: str) -> Iterator[None]:
    """Let the broker take records that its coordinator does not know of."""
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    name = "transaction.partition.verification.enable"
    (broker,) = admin.describe_cluster()["brokers"]
    number = str(broker["broker_id"])
    admin.alter_configs([ConfigResource("BROKER", number, {name: "false"})])
    yield
    admin.reset_configs([ConfigResource("BROKER", number, {name: ""})])
    admin.close()


def forget(publisher: Publisher, topics: Iterable[str]) -> None:
    """Let the coordinator not hear of some partitions of the next transaction."""
    manager = publisher._producer._transaction_manager
    manager._partitions_in_transaction |= {
        TopicPartition(topic, number) for topic in topics for number in FORGOTTEN
    }


async def publish_30(conn: Conn, publisher: Publisher, topics: Topics) -> None:
    """Publish 30 more changes as a relay does."""
    after = await changes.head(conn)
    await log.append_many(conn, 30)
    cycle = await changes.cycle(conn, after, changes.Bounds())
    publisher.publish(events_of(cycle, topics))


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("aborted", [False, True])
async def test_a_relay_ends_what_is_open_and_sends_again_what_is_lost(
    conn: Conn,
    relay: RelayProcess,
    kafka_bootstrap: str,
    prefix: str,
    *,
    aborted: bool,
) -> None:
    topics, access = Topics.named(prefix), Access(kafka_bootstrap)
    await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, 30)
    relay.stop()
    both = (topics.changes, topics.targets)
    with contextlib.closing(Publisher(access, log.SITE_ID)) as publisher:
        forget(publisher, both)
        await publish_30(conn, publisher, topics)
        seen = await numbers_in(kafka_bootstrap, topics.changes, ended=False)
        # A part of the transaction is there, and a part before its last is not.
        assert 30 < len(seen) < max(seen)
        if aborted:
            # As when a relay that was killed then had begun to write there.
            assert publisher.settle(both)

    relay.start()
    await wait_until_published(conn, prefix, 60)
    last = await log.append_many(conn, 5)
    await wait_until_published(conn, prefix, last)

    await demand_all_once_in_order(conn, kafka_bootstrap, prefix, last)
    assert ("had left a transaction open in" in relay.said()) is not aborted
    assert f"topic {topics.changes} lacked" in relay.said()
    # The next one finds nothing to mend.
    relay.stop()
    relay.start()
    relay.wait_for(f"goes on after change {last}")
    assert relay.said().count("lacked") <= 2
    await demand_all_once_in_order(conn, kafka_bootstrap, prefix, last)


@pytest.mark.usefixtures("lenient")
async def test_a_relay_that_works_notices_that_a_transaction_did_not_end(
    conn: Conn, kafka_bootstrap: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "WATCH_SECONDS", 0.0)
    topics, access = Topics.named(prefix), Access(kafka_bootstrap)
    ensure(access, topics)
    both, thread = (topics.changes, topics.targets), Thread()
    with contextlib.closing(Publisher(access, log.SITE_ID)) as publisher:
        watch = Watch(thread, publisher, topics)
        await publish_30(conn, publisher, topics)
        await watch.look()
        forget(publisher, both)
        await publish_30(conn, publisher, topics)
        with pytest.raises(LeftOpenError, match=rf"open in {topics.changes}-0, "):
            await watch.look()
        await settle(thread, publisher, both)
        await demand_ended(thread, publisher, both)


@pytest.mark.usefixtures("lenient")
async def test_a_part_that_is_sent_again_is_mended_too(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    topic, access = f"{prefix}.again", Access(kafka_bootstrap)
    last = await log.append_many(conn, 60)
    await wait_until_published(conn, prefix, last)
    relay.stop()
    order = await orders.place(conn, Wish("changes", topic, None, None, 1, last), "me")
    # A relay before had begun with it.
    await orders.start(conn, order)
    await orders.begin(conn, order.order_id)
    ensure(access, OneTopic(topic, topic))
    found = await changes.read(conn, 0, 30)
    with contextlib.closing(Publisher(access, log.SITE_ID)) as publisher:
        forget(publisher, (topic,))
        publisher.publish([(topic, change_event(one)) for one in found.changes])

    relay.start()
    relay.wait_for(f"order {order.order_id} is done")

    numbers = await numbers_in(kafka_bootstrap, topic)
    assert numbers == list(range(1, last + 1))
    assert f"topic {topic} lacked" in relay.said()


async def test_a_topic_that_is_not_shown_is_not_an_empty_one(
    kafka_bootstrap: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, access = Topics.named(prefix), Access(kafka_bootstrap)
    with pytest.raises(MissingTopicError, match="is the prefix right"):
        held_by(access, topics.changes)
    ensure(access, topics)
    assert held_by(access, topics.changes).last is None
    # What kafka-python says when its question was lost with the broker.
    monkeypatch.setattr(KafkaConsumer, "partitions_for_topic", lambda *_: set())
    with pytest.raises(BrokerAwayError, match="does not show topic"):
        held_by(access, topics.changes)
    with pytest.raises(BrokerAwayError, match="does not show topic"):
        open_topic(access, topics.changes)
