"""A database that went back: noticed, closed, and brought into a new life."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from annolog.storage import changes, database, incarnations
from annolog.stream.relay import STOPPED
from annolog.stream.topics import Topics
from tests.support.commands import annologd, annologd_json
from tests.support.postgres import PostgresServer
from tests.support.relay import RelayProcess, published, wait_until_published
from tests.support.served import ServiceProcess
from tests.support.service import service
from tests.support.sessions import session_home

ANNOTATIONS = "/annolog/v1/annotations"
BY = {"X-Annolog-User": "jdoe"}
NEW = 1_000_000_000


@pytest.fixture
def serve(
    settings: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[str], ServiceProcess]]:
    """Serve databases in processes with a stream."""
    made: list[ServiceProcess] = []

    def start(url: str) -> ServiceProcess:
        home = tmp_path / f"served-{len(made)}"
        home.mkdir()
        made.append(ServiceProcess(home=home, **(settings | {"database_url": url})))
        made[-1].start()
        made[-1].wait_until_ready()
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """Give a server of the test's own, whose files it may replace."""
    with session_home() as home:
        server = PostgresServer(home)
        server.start()
        yield server
        server.close()


def said(at: ServiceProcess, number: int, **content: object) -> httpx.Response:
    """Say something of an exposure."""
    body = {"targets": [f"exposure:LSSTCam/{2026111900000 + number}"], **content}
    return httpx.post(f"{at.url}{ANNOTATIONS}", json=body, headers=BY, timeout=30)


def say(at: ServiceProcess, *numbers: int) -> None:
    for number in numbers:
        answer = said(at, number, text=f"number {number}", flag="junk")
        assert answer.status_code == 201, answer.text


def health(at: ServiceProcess) -> dict[str, Any]:
    answer = httpx.get(f"{at.url}/health/ready")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def demand_closed(at: ServiceProcess, code: str, words: str) -> None:
    """See that writes are refused in clear words, and that reading goes on."""
    answer = said(at, 7, text="too late")
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == code
    assert words in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert httpx.get(f"{at.url}/annolog/v1/changes").status_code == 200
    found = httpx.get(f"{at.url}{ANNOTATIONS}", params={"author": "jdoe"}, headers=BY)
    assert found.status_code == 200
    now = health(at)
    assert now["status"] == "degraded"
    assert now["database"]["writes"] == "closed"
    assert now["database"]["writes_code"] == code
    assert words in now["database"]["detail"]


def changes_after(at: ServiceProcess, position: int) -> dict[str, Any]:
    path = f"{at.url}/annolog/v1/changes"
    body: dict[str, Any] = httpx.get(path, params={"after": position}).json()
    return body


async def head_of(url: str) -> int:
    conn = await asyncpg.connect(url)
    try:
        return await changes.head(conn)
    finally:
        await conn.close()


async def everything_out(url: str, prefix: str) -> int:
    """Wait until the relay has published all there is, and give the last number."""
    conn = await asyncpg.connect(url)
    try:
        head = await changes.head(conn)
        await wait_until_published(conn, prefix, head)
    finally:
        await conn.close()
    return head


@dataclass
class Restored:
    """A database out of a backup, after more was said and published.

    Attributes
    ----------
    kept, last
        The greatest number in the backup, and in the topic.
    settings
        Of commands on it.
    """

    url: str
    kept: int
    last: int
    settings: dict[str, str]


@pytest.fixture
async def restored(
    database_url: str,
    running_postgres: PostgresServer,
    serve: Callable[[str], ServiceProcess],
    relay: RelayProcess,
    settings: dict[str, str],
) -> AsyncIterator[Restored]:
    """Say five things, of which the backup has three."""
    before = await asyncio.to_thread(serve, database_url)
    await asyncio.to_thread(say, before, 1, 2, 3)
    with tempfile.TemporaryDirectory() as folder:
        backup = Path(folder) / "backup.sql"
        await asyncio.to_thread(running_postgres.dump, database_url, backup)
        kept = await head_of(database_url)
        await asyncio.to_thread(say, before, 4, 5)
        last = await everything_out(database_url, settings["kafka_topic_prefix"])
        before.stop()
        relay.stop()
        url = await asyncio.to_thread(running_postgres.restore, backup)
    assert last == kept + 2
    yield Restored(url, kept, last, settings | {"database_url": url})
    running_postgres.drop(url)


async def test_a_restored_dump_stops_relay_and_writes(
    restored: Restored,
    serve: Callable[[str], ServiceProcess],
    make_relay: Callable[..., RelayProcess],
) -> None:
    # Before any relay has looked: no window in which a number is given twice.
    at = await asyncio.to_thread(serve, restored.url)
    demand_closed(at, "log_restored", "annologd incarnation new")
    relay = make_relay(url=restored.url)
    relay.start()
    assert await asyncio.to_thread(relay.wait) == STOPPED
    why = f"holds change {restored.last} and the log ends at {restored.kept}"
    assert why in relay.lines()[-1]
    assert "annologd incarnation new" in relay.lines()[-1]
    assert len(relay.lines()) == 2
    demand_closed(at, "log_restored", "annologd incarnation new")
    stream = health(at)["stream"]
    assert (stream["status"], stream["relay"]) == ("stopped", "absent")
    assert why in stream["detail"]

    kept_on = await annologd("incarnation", "keep", "--yes", **restored.settings)
    assert kept_on.returncode == 1
    assert "is lost here" in kept_on.stderr
    unsure = await annologd("incarnation", "new", **restored.settings)
    assert unsure.returncode == 1
    assert f"would begin with change {NEW}" in unsure.stderr
    unasked = await annologd("incarnation", "new", "--json", **restored.settings)
    assert unasked.returncode == 2
    shown = await annologd_json("incarnation", "show", **restored.settings)
    assert [(one["first_number"], one["writes"]) for one in shown] == [(1, "closed")]
    at.stop()


async def test_a_new_life_goes_on_above_all_that_was_given(
    restored: Restored,
    serve: Callable[[str], ServiceProcess],
    make_relay: Callable[..., RelayProcess],
    kafka_bootstrap: str,
    prefix: str,
) -> None:
    at = await asyncio.to_thread(serve, restored.url)
    demand_closed(at, "log_restored", "annologd incarnation new")

    life = await annologd_json("incarnation", "new", "--yes", **restored.settings)

    assert (life["first_number"], life["writes"]) == (NEW, "open")
    await asyncio.to_thread(say, at, 4, 5, 6)
    relay = make_relay(url=restored.url)
    relay.start()
    assert await everything_out(restored.url, prefix) == NEW + 2
    topic = Topics.named(prefix).changes
    events = [one.event for one in await published(kafka_bootstrap, topic)]
    new = [NEW, NEW + 1, NEW + 2]
    assert sorted(e.number for e in events) == [*range(1, restored.last + 1), *new]
    bodies = [one.body() or {} for one in events if one.number >= NEW]
    assert {one["incarnation"] for one in bodies} == {life["incarnation"]}
    assert {one["after"]["incarnation"] for one in bodies} == {life["incarnation"]}
    assert health(at)["status"] == "ready"
    # A position of the old life still works: of what it did not see, this log's.
    for position in (restored.kept, restored.last):
        page = changes_after(at, position)
        assert [int(one["sequence"]) for one in page["items"]] == new
        assert page["next_after"] == page["head"] == NEW + 2
    lives = await annologd_json("incarnation", "show", **restored.settings)
    assert [(one["first_number"], one["last_number"]) for one in lives] == [
        (1, restored.kept),
        (NEW, NEW + 2),
    ]
    checked = await annologd_json("check", **restored.settings)
    assert checked["fault_count"] == 0, checked["faults"]
    at.stop()
    relay.stop()


async def test_files_put_back_under_the_running_service_are_noticed_by_all(
    own_server: PostgresServer,
    serve: Callable[[str], ServiceProcess],
    make_relay: Callable[..., RelayProcess],
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    prefix, copy = settings["kafka_topic_prefix"], tmp_path / "copy"
    url = own_server.create("observed")
    await database.migrate(url)
    at = await asyncio.to_thread(serve, url)
    relay = make_relay(url=url)
    relay.start()
    await asyncio.to_thread(say, at, 1, 2, 3)
    kept = await everything_out(url, prefix)
    own_server.stop()
    own_server.keep_copy(copy)
    own_server.start()
    deadline = time.monotonic() + 30
    while said(at, 4, text="again").status_code != 201:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert await asyncio.to_thread(relay.wait) == 1
    assert "the database went away" in relay.lines()[-1]
    relay.start()
    await asyncio.to_thread(say, at, 5, 6)
    last = await everything_out(url, prefix)

    # Between two cycles: nobody writes, the server is away for a moment.
    own_server.stop()
    own_server.put_back(copy)
    own_server.start()

    words = f"a process knew change {last}"
    deadline = time.monotonic() + 30
    while (answer := said(at, 5, text="?")).json()["code"] == "database_unavailable":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert answer.json()["code"] in {"log_went_back", "log_behind_stream"}
    assert await head_of(url) == kept
    if answer.json()["code"] == "log_went_back":
        demand_closed(at, "log_went_back", words)
    while await asyncio.to_thread(relay.wait) != STOPPED:
        relay.start()
    assert f"holds change {last} and the log ends at {kept}" in relay.lines()[-1]

    on_it = settings | {"database_url": url}
    await annologd_json("incarnation", "new", "--yes", **on_it)

    # The same process goes on, also with targets whose rows are lost.
    await asyncio.to_thread(say, at, 5, 6, 7)
    relay.start()
    assert await everything_out(url, prefix) == NEW + 2
    assert health(at)["status"] == "ready"
    assert (await annologd_json("check", **on_it))["fault_count"] == 0
    assert '"fault"' not in at.told()
    at.stop()
    relay.stop()


async def test_after_a_fail_over_writes_wait_for_the_relay_which_opens_them(
    database_url: str,
    conn: "asyncpg.Connection[asyncpg.Record]",
    serve: Callable[[str], ServiceProcess],
    make_relay: Callable[..., RelayProcess],
    prefix: str,
) -> None:
    first = await asyncio.to_thread(serve, database_url)
    relay = make_relay()
    relay.start()
    await asyncio.to_thread(say, first, 1)
    await everything_out(database_url, prefix)
    relay.stop()
    first.stop()
    # As if the server had been promoted since.
    await conn.execute("update site set timeline = 99")
    second = await asyncio.to_thread(serve, database_url)
    demand_closed(second, "log_unverified", "held the log against the topic")
    relay.start()
    relay.wait_for("writes open")
    await asyncio.to_thread(say, second, 2)
    assert health(second)["database"]["writes"] == "open"
    second.stop()
    relay.stop()


async def test_a_log_that_went_another_way_closes_writes_too(
    database_url: str,
    conn: "asyncpg.Connection[asyncpg.Record]",
    relay: RelayProcess,
    prefix: str,
) -> None:
    async with service(database_url) as annolog:
        await annolog.say("exposure:LSSTCam/2026111900001", text="one")
        head = await changes.head(conn)
        await wait_until_published(conn, prefix, head)
        relay.stop()
        await conn.execute(
            "update change set operation = 'refresh' where number = $1", head
        )
        relay.start()
        assert await asyncio.to_thread(relay.wait) == STOPPED
        body = {"targets": ["exposure:LSSTCam/2026111900002"], "text": "two"}
        refused = await annolog.post("/annotations", body)
        assert refused.status_code == 503
        assert refused.json()["code"] == "log_split"
        await incarnations.begin(conn)
        assert (await annolog.post("/annotations", body)).status_code == 201


async def test_without_a_readable_topic_an_operator_must_say_what_was_given(
    settings: dict[str, str], conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    settings = settings | {"kafka_bootstrap": "127.0.0.1:1"}
    refused = await annologd("incarnation", "new", "--yes", **settings)
    assert refused.returncode == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in refused.stderr
    assert "--above N" in refused.stderr
    assert len(await incarnations.lives(conn)) == 1
    above = str(3 * NEW + 5)
    life = await annologd_json(
        "incarnation", "new", "--yes", "--above", above, **settings
    )
    assert life["first_number"] == 4 * NEW
    again = await annologd_json(
        "incarnation", "new", "--yes", "--above", "0", **settings
    )
    assert again["first_number"] == 5 * NEW
