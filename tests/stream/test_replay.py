"""Orders that the running relay carries out, as `annologd replay` places them."""

import asyncio
import time
from collections.abc import Callable

import asyncpg
import pytest
from kafka import KafkaAdminClient

from annolog.domain.events import STATE_EMPTIED
from annolog.storage import changes, orders
from annolog.storage.orders import Order, Wish
from annolog.stream.topics import Topics
from tests.support import log
from tests.support.commands import annologd, annologd_json
from tests.support.relay import RelayProcess, published, wait_until_published

Conn = asyncpg.Connection
Settings = dict[str, str]


@pytest.fixture
def slow_relay(make_relay: Callable[..., RelayProcess]) -> RelayProcess:
    """Give a relay that runs, and carries orders out in very small pieces."""
    one = make_relay(piece=3)
    one.start()
    return one


async def over(conn: Conn, order: Order, *, seconds: float = 60) -> Order:
    """Wait until an order is over."""
    deadline = time.monotonic() + seconds
    while True:
        found = await orders.find(conn, order.order_id)
        assert found is not None
        if found.is_over:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def a_part(conn: Conn, topic: str, first: int, last: int) -> Order:
    wish = Wish("changes", topic, None, None, first, last)
    return await orders.place(conn, wish, "me")


async def the_states(conn: Conn, **which: object) -> Order:
    wish = Wish("states", "as the relay's", **which)  # type: ignore[arg-type]
    return await orders.place(conn, wish, "me")


async def test_a_part_of_the_log_fills_a_topic_with_the_same_events(
    conn: Conn, relay: RelayProcess, settings: Settings, prefix: str
) -> None:
    last = await log.append_many(conn, 40)
    await wait_until_published(conn, prefix, last)
    topic = f"{prefix}.again"

    done = await annologd_json("replay", "--from", "11", "--topic", topic, **settings)

    assert (done["state"], done["done"], done["total"]) == ("done", 30, 30)
    assert (done["from"], done["to"], done["topic"]) == (11, 40, topic)
    bootstrap = settings["kafka_bootstrap"]
    live = {
        one.event.number: one.event
        for one in await published(bootstrap, Topics.named(prefix).changes)
    }
    again = [one.event for one in await published(bootstrap, topic)]
    assert sorted(one.number for one in again) == list(range(11, 41))
    assert all(one == live[one.number] for one in again)
    # It is made as the topic of changes is.
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    (described,) = admin.describe_topics([topic])
    admin.close()
    assert len(described["partitions"]) == 6
    assert relay.stop() == 0


async def test_a_part_is_sent_once_whatever_is_killed_and_live_changes_go_on(
    conn: Conn, slow_relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    last = await log.append_many(conn, 150)
    await wait_until_published(conn, prefix, last)
    topic = f"{prefix}.again"
    order = await a_part(conn, topic, 1, last)
    done = 0
    for _ in range(3):
        while (found := await orders.find(conn, order.order_id)) and (
            found.done < done + 12
        ):
            assert not found.is_over
            await asyncio.sleep(0.01)
        slow_relay.kill()
        done = found.done if found else 0
        slow_relay.start()
        live = await log.append_many(conn, 3)
        await wait_until_published(conn, prefix, live)
    ended = await over(conn, order)
    assert (ended.state, ended.done, ended.total) == ("done", last, last)
    numbers = [one.event.number for one in await published(kafka_bootstrap, topic)]
    assert sorted(numbers) == list(range(1, last + 1))
    for partition in range(6):
        part = [
            one.event.number
            for one in await published(kafka_bootstrap, topic)
            if one.partition == partition
        ]
        assert part == sorted(part)
    whole = [
        one.event.number
        for one in await published(kafka_bootstrap, Topics.named(prefix).changes)
    ]
    assert sorted(whole) == list(range(1, last + 10))


async def test_live_changes_pass_between_the_pieces_of_a_long_order(
    conn: Conn, slow_relay: RelayProcess, prefix: str
) -> None:
    last = await log.append_many(conn, 300)
    await wait_until_published(conn, prefix, last)
    order = await a_part(conn, f"{prefix}.again", 1, last)
    slow_relay.wait_for(f"order {order.order_id}: changes 1 to {last}")
    live = await log.append(conn)
    await wait_until_published(conn, prefix, live)
    found = await orders.find(conn, order.order_id)
    # It was not waited for: a hundred pieces take longer than one change.
    assert found is not None
    assert found.state == "running"
    assert (await over(conn, order)).state == "done"


async def test_states_are_sent_again_as_they_were_published(
    conn: Conn, relay: RelayProcess, settings: Settings, prefix: str
) -> None:
    gone = log.exposure_key(999)
    await log.append(conn, keys=[gone], tags=["donuts"])
    await log.append(conn, keys=[gone], flag=None, empty=True)
    last = await log.append_many(conn, 30)
    await wait_until_published(conn, prefix, last)
    topic = Topics.named(prefix).targets
    bootstrap = settings["kafka_bootstrap"]
    before = [one.event for one in await published(bootstrap, topic)]

    done = await annologd_json("replay", "--states", **settings)

    assert (done["state"], done["done"], done["total"]) == ("done", 31, 31)
    after = [one.event for one in await published(bootstrap, topic)]
    assert len(after) == len(before) + 31
    # Whoever folds the topic has the same as before, tombstones included: the order
    # brought the last event of each target once more, to the byte.
    latest = {one.key: one for one in before}
    assert {one.key: one for one in after} == latest
    assert all(after.count(one) == before.count(one) + 1 for one in latest.values())
    assert latest[gone].type == STATE_EMPTIED
    assert relay.stop() == 0


async def test_states_of_an_instrument_or_of_targets_alone_are_sent(
    conn: Conn, slow_relay: RelayProcess, settings: Settings, prefix: str
) -> None:
    await log.append_many(conn, 10)
    last = await log.append_many(conn, 4, instrument="LATISS")
    await wait_until_published(conn, prefix, last)
    topic, bootstrap = Topics.named(prefix).targets, settings["kafka_bootstrap"]
    before = len(await published(bootstrap, topic))

    one = await annologd_json(
        "replay", "--states", "--instrument", "LATISS", **settings
    )
    assert (one["done"], one["total"]) == (4, 4)
    keys = [log.exposure_key(3), log.exposure_key(5)]
    two = await annologd_json(
        "replay", "--states", "--key", keys[0], "--key", keys[1], **settings
    )
    assert (two["done"], two["total"]) == (2, 2)

    after = await published(bootstrap, topic)
    assert len(after) == before + 6
    found = [one.event.key for one in after]
    assert {key for key in found if found.count(key) == 2} == {
        *keys,
        *(log.exposure_key(n, instrument="LATISS") for n in range(11, 15)),
    }
    unknown = await annologd("replay", "--states", "--key", "exposure:X/1", **settings)
    assert unknown.returncode == 1
    assert "no target 'exposure:X/1'" in unknown.stderr
    assert slow_relay.stop() == 0


async def test_a_state_that_is_not_out_yet_waits_for_its_change(
    conn: Conn, settings: Settings
) -> None:
    key = log.exposure_key(1)
    published_to = await log.append(conn, keys=[key])
    await log.append(conn, keys=[key], flag="good")
    wish = Wish("states", "t")
    piece = await orders.states_piece(conn, wish, 0, published_to)
    assert (piece.states, piece.is_last) == ((), True)
    piece = await orders.states_piece(conn, wish, 0, published_to + 1)
    assert [one.state.flag for one in piece.states] == ["good"]
    del settings


async def test_an_order_that_cannot_be_carried_out_says_why_and_disturbs_nobody(
    conn: Conn, relay: RelayProcess, kafka_bootstrap: str, prefix: str
) -> None:
    last = await log.append_many(conn, 9)
    await wait_until_published(conn, prefix, last)
    topics = Topics.named(prefix)
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics(
        {f"{prefix}.two": {"num_partitions": 2, "replication_factor": 1}},
        wait_for_metadata=True,
    )
    admin.close()
    filled = await a_part(conn, f"{prefix}.filled", 1, 5)
    assert (await over(conn, filled)).state == "done"
    refused = [
        (await a_part(conn, f"{prefix}.x", 10, 12), "the log ends at 9"),
        (await a_part(conn, topics.changes, 1, 5), "the relay fills itself"),
        (await a_part(conn, f"{prefix}.two", 1, 5), "has 2 partitions"),
        (await a_part(conn, f"{prefix}.filled", 3, 9), "holds changes up to 5 already"),
        (await a_part(conn, "no such/name", 1, 5), "take no such name"),
    ]
    for order, words in refused:
        ended = await over(conn, order)
        assert ended.state == "failed"
        assert words in (ended.reason or "")
    # What goes wrong within Kafka ends the relay too, a moment later.
    relay.wait()
    relay.start()
    more = await a_part(conn, f"{prefix}.filled", 6, 9)
    assert (await over(conn, more)).state == "done"
    numbers = [
        one.event.number for one in await published(kafka_bootstrap, f"{prefix}.filled")
    ]
    assert sorted(numbers) == list(range(1, 10))
    live = await log.append(conn)
    await wait_until_published(conn, prefix, live)
    assert "order" in relay.said()


async def test_an_order_at_which_relays_end_again_and_again_is_given_up(
    conn: Conn, make_relay: Callable[..., RelayProcess], prefix: str
) -> None:
    await log.append_many(conn, 2)
    order = await a_part(conn, f"{prefix}.again", 1, 2)
    await conn.execute(
        "update relay_order set state = 'running', attempts = 4,"
        " reason = 'topic x: KafkaTimeoutError', started_at = now()"
    )
    relay = make_relay()
    relay.start()
    ended = await over(conn, order)
    assert ended.state == "failed"
    assert "4 relays ended" in (ended.reason or "")
    assert "KafkaTimeoutError" in (ended.reason or "")
    await wait_until_published(conn, prefix, 2)


async def test_an_order_waits_for_a_relay_and_can_be_cancelled(
    conn: Conn,
    make_relay: Callable[..., RelayProcess],
    settings: Settings,
    prefix: str,
) -> None:
    await log.append_many(conn, 60)
    part = ("replay", "--from", "1", "--topic", f"{prefix}.again", "--no-wait")
    placed = await annologd(*part, **settings)
    assert placed.returncode == 0
    assert "no relay is running: the order waits for one" in placed.stderr
    assert placed.stdout.startswith("1  waiting, 0 of 60 sent")
    second = await annologd_json(*part[:-2], f"{prefix}.b", "--no-wait", **settings)
    (newest, oldest) = await annologd_json("replay", "--list", **settings)
    assert (newest["order_id"], oldest["order_id"]) == (second["order_id"], 1)
    cancelled = await annologd_json("replay", "--cancel", "2", **settings)
    assert cancelled["state"] == "cancelled"
    for number, words in (("2", "is over: cancelled"), ("77", "no order 77")):
        refused = await annologd("replay", "--cancel", number, **settings)
        assert refused.returncode == 1
        assert words in refused.stderr

    relay = make_relay(piece=1)
    relay.start()
    relay.wait_for("order 1: changes 1 to 60")
    waiting = asyncio.create_task(annologd("replay", "--states", **settings))
    assert await orders.cancel(conn, 1)
    relay.wait_for("order 1 was cancelled")
    found = await orders.find(conn, 1)
    assert found is not None
    assert found.state == "cancelled"
    assert found.done < 60
    # What is behind it comes next, and whoever waits is told.
    done = await waiting
    assert done.returncode == 0
    assert done.stdout.startswith("3  done, ")
    relay.stop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say one of --states"),
        (("--states", "--list"), "say one of --states"),
        (("--from", "1"), "--from needs --topic"),
        (("--from", "0", "--topic", "t"), "is not in the range"),
        (("--from", "5", "--to", "3", "--topic", "t"), "--to 3 is before --from 5"),
        (("--from", "1", "--topic", "a b"), "no name of a topic"),
        (("--from", "1", "--topic", "lsst.annolog.targets"), "fills itself"),
        (("--list", "--key", "k"), "go with --states"),
        (("--states", "--topic", "t"), "go with --from"),
    ],
)
async def test_wrong_orders_are_wrong_use(
    arguments: tuple[str, ...], words: str
) -> None:
    done = await annologd("replay", *arguments, database_url="postgresql://x@/x")
    assert done.returncode == 2
    assert words in done.stderr


async def test_a_part_above_the_head_of_the_log_is_not_ordered(
    conn: Conn, settings: Settings
) -> None:
    await log.append_many(conn, 3)
    for extra in (("--from", "4"), ("--from", "1", "--to", "9")):
        done = await annologd("replay", *extra, "--topic", "t", **settings)
        assert done.returncode == 1
        assert "the log ends at 3" in done.stderr
    assert await orders.latest(conn, 9) == []
    assert await changes.head(conn) == 3
