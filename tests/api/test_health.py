from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient, create_test_client

from annolog.api.health import ButlerState, Probe, health_routes
from annolog.api.problems import HANDLERS
from annolog.storage import changes, database, incarnations
from annolog.storage.database import Connection

TOPIC = "lsst.annolog.changes"


class Place:
    """A probe of a database that a test may change."""

    def __init__(self, url: str, *, kafka: bool = True) -> None:
        self.url = url
        self.kafka = kafka
        self.butlers: dict[int, ButlerState] = {}

    @asynccontextmanager
    async def reads(self) -> AsyncIterator[Connection]:
        # A connection of its own each time: the client's loop is not the test's.
        connection = await database.connect(self.url, database.READS)
        try:
            yield connection
        finally:
            await connection.close()

    def probe(self) -> Probe:
        return Probe(
            self.reads, topic=TOPIC, kafka=self.kafka, butlers=lambda: self.butlers
        )


@pytest.fixture
def place(database_url: str) -> Place:
    return Place(database_url)


@pytest.fixture
def client(place: Place) -> Iterator[TestClient[Litestar]]:
    with create_test_client(
        health_routes(place.probe), exception_handlers=HANDLERS
    ) as client:
        yield client


async def a_log(url: str, changes: int, *, floor: int, age: str) -> None:
    connection = await database.connect(url, database.WORK)
    await database.ensure_site(connection, "summit")
    await connection.execute(
        "insert into change (number, record_id, kind, operation, subject, instruments,"
        " days, committed_at) select n, gen_random_uuid(), 'revision', 'create', 'x',"
        " '{}', '{}', now() - $2::text::interval from generate_series(1, $1::int) n",
        changes,
        age,
    )
    await connection.execute(
        "insert into relay_floor (topic, number, published_at) values ($1, $2, now())",
        TOPIC,
        floor,
    )
    await connection.close()


def ready(client: TestClient[Litestar]) -> tuple[int, dict[str, Any]]:
    answer = client.get("/health/ready")
    return answer.status_code, answer.json()


def test_alive_is_whoever_answers(client: TestClient[Litestar], place: Place) -> None:
    place.url = "postgresql://annolog@127.0.0.1:1/annolog"
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_a_fresh_database_is_ready(client: TestClient[Litestar]) -> None:
    status, body = ready(client)
    assert (status, body["status"]) == (200, "ready")
    assert body["database"] == {
        "status": "ok",
        "schema_version": database.SCHEMA,
        "schema_wanted": database.SCHEMA,
        "log_head": 0,
        "writes": "open",
        "writes_code": None,
        "detail": None,
    }
    assert body["stream"]["status"] == "ok"
    assert body["stream"]["position"] is None


async def test_a_stream_that_is_far_behind_degrades_and_says_by_how_much(
    client: TestClient[Litestar], place: Place
) -> None:
    await a_log(place.url, 10, floor=7, age="5 minutes")
    status, body = ready(client)
    assert (status, body["status"]) == (200, "degraded")
    assert body["database"]["log_head"] == 10
    assert body["stream"]["status"] == "behind"
    assert (body["stream"]["position"], body["stream"]["lag_changes"]) == (7, 3)
    assert 300 <= body["stream"]["lag_seconds"] < 330
    place.kafka = False
    status, body = ready(client)
    assert (status, body["status"], body["stream"]["status"]) == (200, "ready", "off")


async def test_a_stream_that_is_just_behind_is_well(
    client: TestClient[Litestar], place: Place
) -> None:
    await a_log(place.url, 10, floor=7, age="1 second")
    _, body = ready(client)
    assert (body["status"], body["stream"]["lag_changes"]) == ("ready", 3)


async def test_another_schema_is_not_ready(
    client: TestClient[Litestar], place: Place
) -> None:
    connection = await database.connect(place.url, database.WORK)
    await connection.execute("update alembic_version set version_num = '0000'")
    await connection.close()
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["status"] == "unready"
    assert answer.json()["database"]["status"] == "not_current"
    assert answer.json()["database"]["schema_version"] == "0000"


def test_no_database_is_not_ready(client: TestClient[Litestar], place: Place) -> None:
    place.url = "postgresql://annolog@127.0.0.1:1/annolog"
    status, body = ready(client)
    assert (status, body["status"]) == (503, "unready")
    assert body["database"]["status"] == "away"
    assert body["stream"]["status"] == "unknown"


def test_a_butler_that_is_away_is_named_and_degrades(
    client: TestClient[Litestar], place: Place
) -> None:
    place.butlers = {1: "open", 3: "idle"}
    assert ready(client)[1]["status"] == "ready"

    place.butlers = {1: "open", 3: "away"}
    status, body = ready(client)

    assert (status, body["status"]) == (200, "degraded")
    assert body["butlers"] == [
        {"registry": 1, "status": "open"},
        {"registry": 3, "status": "away"},
    ]


async def test_a_stopped_relay_and_closed_writes_say_what_to_do(
    client: TestClient[Litestar], place: Place
) -> None:
    await a_log(place.url, 10, floor=10, age="1 second")
    connection = await database.connect(place.url, database.WORK)
    await changes.set_stopped(connection, TOPIC, "choose another prefix", 0)
    status, body = ready(client)
    assert (status, body["status"]) == (200, "degraded")
    assert body["stream"]["status"] == "stopped"
    assert body["stream"]["relay"] == "absent"
    assert body["stream"]["detail"] == "choose another prefix"
    assert body["stream"]["position"] == 10

    await changes.take_lease(connection, changes.RELAY_LEASE, "me", 20.0)
    await changes.set_stopped(connection, TOPIC, None, 0)
    status, body = ready(client)
    assert (status, body["status"]) == (200, "ready")
    assert (body["stream"]["status"], body["stream"]["relay"]) == ("ok", "running")

    await incarnations.close(connection, incarnations.WENT_BACK, "ask somebody")
    status, body = ready(client)
    assert (status, body["status"]) == (200, "degraded")
    assert body["database"]["writes"] == "closed"
    assert body["database"]["writes_code"] == "log_went_back"
    assert body["database"]["detail"] == "ask somebody"
    await connection.close()


async def test_a_topic_that_was_emptied_is_named_and_degrades_nothing(
    client: TestClient[Litestar], place: Place
) -> None:
    await a_log(place.url, 10, floor=7, age="1 second")
    connection = await database.connect(place.url, database.WORK)
    await changes.set_missing(connection, TOPIC, 7)
    await connection.close()
    _, body = ready(client)
    assert body["status"] == "ready"
    assert (body["stream"]["missing_to"], body["stream"]["position"]) == (7, 7)
    assert "annologd replay" in body["stream"]["detail"]
