"""Butlers that only are read, made once a session; and the service's inner parts."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from annolog.butler.repository import Patience, Repository
from annolog.runtime import Runtime, opened
from tests.support.butlers import Clone, MadeButler, on_sky
from tests.support.postgres import PostgresServer, of_debian

PATIENCE = Patience(answer=20.0, start=60.0, away=0.5)
"""For a machine that does other things as well; a butler is away for a moment only."""


@pytest.fixture(scope="session")
def butlers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of this session's butlers."""
    return tmp_path_factory.mktemp("butlers")


@pytest.fixture(scope="session")
def today(butlers: Path) -> MadeButler:
    """Give a butler of today's universe: two nights, and a visit of two snaps."""
    return _two_nights(MadeButler.create(butlers / "today"))


@pytest.fixture(scope="session")
def universe_0(butlers: Path) -> MadeButler:
    """Give the same in the oldest universe, which has no dimension day_obs."""
    return _two_nights(MadeButler.create(butlers / "universe_0", universe=0))


@pytest.fixture(scope="session")
def sky(butlers: Path) -> MadeButler:
    """Give a butler with two exposures that were really taken."""
    return on_sky(butlers / "sky")


@pytest.fixture
def fresh(tmp_path: Path) -> MadeButler:
    """Give an empty butler of the test's own."""
    return MadeButler.create(tmp_path / "repo")


@pytest.fixture(scope="session")
def butler_postgres(servers_home: Path) -> Iterator[PostgresServer]:
    """Run a server that has the extension which butlers need."""
    home = servers_home / "b"
    home.mkdir()
    server = PostgresServer(home, binaries=of_debian())
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def butler_template(butler_postgres: PostgresServer) -> str:
    """Give the name of a database that is fit for a butler."""
    name = "butler_template"
    butler_postgres.create(name)
    butler_postgres.execute("CREATE EXTENSION btree_gist", database=name)
    return name


@pytest.fixture
def registry_url(clone: Clone, butler_template: str) -> str:
    """Give the URL of an empty database that is fit for a butler."""
    return clone(butler_template)


@pytest.fixture
def clone(butler_postgres: PostgresServer) -> Iterator[Clone]:
    """Give what clones databases for butlers, as long as the test lasts."""
    urls: list[str] = []

    def cloned(template: str) -> str:
        urls.append(butler_postgres.create(template=template))
        return urls[-1]

    yield cloned
    for url in urls:
        butler_postgres.drop(url)


@pytest.fixture
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    """Give the inner parts of a service, without its butlers."""
    async with opened(database_url, "summit") as parts:
        yield parts


@pytest.fixture
async def asked(today: MadeButler) -> AsyncIterator[Repository]:
    """Give what asks today's butler."""
    repository = Repository(today.uri, "butler 1", PATIENCE)
    yield repository
    await repository.close()


def _two_nights(made: MadeButler) -> MadeButler:
    first, second, third, *_ = made.take(range(1, 7))
    made.take(range(1, 4), day_obs=20260116)
    made.define_visits({first: [first, second], third: [third]})
    return made
