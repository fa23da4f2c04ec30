"""What the tests of the relay share."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from tests.support import log
from tests.support.relay import RelayProcess

_prefixes = count()


@pytest.fixture
def prefix() -> str:
    """Give topics of the test's own."""
    return f"test{next(_prefixes)}.{time.time_ns()}"


@pytest.fixture
def settings(database_url: str, kafka_bootstrap: str, prefix: str) -> dict[str, str]:
    """Give the settings of commands on this test's database and stream."""
    return {
        "database_url": database_url,
        "kafka_bootstrap": kafka_bootstrap,
        "kafka_topic_prefix": prefix,
    }


@pytest.fixture
async def conn(
    database_url: str,
) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Connect to the database of a site."""
    connection = await asyncpg.connect(database_url)
    await log.begin_site(connection)
    yield connection
    await connection.close()


@pytest.fixture
def make_relay(
    database_url: str, kafka_bootstrap: str, prefix: str, tmp_path: Path
) -> Iterator[Callable[..., RelayProcess]]:
    """Make relays that have not started yet, each with what it wrote."""
    made: list[RelayProcess] = []

    def make(
        *, url: str = database_url, site_id: str = log.SITE_ID, piece: int = 0
    ) -> RelayProcess:
        out = tmp_path / f"relay-{len(made)}.log"
        made.append(
            RelayProcess(
                url, kafka_bootstrap, prefix, out, site_id=site_id, piece=piece
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.clean()


@pytest.fixture
def relay(make_relay: Callable[..., RelayProcess]) -> RelayProcess:
    """Give a relay that runs."""
    one = make_relay()
    one.start()
    return one
