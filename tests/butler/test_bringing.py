"""A registry into the log: all of it once, then what is new or has changed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from lsst.daf.butler import Timespan

from annolog.actions import check
from annolog.butler import bringing
from annolog.butler.bringing import Bringer, Brought, Thorough
from annolog.butler.repository import Repository
from annolog.domain.errors import UnavailableError
from annolog.runtime import Runtime
from annolog.storage.database import snapshot
from tests.butler.conftest import PATIENCE
from tests.support.butlers import CAMERA, MadeButler

LATE = Thorough(exposures=True, visits=True)
LAST_NIGHTS = Thorough(exposures=False, visits=False)


@asynccontextmanager
async def bringing_from(
    made: MadeButler, runtime: Runtime, tell: Callable[[Brought], None] = lambda _: None
) -> AsyncIterator[Bringer]:
    repository = Repository(made.uri, "butler 1", PATIENCE)
    try:
        yield Bringer(repository, runtime.lane, runtime.reads, runtime.work, tell=tell)
    finally:
        await repository.close()


async def known(runtime: Runtime) -> list[tuple[int, int, str]]:
    rows = await runtime.reads.fetch(
        "select day_obs, seq_num, state from exposure order by day_obs, seq_num"
    )
    return [tuple(row) for row in rows]


async def visits(runtime: Runtime) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in await runtime.reads.fetch(
        "select visit_key, exposure_key from visit_exposure where to_number is null"
        " order by visit_key, exposure_key"
    ):
        visit = row["visit_key"].rpartition("=")[2]
        found.setdefault(visit, []).append(row["exposure_key"].rpartition("/")[2])
    return found


async def field(runtime: Runtime, seq_num: int, name: str) -> object:
    return await runtime.reads.fetchval(
        "select fields ->> $2 from exposure where seq_num = $1", seq_num, name
    )


async def noted(runtime: Runtime) -> int:
    count: int = await runtime.reads.fetchval("select count(*) from registry_exposure")
    return count


async def test_all_exposures_and_visits_come_once(
    runtime: Runtime, today: MadeButler
) -> None:
    told: list[int] = []
    async with bringing_from(
        today, runtime, lambda one: told.append(one.exposures)
    ) as bringer:
        assert await bringer.instruments() == [CAMERA]
        first = await bringer.bring(CAMERA, LATE)
        again = await bringer.bring(CAMERA, LATE)
        everything = await bringer.bring(CAMERA, Thorough(everything=True))
    assert first == Brought(CAMERA, True, 9, 9, 2, 2)
    assert (again.exposures_written, again.visits_written) == (0, 0)
    assert (everything.exposures, everything.exposures_written) == (9, 0)
    assert told == [9, 9, 9]
    assert await known(runtime) == [
        *((20260115, seq, "ingested") for seq in range(1, 7)),
        *((20260116, seq, "ingested") for seq in range(1, 4)),
    ]
    assert await visits(runtime) == {
        "2026011500001": ["2026011500001", "2026011500002"],
        "2026011500003": ["2026011500003"],
    }
    async with snapshot(runtime.reads) as connection:
        assert (await check.check_all(connection)).faults == []


async def test_the_oldest_universe_gives_the_same_records(
    runtime: Runtime, today: MadeButler, universe_0: MadeButler
) -> None:
    async with bringing_from(today, runtime) as bringer:
        await bringer.bring(CAMERA, LATE)
    async with bringing_from(universe_0, runtime) as bringer:
        brought = await bringer.bring(CAMERA, LATE)
    assert (brought.exposures, brought.visits) == (9, 2)
    # It knows less of each exposure, and nothing else.
    assert (brought.exposures_written, brought.visits_written) == (0, 0)


async def test_new_and_changed_records_of_the_last_nights_are_seen(
    runtime: Runtime, fresh: MadeButler
) -> None:
    for day in (20260113, 20260114, 20260115):
        fresh.take([1, 2], day_obs=day)
    async with bringing_from(fresh, runtime) as bringer:
        await bringer.bring(CAMERA, LATE)
        [row] = fresh.take([3])
        fresh.define_visits({row: [row]})
        fresh.take([4], day_obs=20260114)
        with fresh.butler.query() as query:
            [old] = query.where(
                instrument=CAMERA, exposure=2026011500001
            ).dimension_records("exposure")
        changed = {**old.toDict(), "target_name": "ddf", "exposure_time": 31.5}
        fresh.add_exposures([changed], replace=True)
        brought = await bringer.bring(CAMERA, LAST_NIGHTS)
    assert not brought.swept
    assert brought.exposures == 6  # of two nights
    assert (brought.exposures_written, brought.visits_written) == (3, 1)
    target = await runtime.reads.fetchval(
        "select target_name from registry_exposure where exposure_id = 2026011500001"
    )
    assert target == "ddf"
    seconds = await runtime.reads.fetchval(
        "select exposure_time from exposure where exposure_id = 2026011500001"
    )
    assert seconds == 31_500


async def test_an_end_that_comes_later_completes_the_exposure(
    runtime: Runtime, fresh: MadeButler
) -> None:
    fresh.take([1], timespan=None)
    async with bringing_from(fresh, runtime) as bringer:
        await bringer.bring(CAMERA, LATE)
        assert await field(runtime, 1, "end") is None
        with fresh.butler.query() as query:
            [old] = query.where(instrument=CAMERA).dimension_records("exposure")
        span = Timespan.from_day_obs(20260115, offset=0)
        fresh.add_exposures([{**old.toDict(), "timespan": span}], replace=True)
        await bringer.bring(CAMERA, LAST_NIGHTS)
    assert await field(runtime, 1, "end") is not None


async def test_records_and_visits_of_nights_long_past_are_seen_by_their_number(
    runtime: Runtime, fresh: MadeButler
) -> None:
    first, second = fresh.take([1, 2], day_obs=20260101)
    for day in (20260114, 20260115):
        fresh.take([1], day_obs=day)
    async with bringing_from(fresh, runtime) as bringer:
        await bringer.bring(CAMERA, LATE)
        fresh.take([3], day_obs=20260101)
        assert (await bringer.bring(CAMERA, LAST_NIGHTS)).exposures_written == 0
        late = await bringer.bring(CAMERA, LATE)
        assert (late.swept, late.exposures_written) == (True, 1)
        assert not (await bringer.bring(CAMERA, LATE)).swept
        fresh.define_visits({first: [first, second]}, day_obs=20260101)
        late = await bringer.bring(CAMERA, LATE)
        assert (late.swept, late.visits_written) == (True, 1)
        assert not (await bringer.bring(CAMERA, LATE)).swept


async def test_a_visit_across_two_pages_comes_whole(
    runtime: Runtime, fresh: MadeButler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "PAGE", 2)
    ids = fresh.take(range(1, 6))
    fresh.define_visits({ids[0]: ids[:3], ids[3]: ids[3:]})
    async with bringing_from(fresh, runtime) as bringer:
        await bringer.bring(CAMERA, LATE)
        assert not (await bringer.bring(CAMERA, LATE)).swept
    assert await visits(runtime) == {
        "2026011500001": [str(one) for one in ids[:3]],
        "2026011500004": [str(one) for one in ids[3:]],
    }
    records = await runtime.reads.fetchval(
        "select count(*) from record where kind = 'visit'"
    )
    assert records == 2


async def test_a_reading_that_was_broken_off_goes_on_with_the_rest(
    runtime: Runtime, fresh: MadeButler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "PAGE", 2)
    fresh.take(range(1, 8))

    def interrupt(brought: Brought) -> None:
        if brought.exposures >= 4:
            raise KeyboardInterrupt

    async with bringing_from(fresh, runtime, interrupt) as bringer:
        with pytest.raises(KeyboardInterrupt):
            await bringer.bring(CAMERA, LATE)
    assert len(await known(runtime)) == 4
    async with bringing_from(fresh, runtime) as bringer:
        rest = await bringer.bring(CAMERA, LAST_NIGHTS)
    assert (rest.swept, rest.exposures, rest.exposures_written) == (True, 7, 3)


async def test_what_a_registry_has_no_more_is_no_more_listed_but_kept_in_the_log(
    runtime: Runtime, today: MadeButler
) -> None:
    async with bringing_from(today, runtime) as bringer:
        await bringer.bring(CAMERA, LATE)
        await runtime.work.execute(
            "insert into registry_exposure (registry_id, instrument, exposure_id,"
            " obs_id) select 1, $1, u, 'gone' from unnest($2::bigint[]) as u",
            CAMERA,
            [5, 2026011500099, 2026011600099],
        )
        await bringer.bring(CAMERA, Thorough(everything=True))
    assert await noted(runtime) == 9
    assert len(await known(runtime)) == 9


async def test_an_exposure_whose_number_makes_no_key_stops_nothing(
    runtime: Runtime, fresh: MadeButler
) -> None:
    fresh.take([1], id=-7)
    fresh.take([2, 3])
    async with bringing_from(fresh, runtime) as bringer:
        brought = await bringer.bring(CAMERA, LATE)
        assert (brought.exposures, brought.exposures_written) == (3, 2)
        assert brought.refused == 1
        assert not (await bringer.bring(CAMERA, LATE)).swept


async def test_of_an_instrument_that_is_not_there_nothing_comes(
    runtime: Runtime, today: MadeButler
) -> None:
    async with bringing_from(today, runtime) as bringer:
        assert await bringer.bring("na", LATE) == Brought("na", swept=True)


async def test_a_butler_that_is_away_ends_the_reading(runtime: Runtime) -> None:
    repository = Repository("/nowhere/at/all", "butler 1", PATIENCE)
    bringer = Bringer(repository, runtime.lane, runtime.reads, runtime.work)
    with pytest.raises(UnavailableError, match="butler 1 is away"):
        await bringer.bring(CAMERA, LATE)
    await repository.close()
