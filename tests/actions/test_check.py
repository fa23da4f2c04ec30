"""A check finds what does not follow from the records."""

import asyncio
import json

import asyncpg
import pytest
from click.testing import CliRunner

from annolog.actions import check
from annolog.cli.main import main
from annolog.storage.database import snapshot
from tests.support.service import service

ONE = "exposure:LSSTCam/2026111900001"

TAMPERINGS = (
    "update said set flag = 'good' where to_number is null",
    "update said set vote_clock = vote_clock + 1 where to_number is null",
    "delete from said where to_number is null",
    "update target_state set flag = 'good'",
    "delete from target_state",
    "update revision set current_to = number + 1 where current_to is null",
    "update revision set counted = false where counted",
    "update revision set tags = '{wind}' where current_to is null",
    "update record set body = body || ' ' where kind = 'review'",
    "delete from review",
    "delete from change where number = (select max(number) - 1 from change)",
    "update entry set fields = '{}' where kind = 'flag' and entry_key = 'junk'",
    "update target set day_obs = 20261120",
    "update target set class_id = class_id + 1",
)


async def tampered(url: str, statement: str) -> list[check.Fault]:
    async with service(url) as annolog:
        said = await annolog.say(ONE, flag="junk", tags=["donuts"], text="bad")
        await annolog.edit(said, text="worse")
        await annolog.review(said, "reject", by="ann", reason="it is fine")
        async with snapshot(annolog.runtime.reads) as connection:
            assert (await check.check_all(connection)).faults == []
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()
        async with snapshot(annolog.runtime.reads) as connection:
            return (await check.check_all(connection)).faults


@pytest.mark.parametrize("statement", TAMPERINGS)
async def test_a_row_that_was_tampered_with_is_found(
    database_url: str, statement: str
) -> None:
    assert await tampered(database_url, statement) != []


async def test_a_redacted_word_that_is_still_there_is_found(database_url: str) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(ONE, text="secret")
        path = f"/annotations/{said['annotation_id']}/redact"
        done = await annolog.post(path, {"reason": "by mistake"})
        async with snapshot(annolog.runtime.reads) as connection:
            clean = (await check.check_all(connection)).faults
        connection = await asyncpg.connect(database_url)
        await connection.execute("update revision set words = to_tsvector('secret')")
        await connection.close()
        async with snapshot(annolog.runtime.reads) as connection:
            found = (await check.check_all(connection)).faults

    assert done.status_code == 201
    assert clean == []
    assert ["can be searched" in one.sentence for one in found] == [True]


async def test_a_word_that_is_still_in_a_redacted_version_is_found(
    database_url: str,
) -> None:
    rows = [{"instrument": "LSSTCam", "exposure": 2026111900001, "comment": "secret"}]
    async with service(database_url) as annolog:
        await annolog.post("/data-id-sets/bad/versions", rows)
        connection = await asyncpg.connect(database_url)
        kept = await connection.fetchval(
            "select body from record where kind = 'set_rows'"
        )
        path = "/data-id-sets/bad/versions/1/redact"
        data_id = {"instrument": "LSSTCam", "exposure": 2026111900001}
        draft = {"reason": "by mistake", "data_ids": [data_id]}
        done = await annolog.post(path, draft)
        async with snapshot(annolog.runtime.reads) as conn:
            clean = (await check.check_all(conn)).faults
        await connection.execute(
            "update record set body = $1 where kind = 'set_rows'", kept
        )
        await connection.close()
        async with snapshot(annolog.runtime.reads) as conn:
            found = (await check.check_all(conn)).faults

    assert done.status_code == 201
    assert clean == []
    assert any("some are still there" in one.sentence for one in found)


def test_the_command_prints_differences_and_ends_with_1(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(tampered(database_url, "select 1"))
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", database_url)
    good = CliRunner().invoke(main, ["check", "--json"])
    digest = CliRunner().invoke(main, ["check", "--digest"])
    asyncio.run(tampered_at(database_url))
    bad = CliRunner().invoke(main, ["check"])

    assert good.exit_code == 0, good.output
    assert json.loads(good.output)["digest"] == digest.output.strip()
    assert bad.exit_code == 1
    assert "flag is 'good' and should be 'junk'" in bad.output


async def tampered_at(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("update target_state set flag = 'good'")
    await connection.close()
