"""What tests share: one PostgreSQL and one Kafka broker a session, both real."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.fast_files import (
    keep_compiled_modules,
    keep_files_in_memory,
    trust_one_authority,
)
from tests.support.kafka import KafkaServer
from tests.support.nursery import fork_what_may_be
from tests.support.postgres import PostgresServer, run_apart, use
from tests.support.sessions import session_home

# How long an example takes says something of the machine, not of the code. Each run
# looks at other examples, but a commit is judged by the same ones every time.
settings.register_profile(
    "annolog",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("annolog")

# Before pytest or a worker of it asks for a directory.
keep_files_in_memory()
keep_compiled_modules()
trust_one_authority()
fork_what_may_be()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run choose its PostgreSQL; the processes of a parallel run obey as well."""
    parser.addoption(
        "--postgres",
        metavar="DIR",
        help="programs of another PostgreSQL, such as /usr/lib/postgresql/15/bin",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Remember which PostgreSQL was chosen."""
    if config.option.postgres:
        use(Path(config.option.postgres))


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """Give the directory of this session's servers."""
    with session_home() as home:
        yield home


@pytest.fixture(scope="session")
def running_postgres(servers_home: Path) -> Iterator[PostgresServer]:
    """Run the server of this session."""
    server = PostgresServer(servers_home)
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_server(running_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Give the server to a test that stops or kills it; afterwards it runs again."""
    yield running_postgres
    running_postgres.start()


@pytest.fixture(scope="session")
def template_database(running_postgres: PostgresServer) -> str:
    """Give the name of a migrated and analysed database.

    Analysed, because a connection that plans on tables that look empty plans badly
    for as long as it lives, and a clone inherits the statistics.
    """
    # Here and not above, so that tests of the domain need no driver.
    from annolog.storage.database import migrate  # noqa: PLC0415 - see above

    url = running_postgres.create("annolog_template")
    run_apart(migrate(url))
    running_postgres.execute("VACUUM ANALYZE", database="annolog_template")
    return "annolog_template"


@pytest.fixture
def database_url(
    running_postgres: PostgresServer, template_database: str
) -> Iterator[str]:
    """Give the URL of a fresh, migrated database of the test's own."""
    running_postgres.start()
    url = running_postgres.create(template=template_database)
    yield url
    running_postgres.start()
    running_postgres.drop(url)


@pytest.fixture
def empty_database_url(running_postgres: PostgresServer) -> Iterator[str]:
    """Give the URL of a database in which nothing is yet, not even tables."""
    running_postgres.start()
    url = running_postgres.create()
    yield url
    running_postgres.start()
    running_postgres.drop(url)


@pytest.fixture(scope="session")
def running_kafka(servers_home: Path) -> Iterator[KafkaServer]:
    """Run the broker of this session."""
    server = KafkaServer(servers_home)
    server.start()
    try:
        yield server
    finally:
        server.thaw()
        server.stop()


@pytest.fixture
def kafka_server(running_kafka: KafkaServer) -> Iterator[KafkaServer]:
    """Give the broker to a test that kills or freezes it; afterwards it runs again."""
    running_kafka.start()
    yield running_kafka
    running_kafka.thaw()
    running_kafka.start()


@pytest.fixture(scope="session")
def kafka_bootstrap(running_kafka: KafkaServer) -> str:
    """Give the address of the broker, to which tests bring topics of their own."""
    return running_kafka.bootstrap
