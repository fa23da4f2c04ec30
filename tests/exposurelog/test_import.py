"""A whole exposurelog database comes into annolog, and shows as it was."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner, Result

from annolog.actions import check, refresh
from annolog.cli.main import main
from annolog.exposurelog import importer
from annolog.exposurelog.importer import Progress
from annolog.runtime import Runtime, opened
from annolog.storage import database
from tests.support import exposurelog_database as old
from tests.support.exposurelog_database import Row, a_row, by_id
from tests.support.marked import Marked
from tests.support.postgres import PostgresServer, run_apart
from tests.support.service import service


@pytest.fixture
def source(running_postgres: PostgresServer) -> Iterator[str]:
    """Give the URL of a database with exposurelog's empty table."""
    url = running_postgres.create()
    run_apart(old.create(url))
    yield url
    running_postgres.drop(url)


@pytest.fixture
def other_database_url(
    running_postgres: PostgresServer, template_database: str
) -> Iterator[str]:
    """Give the URL of another site's database."""
    url = running_postgres.create(template=template_database)
    yield url
    running_postgres.drop(url)


@asynccontextmanager
async def running(url: str, *, site_id: str = "summit") -> AsyncIterator[Runtime]:
    async with opened(url, site_id) as runtime:
        yield runtime


async def brought(
    url: str, source: str, *, site_id: str = "summit", piece: int = 50
) -> Progress:
    async with running(url, site_id=site_id) as runtime:
        return await importer.bring(runtime, source, piece=piece)


async def shown(url: str) -> list[Row]:
    """Give all messages as rows of exposurelog, by id."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            """
            select m.*, v.level, v.tags, v.author, v.author_kind, v.flag, r.body
              from message m
              join revision v on v.revision_id = m.revision_id
              join record r on r.record_id = m.revision_id
             order by m.message_id
            """
        )
    finally:
        await connection.close()
    return [_as_row(row) for row in rows]


def _as_row(row: asyncpg.Record) -> Row:
    body = msgspec.json.decode(row["body"])
    assert (body["level"], body["author"]) == (row["level"], row["author"])
    # The index of tags holds the beginnings of very long ones.
    tags = [[tag[:256] for tag in one["tags"]] for one in (body, row)]
    assert tags[0] == tags[1]
    assert body["flag"] == row["flag"]
    return {
        "id": row["message_id"],
        "site_id": row["site_id"],
        "obs_id": row["obs_id"],
        "instrument": row["instrument"],
        "day_obs": row["day_obs"],
        "seq_num": row["seq_num"],
        "message_text": body["text"],
        "level": body["level"],
        "tags": body["tags"],
        "urls": body["urls"],
        "user_id": body["author"],
        "user_agent": body["user_agent"],
        "is_human": row["author_kind"] == "human",
        "exposure_flag": body["flag"] or "none",
        "date_added": row["date_added"],
        "date_invalidated": row["date_invalidated"],
        "parent_id": row["parent_id"],
        "is_valid": row["date_invalidated"] is None,
    }


async def faults(url: str) -> list[str]:
    async with running(url) as runtime:
        while not await refresh.refresh_all(runtime.lane, runtime.work):
            pass
        async with database.snapshot(runtime.reads) as connection:
            report = await check.check_all(connection)
    return [fault.sentence for fault in report.faults]


async def records(url: str) -> dict[UUID, bytes]:
    """Give the hashes of all imported records, by id."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select record_id, hash from record where site_id = 'exposurelog'"
        )
    finally:
        await connection.close()
    return {row["record_id"]: row["hash"] for row in rows}


# ------------------------------------------------------------------------- whole


async def test_years_of_messages_are_shown_field_by_field_as_they_were(
    database_url: str, source: str
) -> None:
    rows = old.realistic_rows(600)
    await old.insert(source, rows)

    done = await brought(database_url, source)

    invalid = sum(row["date_invalidated"] is not None for row in rows)
    assert (done.rows, done.messages, done.invalidations) == (600, 600, invalid)
    assert await shown(database_url) == by_id(rows) == await old.read(source)
    assert await faults(database_url) == []


async def test_rows_that_no_rule_would_take_are_shown_as_they_were(
    database_url: str, source: str
) -> None:
    rows = old.odd_rows()
    await old.insert(source, rows)

    await brought(database_url, source)

    assert await shown(database_url) == by_id(rows) == await old.read(source)
    assert await faults(database_url) == []


async def test_the_api_answers_as_exposurelog_did(
    database_url: str, source: str
) -> None:
    rows = [*old.odd_rows(), *old.realistic_rows(100)]
    await old.insert(source, rows)
    await brought(database_url, source)

    async with service(database_url) as annolog:
        answer = await annolog.client.get(
            "/exposurelog/messages", params={"is_valid": "either", "limit": 10_000}
        )
        one = await annolog.client.get(f"/exposurelog/messages/{rows[0]['id']}")

    assert answer.json() == [_answered(row) for row in by_id(rows)]
    assert one.json() == _answered(by_id(rows[:1])[0])


def _answered(row: Row) -> dict[str, Any]:
    return {
        name: value
        if isinstance(value, bool | int | list)
        else getattr(value, "isoformat", value.__str__)()
        if value is not None
        else None
        for name, value in row.items()
    }


async def test_importing_again_changes_nothing(database_url: str, source: str) -> None:
    await old.insert(source, [*old.realistic_rows(150), *old.odd_rows()])
    await brought(database_url, source)
    before = await shown(database_url), await records(database_url)

    again = await brought(database_url, source, piece=7)

    assert (again.messages, again.invalidations) == (0, 0)
    assert (await shown(database_url), await records(database_url)) == before


async def test_new_rows_and_new_invalidations_are_added(
    database_url: str, source: str
) -> None:
    first, second = a_row(1), a_row(2)
    await old.insert(source, [first, second])
    await brought(database_url, source)
    later = first["date_added"] + timedelta(days=1)
    edits = [
        a_row(3, parent_id=first["id"], date_added=later, message_text="an edit"),
        a_row(4, date_added=later),
    ]
    await old.insert(source, edits)
    await old.change(
        source,
        "update message set date_invalidated = $1 where parent_id is null",
        later,
    )

    done = await brought(database_url, source)

    assert (done.messages, done.invalidations) == (2, 3)
    rows = await old.read(source)
    assert await shown(database_url) == rows
    assert [row["is_valid"] for row in rows] == [False, False, True, False]


async def test_an_edit_of_a_message_that_was_edited_before_moves_its_end(
    database_url: str, source: str
) -> None:
    first = a_row(1)
    hours = [first["date_added"] + timedelta(hours=n) for n in range(3)]
    first["date_invalidated"] = hours[1]
    edit = a_row(2, parent_id=first["id"], date_added=hours[1])
    await old.insert(source, [first, edit])
    await brought(database_url, source)
    # A second edit of the first message, with a lesser id than the first one's.
    await old.insert(
        source, [a_row(0, parent_id=first["id"], date_added=hours[2], seq_num=2)]
    )
    await old.change(
        source,
        "update message set date_invalidated = $1 where id = $2",
        hours[2],
        first["id"],
    )

    done = await brought(database_url, source)

    assert (done.messages, done.invalidations) == (1, 1)
    assert await shown(database_url) == await old.read(source)
    assert await faults(database_url) == []


async def test_a_late_row_with_an_older_date_leaves_its_brother_valid(
    database_url: str, source: str
) -> None:
    first = a_row(1)
    first["date_invalidated"] = first["date_added"]
    await old.insert(source, [first, a_row(3, parent_id=first["id"])])
    await brought(database_url, source)
    late = a_row(2, parent_id=first["id"])
    await old.insert(source, [late, a_row(4, parent_id=late["id"])])

    await brought(database_url, source)

    assert await shown(database_url) == await old.read(source)


async def test_two_sites_that_import_one_database_have_the_same_records(
    database_url: str, other_database_url: str, source: str
) -> None:
    await old.insert(source, [*old.realistic_rows(200), *old.odd_rows()])

    await brought(database_url, source, piece=7)
    await brought(other_database_url, source, site_id="usdf", piece=200)

    assert await records(database_url) == await records(other_database_url)
    digests = []
    for url, site_id in ((database_url, "summit"), (other_database_url, "usdf")):
        async with (
            running(url, site_id=site_id) as runtime,
            database.snapshot(runtime.reads) as connection,
        ):
            digests.append(await check.digest_of(connection))
    assert digests[0] == digests[1]


async def test_what_was_said_here_stays_beside_what_is_imported(
    database_url: str, source: str
) -> None:
    row = a_row(123)
    await old.insert(source, [row])
    await brought(database_url, source)
    key = "exposure:LSSTCam/2025111900123"

    async with service(database_url) as annolog:
        await annolog.say(key, flag="junk")
        assert (await annolog.state(key))["flag"] == "junk"
    again = await brought(database_url, source)

    assert again.messages == 0
    assert len(await shown(database_url)) == 2
    assert await faults(database_url) == []


async def test_a_message_that_was_edited_here_keeps_its_edit(
    database_url: str, source: str
) -> None:
    row = a_row(123)
    await old.insert(source, [row])
    await brought(database_url, source)

    async with service(database_url) as annolog:
        await annolog.client.patch(
            f"/exposurelog/messages/{row['id']}", json={"message_text": "here"}
        )
    await old.change(source, "update message set date_invalidated = now()::timestamp")
    done = await brought(database_url, source)

    assert (done.messages, done.invalidations) == (0, 1)
    texts = {row["message_text"]: row["is_valid"] for row in await shown(database_url)}
    assert texts == {"message 123": False, "here": True}


# ---------------------------------------------------------------- interruptions


def test_an_import_that_was_killed_goes_on_where_it_was(
    database_url: str, source: str, tmp_path: Path
) -> None:
    rows = old.realistic_rows(1_500)
    run_apart(old.insert(source, rows))
    arguments = ("import", "exposurelog", "--from", source, "--batch", "5")
    environment = {
        "ANNOLOG_DATABASE_URL": database_url,
        "ANNOLOG_SITE_ID": "summit",
        "ANNOLOG_HOME": str(tmp_path),
    }
    half = 0
    for _ in range(2):
        least = half + 50
        process = Marked(("-m", "annolog.cli", *arguments), tmp_path, environment)
        try:
            while (half := counted(database_url)) < least:
                assert process.process.poll() is None, process.told()
                time.sleep(0.02)
        finally:
            process.close()
        half = counted(database_url)

    done = run_apart(brought(database_url, source, piece=500))

    assert 100 <= half < len(rows)
    assert done.messages == len(rows) - half
    assert run_apart(shown(database_url)) == by_id(rows)
    assert run_apart(faults(database_url)) == []


def counted(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            found: int = await connection.fetchval("select count(*) from message")
        finally:
            await connection.close()
        return found

    return run_apart(count())


# --------------------------------------------------------------------- the command

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ("import", "exposurelog", *arguments))

    return invoke


def _forms(url: str) -> list[str]:
    """Write down where a database is in the ways that people do."""
    parts = urlsplit(url)
    place = dict(parse_qsl(parts.query))
    host = place.get("host") or parts.hostname
    port = place.get("port") or parts.port or 5432
    name, user = parts.path[1:], parts.username or place.get("user")
    return [
        url,
        url.replace("postgresql://", "postgres://"),
        url.replace("postgresql://", "postgresql+asyncpg://"),
        f"postgresql+psycopg2://{user}@/{name}?host={host}&port={port}",
        f"host='{host}' port={port} dbname={name} user={user} connect_timeout=3",
    ]


def test_the_command_takes_all_ways_to_write_an_address(run: Run, source: str) -> None:
    run_apart(old.insert(source, old.realistic_rows(30)))

    new = []
    for address in _forms(source):
        result = run("--from", address, "--json")
        assert result.exit_code == 0, result.output
        new.append(json.loads(result.stdout)["messages"])

    assert new == [30, 0, 0, 0, 0]


def test_the_command_says_what_it_did(run: Run, source: str) -> None:
    run_apart(
        old.insert(source, [a_row(1), a_row(2, date_invalidated=a_row()["date_added"])])
    )

    result = run("--from", source, "--batch", "1")

    assert result.exit_code == 0
    assert "2 messages read, 2 of them new, 1 invalidations new" in result.stdout


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("drop table message", "has no table `message`"),
        ("alter table message drop user_id, drop tags", "no column tags, user_id"),
    ],
)
def test_a_database_of_another_layout_is_refused(
    run: Run, source: str, statement: str, complaint: str
) -> None:
    run_apart(old.change(source, statement))

    result = run("--from", source)

    assert result.exit_code == 1
    assert complaint in result.stderr


def test_a_source_that_is_away_is_said_to_be(run: Run) -> None:
    result = run("--from", "host=/nowhere dbname=exposurelog user=me password=secret")

    assert result.exit_code == 1
    assert "the exposurelog database cannot be reached" in result.stderr
    assert "secret" not in result.stderr


def test_an_address_that_is_none_is_wrong_use(run: Run) -> None:
    result = run("--from", "mysql://me:secret@host/db")

    assert result.exit_code == 2
    assert "secret" not in result.stderr


def test_a_database_without_a_schema_is_wrong_use(
    run: Run, source: str, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", empty_database_url)

    result = run("--from", source)

    assert result.exit_code == 2
    assert "run annologd migrate" in result.stderr


def test_the_source_is_never_written_to(run: Run, source: str) -> None:
    run_apart(old.insert(source, old.realistic_rows(20)))
    name = urlsplit(source).path[1:]
    run_apart(
        old.change(
            source, f'alter database "{name}" set default_transaction_read_only = on'
        )
    )

    result = run("--from", source)

    assert result.exit_code == 0
