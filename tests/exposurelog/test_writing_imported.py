"""Messages of an old database are changed and deleted like any others."""

from collections.abc import Iterator
from typing import Any

import pytest

from annolog.exposurelog import importer
from tests.support import exposurelog_database as old
from tests.support.door import Door, Shown, all_views_agree, decoded
from tests.support.exposurelog_database import a_row
from tests.support.postgres import PostgresServer, run_apart
from tests.support.service import service

CHANGED = {"id", "date_added", "parent_id", "date_invalidated", "is_valid", "site_id"}


@pytest.fixture
def source(running_postgres: PostgresServer) -> Iterator[str]:
    url = running_postgres.create()
    run_apart(old.create(url))
    yield url
    running_postgres.drop(url)


def same(message: Shown) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in CHANGED}


async def test_odd_messages_keep_what_is_odd_in_an_edit_and_can_be_deleted(
    database_url: str, source: str
) -> None:
    rows = old.odd_rows()
    await old.insert(source, rows)
    async with service(database_url) as annolog:
        await importer.bring(annolog.runtime, source)
        door = Door(annolog)
        for row in rows:
            before = await door.read(str(row["id"]))
            new = await door.edit(before)
            assert same(new) == same(before)
            assert (new["parent_id"], new["is_valid"]) == (before["id"], True)
            assert new["site_id"] == "summit"
            after = await door.read(before)
            assert not after["is_valid"]
            await door.drop(new)
            assert not (await door.read(new))["is_valid"]
    await all_views_agree(database_url)


async def test_an_old_edit_chain_goes_on_at_its_end(
    database_url: str, source: str
) -> None:
    first = a_row(1, message_text="first")
    second = a_row(2, message_text="second", parent_id=first["id"], obs_id="x")
    first["date_invalidated"] = second["date_added"]
    await old.insert(source, [first, second])
    async with service(database_url) as annolog:
        await importer.bring(annolog.runtime, source)
        door = Door(annolog)
        third = await door.edit(str(second["id"]), message_text="third")
        assert (third["obs_id"], third["parent_id"]) == ("x", str(second["id"]))
        again = await door.edit(str(first["id"]), level=40)
        assert (again["obs_id"], again["message_text"]) == (first["obs_id"], "first")
        assert again["parent_id"] == str(first["id"])
    await all_views_agree(database_url)


async def test_an_old_flag_is_a_persons_vote_until_its_message_is_edited(
    database_url: str, source: str
) -> None:
    await old.insert(source, [a_row(1, exposure_flag="junk")])
    key = "exposure:LSSTCam/2025111900001"
    async with service(database_url) as annolog:
        await importer.bring(annolog.runtime, source)
        door = Door(annolog)
        (message,) = await door.find()
        assert (await annolog.state(key))["flag"] == "junk"
        new = await door.edit(message, exposure_flag="none", user_id="bob")
        assert (await annolog.state(key))["flag"] is None
        path = f"/annotations?target={key}"
        assert decoded(await annolog.get(path))["items"][0]["author"] == "bob"
        await door.drop(new)
