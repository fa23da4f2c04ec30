"""What the service asks of butlers, and what it answers without them."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from annolog.butler.bringing import Bringer, Thorough
from annolog.butler.registries import Registries
from annolog.butler.repository import Patience
from annolog.domain.errors import InvalidError, NotFoundError, UnavailableError
from annolog.domain.registries import ExposureQuery
from annolog.runtime import Runtime
from tests.butler.conftest import PATIENCE
from tests.butler.test_reading import CASES
from tests.support.butlers import CAMERA, MadeButler

Opening = Callable[..., AbstractAsyncContextManager[Registries]]

NAME = "MC_O_20260115_000002"
KEY = "exposure:LSSTCam/2026011500002"
ALL = ExposureQuery(CAMERA, limit=None)


@pytest.fixture
def over(runtime: Runtime) -> Opening:
    """Open the service's side of some butlers."""

    @asynccontextmanager
    async def opening(
        *uris: str, patience: Patience = PATIENCE
    ) -> AsyncIterator[Registries]:
        registries = Registries(
            uris, runtime.reads, runtime.work, runtime.lane, patience=patience
        )
        async with registries.running():
            yield registries

    return opening


async def facts(runtime: Runtime) -> list[dict[str, Any]]:
    rows = await runtime.reads.fetch(
        "select r.body from record r join change c using (record_id)"
        " where r.kind = 'exposure' order by c.number"
    )
    return [msgspec.json.decode(row["body"]) for row in rows]


async def bring(registries: Registries, runtime: Runtime, number: int = 1) -> None:
    bringer = Bringer(
        registries.repositories[number], runtime.lane, runtime.reads, runtime.work
    )
    for name in await bringer.instruments():
        await bringer.bring(name, Thorough())


def pid(registries: Registries, number: int = 1) -> int | None:
    return registries.repositories[number].pid


async def test_a_name_nobody_brought_is_asked_for_and_then_in_the_log(
    over: Opening, runtime: Runtime, today: MadeButler
) -> None:
    async with over(today.uri) as registries:
        found = await registries.find(CAMERA, NAME)
    assert found is not None
    assert (found.exposure_id, found.seq_num) == (2026011500002, 2)
    [fact] = await facts(runtime)
    assert (fact["key"], fact["source"], fact["event"]) == (KEY, "butler", "record")
    assert (fact["author"], fact["author_kind"]) == ("butler", "bot")
    assert fact["fields"]["obs_id"] == NAME
    # TAI is ahead of UTC by 37 s.
    assert fact["fields"]["begin"] == "2026-01-15T23:00:31.000000Z"
    assert fact["fields"]["end"] == "2026-01-15T23:01:01.000000Z"
    assert fact["fields"]["physical_filter"] == "r_57"


async def test_a_known_name_needs_no_butler(
    over: Opening, runtime: Runtime, today: MadeButler
) -> None:
    async with over(today.uri) as registries:
        await registries.find(CAMERA, NAME)
    async with over(today.uri) as registries:
        assert await registries.find(CAMERA, NAME) is not None
        assert pid(registries) is None
    assert len(await facts(runtime)) == 1


async def test_two_readers_of_one_butler_say_a_fact_once(
    over: Opening, runtime: Runtime, today: MadeButler
) -> None:
    async with over(today.uri) as one, over(today.uri) as other:
        await one.repositories[1].instruments()
        await other.repositories[1].instruments()
        await bring(one, runtime)
        await runtime.work.execute("delete from registry_exposure")
        await bring(other, runtime)
    assert len(await facts(runtime)) == 9


async def test_a_name_that_no_butler_has_is_none(
    over: Opening, runtime: Runtime, today: MadeButler
) -> None:
    async with over(today.uri) as registries:
        assert await registries.find(CAMERA, "MC_O_20260115_999999") is None
        assert await registries.find("na", NAME) is None
        assert await registries.find(CAMERA, "a\0b") is None
    async with over() as none:
        assert await none.find(CAMERA, NAME) is None
    assert await facts(runtime) == []


async def test_butlers_are_asked_in_their_order(
    over: Opening, today: MadeButler, tmp_path: Path
) -> None:
    second = MadeButler.create(tmp_path / "second", instruments=("LATISS",))
    second.take([7], instrument="LATISS")
    async with over(today.uri, "", second.uri) as registries:
        found = await registries.find("LATISS", "MC_O_20260115_000007")
        assert found is not None
        assert await registries.find(CAMERA, NAME) is not None
        assert await registries.instruments(1) == [CAMERA]
        assert await registries.instruments(3) == ["LATISS"]
        with pytest.raises(NotFoundError, match="no butler 2"):
            await registries.instruments(2)
        with pytest.raises(NotFoundError, match="no butler 4"):
            await registries.exposures(4, ALL)
    assert registries.uris == (today.uri, "", second.uri)


async def test_an_instrument_that_annolog_does_not_know_is_kept(
    over: Opening, runtime: Runtime, tmp_path: Path
) -> None:
    odd = MadeButler.create(tmp_path / "odd", instruments=("Übü Cam/1",))
    odd.take([1], instrument="Übü Cam/1", obs_id="x y/1", day_obs=20260115, seq_num=-4)
    async with over(odd.uri) as registries:
        found = await registries.find("Übü Cam/1", "x y/1")
        assert found is not None
        [fact] = await facts(runtime)
        assert fact["key"] == "exposure:%C3%9Cb%C3%BC%20Cam%2F1/2026011500001"
        assert fact["fields"]["seq_num"] == -4
        # Whatever was said of it while only its name was known is said of it.
        assert fact["twin"] == "exposure:%C3%9Cb%C3%BC%20Cam%2F1/obs_id=x%20y%2F1"


async def test_a_butler_that_is_away_takes_only_its_own_along(
    over: Opening, today: MadeButler, tmp_path: Path
) -> None:
    nothing = str(tmp_path / "nothing")
    async with over(nothing, today.uri) as registries:
        assert await registries.find(CAMERA, NAME) is not None
        with pytest.raises(UnavailableError, match="butler 1 is away"):
            await registries.find(CAMERA, "MC_O_20260115_999999")
        assert await registries.instruments(1) == []
        assert await registries.instruments(2) == [CAMERA]
        assert len(await registries.exposures(2, ALL)) == 9
        with pytest.raises(UnavailableError, match="butler 1 is away"):
            await registries.exposures(1, ALL)


async def test_a_butler_that_is_away_does_not_count_for_instruments_it_has_not(
    over: Opening, runtime: Runtime, today: MadeButler, tmp_path: Path
) -> None:
    nothing = str(tmp_path / "nothing")
    async with over(today.uri, nothing) as registries:
        with pytest.raises(UnavailableError, match="butler 2 is away"):
            await registries.find(CAMERA, "MC_O_20260115_999999")
        await runtime.work.execute(
            "update registry set instruments = '{LATISS}' where uri = $1", nothing
        )
        assert await registries.find(CAMERA, "MC_O_20260115_999999") is None
        with pytest.raises(UnavailableError, match="butler 2 is away"):
            await registries.find("LATISS", "AT_O_20260115_000001")


async def test_while_a_butler_hangs_what_is_known_is_answered(
    over: Opening, runtime: Runtime, today: MadeButler
) -> None:
    async with over(today.uri) as registries:
        await bring(registries, runtime)
        listed = await registries.exposures(1, ALL)
        await runtime.work.execute(
            "update registry_reading set read_at = now() - interval '1 hour'"
        )
        await runtime.work.execute(
            "update registry set instruments_at = now() - interval '1 hour'"
        )
    hasty = Patience(answer=0.5, start=30.0, away=5.0)
    async with over(today.uri, patience=hasty) as registries:
        while pid(registries) is None:
            await registries.instruments(1)
        child = pid(registries)
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        assert await registries.find(CAMERA, NAME) is not None
        assert await registries.exposures(1, ALL) == listed
        assert await registries.instruments(1) == [CAMERA]
        assert await registries.exposures(1, ExposureQuery("na")) == []
        night = ExposureQuery(CAMERA, min_day_obs=20990101)
        assert await registries.exposures(1, night) == []
        with pytest.raises(UnavailableError, match="butler 1 is away"):
            await registries.find(CAMERA, "MC_O_20260115_999999")


async def test_what_was_read_just_now_answers_as_the_butler_does(
    over: Opening, runtime: Runtime, today: MadeButler
) -> None:
    async with over(today.uri) as registries:
        asked = [await registries.exposures(1, query) for query, _ in CASES]
        await bring(registries, runtime)
    async with over(today.uri) as registries:
        for (query, expected), answer in zip(CASES, asked, strict=True):
            known = await registries.exposures(1, query)
            assert known == answer, query
            assert [(one.day_obs, one.seq_num) for one in known] == expected
        assert pid(registries) is None


async def test_open_and_missing_timespans_are_found_alike_without_the_butler(
    over: Opening, runtime: Runtime, fresh: MadeButler
) -> None:
    fresh.take([1, 2, 3, 4], timespan=None, target_name=None)
    fresh.take([5, 6, 7], tracking_ra=float("nan"), sky_angle=None)
    queries = [
        ExposureQuery(CAMERA, order_by=order, limit=limit)
        for name in ("timespan_begin", "target_name", "tracking_ra", "sky_angle")
        for order in ((name,), (f"-{name}", "-id"))
        for limit in (3, None)
    ]
    async with over(fresh.uri) as registries:
        asked = [await registries.exposures(1, query) for query in queries]
        await bring(registries, runtime)
        known = [await registries.exposures(1, query) for query in queries]
    assert known == asked


async def test_a_list_that_was_not_read_just_now_is_the_butlers_own_and_is_kept(
    over: Opening, runtime: Runtime, fresh: MadeButler
) -> None:
    fresh.take([1, 2])
    async with over(fresh.uri) as registries:
        assert len(await registries.exposures(1, ALL)) == 2
        fresh.take([3])
        assert len(await registries.exposures(1, ALL)) == 3
        assert await facts(runtime) == []
        noted = await runtime.reads.fetchval("select count(*) from registry_exposure")
        assert noted == 3
        # Listed is not yet in the log; whoever names it brings it there.
        assert await registries.find(CAMERA, NAME) is not None
        assert len(await facts(runtime)) == 1


async def test_without_the_butlers_library_a_butler_is_refused_at_start(
    over: Opening, today: MadeButler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lsst", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InvalidError, match=r"pip install 'annolog\[butler\]'") as fault:
        async with over(today.uri):
            pass
    assert fault.value.reason_code == "setting_butler"
    async with over():
        pass
