"""All messages go back into exposurelog's table as they came, and those said here."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from annolog.cli.main import main
from annolog.domain.errors import ConflictError
from annolog.domain.instruments import Instrument
from annolog.exposurelog import exporter, importer
from annolog.runtime import opened
from tests.support import exposurelog_database as old
from tests.support.exposurelog_database import Row, a_row
from tests.support.postgres import PostgresServer, run_apart
from tests.support.service import Service, service

KEYS = [f"exposure:LSSTCam/{2026111900000 + n}" for n in range(3)]


@pytest.fixture
def source(running_postgres: PostgresServer) -> Iterator[str]:
    """Give the URL of a database with exposurelog's empty table."""
    url = running_postgres.create()
    run_apart(old.create(url))
    yield url
    running_postgres.drop(url)


async def brought(url: str, source: str) -> importer.Progress:
    async with opened(url, "summit") as runtime:
        return await importer.bring(runtime, source)


async def answered(annolog: Service) -> list[dict[str, Any]]:
    """Give all messages as the API shows them."""
    answer = await annolog.client.get(
        "/exposurelog/messages", params={"is_valid": "either", "limit": 10_000}
    )
    shown: list[dict[str, Any]] = answer.json()
    return shown


def as_answered(rows: list[Row]) -> list[dict[str, Any]]:
    """Write rows as the API shows them."""
    return [
        {
            name: value
            if value is None or isinstance(value, bool | int | list)
            else getattr(value, "isoformat", value.__str__)()
            for name, value in row.items()
        }
        for row in rows
    ]


async def test_what_was_imported_goes_back_as_it_was(
    database_url: str, source: str, empty_database_url: str
) -> None:
    await old.insert(source, [*old.realistic_rows(300), *old.odd_rows()])
    await brought(database_url, source)

    done = await exporter.give(database_url, empty_database_url)

    rows = await old.read(source)
    assert await old.read(empty_database_url) == rows
    assert (done.messages, done.new, done.changed) == (len(rows), len(rows), 0)
    assert (done.skipped, done.orphans, done.invalid_there) == (0, 0, 0)


async def test_exporting_again_changes_nothing(
    database_url: str, source: str, empty_database_url: str
) -> None:
    await old.insert(source, [*old.realistic_rows(50), *old.odd_rows()])
    await brought(database_url, source)
    await exporter.give(database_url, empty_database_url)
    before = await old.read(empty_database_url)

    again = await exporter.give(database_url, empty_database_url)
    home = await exporter.give(database_url, source)

    assert (again.new, again.changed) == (0, 0)
    assert (home.new, home.changed) == (0, 0)
    assert await old.read(empty_database_url) == before


async def test_what_was_said_here_goes_back_as_the_api_shows_it(
    database_url: str, source: str
) -> None:
    row = a_row(7)
    await old.insert(source, [row])
    await brought(database_url, source)
    async with service(database_url) as annolog:
        junk = await annolog.say(
            *KEYS, flag="junk", text="all of them", tags=["clouds"]
        )
        await annolog.edit(junk, targets={"remove": [KEYS[1]]})
        bot = await annolog.say(KEYS[0], by="bot:finder", flag="follow_up")
        await annolog.retract(bot)
        await annolog.client.patch(
            f"/exposurelog/messages/{row['id']}", json={"message_text": "edited here"}
        )
        shown = await answered(annolog)

    done = await exporter.give(database_url, source)

    rows = await old.read(source)
    assert as_answered(rows) == shown
    assert (done.new, done.changed) == (len(shown) - 1, 1)
    edited = next(one for one in rows if one["message_text"] == "edited here")
    assert edited["parent_id"] == row["id"]


async def test_later_invalidations_and_messages_are_added(
    database_url: str, empty_database_url: str
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(KEYS[0], text="first")
        await exporter.give(database_url, empty_database_url)
        await annolog.retract(said)
        await annolog.say(KEYS[1], text="second")
        shown = await answered(annolog)

    done = await exporter.give(database_url, empty_database_url)

    assert (done.new, done.changed) == (1, 1)
    assert as_answered(await old.read(empty_database_url)) == shown


async def test_a_table_with_messages_that_are_not_known_here_is_left_alone(
    database_url: str, source: str
) -> None:
    await old.insert(source, [a_row(1)])
    await brought(database_url, source)
    await old.insert(source, [a_row(2)])
    before = await old.read(source)

    with pytest.raises(ConflictError, match="1 messages that are not known here"):
        await exporter.give(database_url, source)

    assert await old.read(source) == before


async def test_what_is_invalid_there_stays_so(database_url: str, source: str) -> None:
    row = a_row(1)
    await old.insert(source, [row])
    await brought(database_url, source)
    moment = row["date_added"] + timedelta(days=1)
    await old.change(source, "update message set date_invalidated = $1", moment)

    done = await exporter.give(database_url, source)

    assert done.invalid_there == 1
    assert (await old.read(source))[0]["date_invalidated"] == moment


async def test_exposures_without_a_known_night_are_left_out_unless_asked_for(
    database_url: str, empty_database_url: str
) -> None:
    async with service(database_url) as annolog:
        await annolog.set_entry(Instrument(name="HSC"))
        await annolog.say("exposure:HSC/HSCA01", text="of which night?")

    done = await exporter.give(database_url, empty_database_url)
    assert (done.new, done.skipped) == (0, 1)
    assert await old.read(empty_database_url) == []

    done = await exporter.give(database_url, empty_database_url, every=True)
    assert (done.new, done.skipped) == (1, 0)
    (row,) = await old.read(empty_database_url)
    assert (row["obs_id"], row["day_obs"], row["seq_num"]) == ("HSCA01", 0, 0)

    # It is there now, and is known here.
    done = await exporter.give(database_url, empty_database_url)
    assert (done.new, done.changed, done.skipped) == (0, 0, 1)


async def test_what_went_there_and_comes_back_is_not_taken_twice(
    database_url: str, empty_database_url: str
) -> None:
    async with service(database_url) as annolog:
        alone = await annolog.say(KEYS[0], text="one")
        await annolog.say(*KEYS, text="three")
        shown = await answered(annolog)
    await exporter.give(database_url, empty_database_url)
    rows = await old.read(empty_database_url)
    for row in rows:  # somebody edits and deletes there
        await old.change(
            empty_database_url,
            "update message set date_invalidated = date_added + interval '1 h'"
            " where id = $1",
            row["id"],
        )
    edit = a_row(
        9,
        parent_id=rows[0]["id"],
        date_added=rows[0]["date_added"] + timedelta(hours=1),
        message_text="edited there",
    )
    await old.insert(empty_database_url, [edit])

    done = await brought(database_url, empty_database_url)

    assert (done.messages, done.invalidations, done.left) == (1, 1, 3)
    async with service(database_url) as annolog:
        now = {one["id"]: one for one in await answered(annolog)}
    assert now.keys() == {one["id"] for one in shown} | {str(edit["id"])}
    assert not now[alone["revision_id"]]["is_valid"]
    assert now[str(edit["id"])]["is_valid"]


async def test_a_change_there_leaves_exposures_alone_that_were_added_here(
    database_url: str, empty_database_url: str
) -> None:
    async with service(database_url) as annolog:
        for text in ("edited there", "deleted there"):
            said = await annolog.say(KEYS[0], text=text)
            await annolog.edit(said, targets={"add": [KEYS[1]]})
        shown = await answered(annolog)
    await exporter.give(database_url, empty_database_url)
    begun = [row for row in await old.read(empty_database_url) if row["seq_num"] == 0]
    then = max(row["date_added"] for row in begun) + timedelta(hours=1)
    await old.change(
        empty_database_url,
        "update message set date_invalidated = $1 where seq_num = 0",
        then,
    )
    (parent,) = (row for row in begun if row["message_text"] == "edited there")
    edit = a_row(9, parent_id=parent["id"], date_added=then)
    await old.insert(empty_database_url, [edit])

    done = await brought(database_url, empty_database_url)

    assert (done.messages, done.invalidations, done.left) == (1, 0, 2)
    async with service(database_url) as annolog:
        now = {one["id"]: one for one in await answered(annolog)}
    added = now.pop(str(edit["id"]))
    assert (added["is_valid"], added["parent_id"]) == (True, str(parent["id"]))
    assert now == {one["id"]: one for one in shown}


# --------------------------------------------------------------------- the command

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ("export", "exposurelog", *arguments))

    return invoke


def test_the_command_says_what_it_did(
    run: Run, database_url: str, source: str, empty_database_url: str
) -> None:
    run_apart(old.insert(source, old.realistic_rows(20)))
    run_apart(brought(database_url, source))

    spoken = run("--to", empty_database_url)
    counted = run("--to", empty_database_url, "--json")

    assert spoken.exit_code == 0
    assert "20 messages: 20 added, 0 changed" in spoken.stdout
    assert json.loads(counted.stdout)["messages"] == 20
    assert run_apart(old.read(empty_database_url)) == run_apart(old.read(source))


def test_a_table_of_another_layout_is_refused(run: Run, source: str) -> None:
    run_apart(old.change(source, "alter table message drop urls"))

    result = run("--to", source)

    assert result.exit_code == 1
    assert "no column urls" in result.stderr


def test_a_destination_that_is_away_is_said_to_be(run: Run) -> None:
    result = run("--to", "host=/nowhere dbname=exposurelog user=me")

    assert result.exit_code == 1
    assert "the exposurelog database cannot be reached" in result.stderr
