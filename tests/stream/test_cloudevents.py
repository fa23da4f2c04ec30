"""The CloudEvents SDK reads what the broker holds and what `/changes` answers."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jsonschema_rs
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from kafka import KafkaConsumer, TopicPartition

from annolog.domain import schemas
from annolog.domain.schemas import CHANGE_FILE
from annolog.stream.publisher import Publisher, events_of
from annolog.stream.topics import Access, Topics, ensure
from tests.support.postgres import PostgresServer, run_apart
from tests.support.published import Published, everything
from tests.support.service import service

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Stand:
    """A database with one change of every sort, and the topics with its events."""

    url: str
    published: Published
    changes: list[Any]
    states: list[Any]

    @property
    def messages(self) -> list[Any]:
        return [*self.changes, *self.states]


@pytest.fixture(scope="module")
def stand(
    running_postgres: PostgresServer, template_database: str, kafka_bootstrap: str
) -> Iterator[Stand]:
    url = running_postgres.create(template=template_database)
    published = run_apart(everything(url))
    topics = Topics.named(f"oracle.{time.time_ns()}")
    access = Access(kafka_bootstrap)
    ensure(access, topics)
    publisher = Publisher(access, "oracle")
    for cycle in published.cycles:
        if cycle.changes:
            publisher.publish(events_of(cycle, topics))
    publisher.close()
    yield Stand(
        url,
        published,
        _messages(kafka_bootstrap, topics.changes),
        _messages(kafka_bootstrap, topics.targets),
    )
    running_postgres.drop(url)


def _messages(bootstrap: str, topic: str) -> list[Any]:
    """Read a topic with nothing of ours between, in the order of the numbers."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed"
    )
    parts = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(parts)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(parts)
    found: list[Any] = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for records in consumer.poll(timeout_ms=500).values():
            found += records
    consumer.close()
    return sorted(found, key=lambda one: (dict(one.headers)["ce_sequence"], one.key))


def by_sdk(message: Any) -> BaseCloudEvent:  # noqa: ANN401 - kafka-python has no types
    read = KafkaMessage(
        dict(message.headers),
        message.key,
        # The SDK has no tombstones: to it a message has a value.
        b"null" if message.value is None else message.value,
    )
    return from_binary(read, JSONFormat())


def test_the_sdk_reads_what_the_broker_holds(stand: Stand) -> None:
    sent = [*stand.published.changes, *stand.published.states]
    assert len(stand.messages) == len(sent)
    by_id = {event.id: event for event in sent}
    for message in stand.messages:
        read = by_sdk(message)
        event = by_id[read.get_id()]
        assert message.key == event.key.encode()
        assert read.get_specversion() == "1.0"
        assert read.get_source() == event.source
        assert read.get_type() == event.type
        assert read.get_extension("partitionkey").encode() == message.key
        assert read.get_data() == event.body()
        body = event.body()
        if body is not None:
            assert read.get_datacontenttype() == "application/json"
            assert int(read.get_extension("sequence")) == body["number"]


def test_attributes_are_as_the_specification_wants_them(stand: Stand) -> None:
    reference = jsonschema_rs.Draft202012Validator(
        {"type": "string", "minLength": 1, "format": "uri-reference"},
        validate_formats=True,
    )
    absolute = jsonschema_rs.Draft202012Validator(
        {"type": "string", "format": "uri"}, validate_formats=True
    )
    for message in stand.messages:
        headers = {name: value.decode() for name, value in message.headers}
        assert len(headers) == len(message.headers)
        names = [name.removeprefix("ce_") for name in headers if name[:3] == "ce_"]
        assert set(headers) - {f"ce_{name}" for name in names} <= {"content-type"}
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in names)
        for name in ("id", "type", "subject", "partitionkey"):
            assert headers[f"ce_{name}"]
        assert reference.is_valid(headers["ce_source"])
        assert absolute.is_valid(headers["ce_dataschema"])
        for name in ("time", "recordedtime"):
            assert RFC_3339.fullmatch(headers[f"ce_{name}"])
        read = by_sdk(message).get_time()
        assert isinstance(read, datetime)
        assert read.utcoffset() is not None
        assert schemas.shipped(headers["ce_dataschema"]) is not None


def test_source_and_id_name_one_event_over_both_topics(stand: Stand) -> None:
    names = [
        (headers["ce_source"], headers["ce_id"])
        for headers in (dict(message.headers) for message in stand.messages)
    ]
    assert len(set(names)) == len(names)


def test_numbers_sort_as_text_as_they_do_as_numbers(stand: Stand) -> None:
    texts = [dict(one.headers)["ce_sequence"].decode() for one in stand.changes]
    assert texts == sorted(texts)
    assert [int(one) for one in texts] == sorted(map(int, texts))


async def test_the_sdk_reads_the_same_events_from_changes(stand: Stand) -> None:
    first = stand.published.changes[0].number
    async with service(stand.url) as running:
        answer = await running.get("/changes", after=first - 1, limit=1000)
        items = answer.json()["items"]
    schema = jsonschema_rs.Draft202012Validator(json.loads(schemas.make(CHANGE_FILE)))
    blanked = 0
    for item, message in zip(items, stand.changes, strict=True):
        read = JSONFormat().read(None, json.dumps(item))
        sent = by_sdk(message)
        assert read.get_attributes() == sent.get_attributes()
        data: Any = read.get_data()
        if data == sent.get_data():
            continue
        # What was redacted since is blank here, and was sent with its words.
        assert data["after"]["redacted_by"]
        blanked += 1
        assert schema.is_valid(data)
    # Three revisions; a version of a set, and its rows.
    assert blanked == 5
