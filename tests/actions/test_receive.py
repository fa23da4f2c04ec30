"""Records of any origin, in any order, through the lane into a real database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annolog.actions import check, receive, refresh
from annolog.actions.check import Report
from annolog.domain import views
from annolog.domain.records import Record
from annolog.runtime import Runtime, opened
from annolog.storage import check as stored
from annolog.storage import database
from tests.support.histories import Step, history, steps
from tests.support.postgres import PostgresServer, run_apart


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Runtime]:
    async with opened(url, "summit") as runtime:
        yield runtime


async def delivered(
    url: str, batches: Sequence[Sequence[Record]]
) -> tuple[Report, list[Record]]:
    """Take records in, and give what a check says and what the log then holds."""
    async with running(url) as runtime:
        for batch in batches:
            await receive.records(runtime.lane, runtime.work, batch)
        while not await refresh.refresh_all(runtime.lane, runtime.work):
            pass
        async with database.snapshot(runtime.reads) as connection:
            report = await check.check_all(connection)
            log = [record async for record, _ in stored.records(connection)]
    return report, log


def shuffled(records: Sequence[Record], chance: Random) -> list[list[Record]]:
    arrivals = [*records, *records[::3]]
    chance.shuffle(arrivals)
    batches: list[list[Record]] = []
    while arrivals:
        size = chance.choice((1, 3, 40))
        batches.append(arrivals[:size])
        del arrivals[:size]
    return batches


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps(20), st.randoms(use_true_random=False))
def test_any_order_gives_one_digest_and_no_difference(
    running_postgres: PostgresServer,
    template_database: str,
    done: list[Step],
    chance: Random,
) -> None:
    records = history(done)
    url = running_postgres.create(template=template_database)
    try:
        report, log = run_apart(delivered(url, shuffled(records, chance)))
    finally:
        running_postgres.drop(url)
    wanted = views.views(log)

    assert [one.sentence for one in report.faults] == []
    assert {one.record_id for one in records} <= {one.record_id for one in log}
    hashes = [(one.record_id, one.hash) for one in log]
    assert report.digest == views.digest(wanted, hashes).hex()


def a_long_history() -> list[Record]:
    chance = Random(7)
    kinds = (
        *("create", "edit", "edit", "review", "redact", "fact", "visit", "entry"),
        *("set", "about set", "redact set"),
    )
    return history(
        [
            Step(
                chance.choice(kinds),
                chance.randrange(400),
                chance.randrange(400),
                chance.randrange(400),
                chance.randrange(3),
            )
            for _ in range(150)
        ]
    )


async def test_a_replayed_log_gives_the_same_digest(
    running_postgres: PostgresServer, database_url: str, template_database: str
) -> None:
    first, log = await delivered(database_url, shuffled(a_long_history(), Random(1)))
    url = running_postgres.create(template=template_database)
    try:
        second, _ = await delivered(url, [log])
    finally:
        running_postgres.drop(url)

    assert first.faults == []
    assert second.faults == []
    assert second.digest == first.digest


async def test_a_revision_that_holds_again_and_is_edited_in_one_turn_holds_no_more(
    database_url: str,
) -> None:
    first, edited, other, later = history(
        [
            Step("create", 0, 0, 0, 1),
            Step("edit", 0, 0, 0, 1),
            Step("again", 1, 0, 1, 1),
            Step("edit", 0, 1, 0, 1),
        ]
    )

    # The edit came before its create, and another create of the same id between them.
    report, _ = await delivered(database_url, [[edited], [other], [first, later]])

    assert report.faults == []


async def test_messages_move_to_their_exposures_when_the_create_comes_after_an_edit(
    database_url: str,
) -> None:
    created, edited = history([Step("create", 0, 0, 6, 0), Step("edit", 0, 0, 4, 1)])

    # Ordinals are counted from the exposure that the create names, which the edit
    # alone has last.
    report, _ = await delivered(database_url, [[edited], [created]])

    assert report.faults == []


@pytest.mark.parametrize("seed", range(4))
async def test_words_of_a_set_are_gone_in_whatever_order_records_come(
    running_postgres: PostgresServer,
    database_url: str,
    template_database: str,
    seed: int,
) -> None:
    records = history(
        [
            Step("set", 0, 1, 3, 1),
            Step("redact set", 1, 0, 1, 1),  # one row
            Step("set", 0, 3, 3, 1),  # another version with the same rows
            Step("redact set", 0, 1, 0, 1),  # all words
        ]
    )
    batches = shuffled(records, Random(seed))
    report, log = await delivered(database_url, batches)
    url = running_postgres.create(template=template_database)
    try:
        again, _ = await delivered(url, [log])
    finally:
        running_postgres.drop(url)

    assert report.faults == again.faults == []
    assert report.digest == again.digest
    left = {one.kind: one for one in log if one.kind.startswith("set_")}
    assert b"c1" not in left["set_rows"].body
    reasons = [one.fields()["reason"] for one in log if one.kind == "set_version"]
    assert sorted(reasons) == ["", "because"]
    assert {one.hash for one in records} <= {one.hash for one in log}
