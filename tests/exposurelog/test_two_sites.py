"""Messages that are changed at two sites while the link between them is cut."""

from collections.abc import Iterator

import pytest

from annolog.actions import check, receive
from annolog.actions.check import Report
from annolog.storage import check as stored
from annolog.storage import database
from tests.support.door import Door, Shown
from tests.support.nights import a_fact, announce, key
from tests.support.postgres import PostgresServer
from tests.support.service import Service, service


@pytest.fixture
def other_url(
    running_postgres: PostgresServer, template_database: str
) -> Iterator[str]:
    url = running_postgres.create(template=template_database)
    yield url
    running_postgres.drop(url)


async def send(source: Service, to: Service) -> None:
    """Bring all records of one site to another."""
    async with database.snapshot(source.runtime.reads) as connection:
        known = [record async for record, _ in stored.records(connection)]
    await receive.records(to.runtime.lane, to.runtime.work, known)


async def checked(site: Service) -> Report:
    async with database.snapshot(site.runtime.reads) as connection:
        report = await check.check_all(connection)
    assert [fault.sentence for fault in report.faults] == []
    return report


async def both(
    database_url: str, other_url: str, first: Shown, second: Shown
) -> tuple[list[Shown], str | None]:
    """Change one message of three at both sites; give what both then show."""
    async with (
        service(database_url) as summit,
        service(other_url, site_id="usdf") as usdf,
    ):
        await announce(summit, *(a_fact(seq) for seq in (1, 2, 3)))
        keys = [key(seq) for seq in (1, 2, 3)]
        await summit.say(*keys, flag="junk", text="stuck", by="ann")
        await send(summit, usdf)
        old = (await Door(summit).find())[1]
        await Door(summit).edit(old, **first)
        await Door(usdf).edit(old, **second)
        for _ in range(2):
            await send(summit, usdf)
            await send(usdf, summit)
        digests = [(await checked(site)).digest for site in (summit, usdf)]
        assert digests[0] == digests[1]
        shown = [await Door(site).find() for site in (summit, usdf)]
        assert shown[0] == shown[1]
        return shown[0], (await usdf.state(key(2)))["flag"]


async def test_one_of_two_edits_of_one_message_holds_at_both_sites(
    database_url: str, other_url: str
) -> None:
    found, flag = await both(
        database_url,
        other_url,
        {"message_text": "half open", "user_id": "bob"},
        {"exposure_flag": "none", "user_id": "eve"},
    )
    assert [one["seq_num"] for one in found] == [1, 2, 3]
    assert (found[1]["user_id"], flag) == ("bob", "junk")
