"""Real butlers of several universes, asked through the child as always."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from astropy.time import Time
from lsst.daf.butler import Timespan

from annolog.butler.repository import Repository
from annolog.butler.wire import Reading, VisitDefinition
from annolog.domain.errors import InvalidError
from annolog.domain.registries import ExposureQuery, RegistryExposure
from tests.butler.conftest import PATIENCE
from tests.support.butlers import CAMERA, MadeButler


@asynccontextmanager
async def asking(made: MadeButler) -> AsyncIterator[Repository]:
    repository = Repository(made.uri, "butler 1", PATIENCE)
    try:
        yield repository
    finally:
        await repository.close()


def numbers(found: list[Reading]) -> list[tuple[int | None, int | None]]:
    return [(one.exposure.day_obs, one.exposure.seq_num) for one in found]


def tai(text: str) -> datetime:
    return datetime.fromisoformat(text)


FIRST = RegistryExposure(
    instrument=CAMERA,
    exposure_id=2026011500001,
    obs_id="MC_O_20260115_000001",
    day_obs=20260115,
    seq_num=1,
    observation_type="science",
    observation_reason="survey",
    group_name="20260115g0",
    target_name="lowdust",
    science_program="BLOCK-365",
    tracking_ra=187.25,
    tracking_dec=-5.5,
    sky_angle=12.0,
    timespan_begin=tai("2026-01-15T23:00:34"),
    timespan_end=tai("2026-01-15T23:01:04"),
)


@pytest.mark.parametrize("universe", [0, 1, 2, 5, 6, 7])
async def test_every_dimension_universe_is_read_alike(
    universe: int, tmp_path: Path
) -> None:
    made = MadeButler.create(tmp_path / "repo", universe=universe)
    first, second, third = made.take([1, 2, 3])
    made.define_visits({first: [first, second], third: [third]})
    async with asking(made) as repository:
        [found] = await repository.exposures(
            ExposureQuery(
                CAMERA,
                min_day_obs=20260115,
                max_day_obs=20260116,
                max_seq_num=2,
                group_names=("20260115g0",),
                min_date=tai("2026-01-15T23:00:00"),
            )
        )
        assert found.exposure == FIRST
        assert found.more["physical_filter"] == "r_57"
        assert found.more["band"] == "r"
        assert found.more["exposure_time"] == 30.0
        visits = await repository.visits(CAMERA, second, second)
        assert visits == [VisitDefinition(first, (first, second))]
        assert await repository.count(CAMERA, third) == 2
        assert await repository.count(CAMERA, third + 1, visits=True) == 3
        ordered = ExposureQuery(CAMERA, order_by=("-group_name", "-day_obs"))
        assert numbers(await repository.exposures(ordered))[-1] == (20260115, 1)


async def test_exposures_that_were_really_taken(sky: MadeButler) -> None:
    async with asking(sky) as repository:
        assert await repository.instruments() == [CAMERA]
        found = await repository.exposures(ExposureQuery(CAMERA))
        assert [one.exposure.obs_id for one in found] == [
            "MC_O_20251202_000439",
            "MC_O_20251202_000440",
        ]
        begin = found[0].exposure.timespan_begin
        assert begin is not None
        assert begin.date().isoformat() == "2025-12-03"
        ids = [one.exposure.exposure_id for one in found]
        visits = await repository.visits(CAMERA, ids[0], ids[-1])
        assert [one.exposures for one in visits] == [(one,) for one in ids]


CASES: list[tuple[ExposureQuery, list[tuple[int, int]]]] = [
    (ExposureQuery(CAMERA, min_day_obs=20260116), [(20260116, n) for n in (1, 2, 3)]),
    (ExposureQuery(CAMERA, max_day_obs=20260115), []),
    (ExposureQuery(CAMERA, min_seq_num=5), [(20260115, 5), (20260115, 6)]),
    (
        ExposureQuery(CAMERA, max_seq_num=2),
        [(20260115, 1), (20260116, 1)],
    ),
    (
        ExposureQuery(CAMERA, order_by=("-obs_id",), limit=2),
        [(20260116, 3), (20260116, 2)],
    ),
    (
        ExposureQuery(CAMERA, order_by=("-timespan_end",), offset=1, limit=1),
        [(20260116, 2)],
    ),
    (
        ExposureQuery(CAMERA, order_by=("seq_num", "-day_obs"), limit=3),
        [(20260116, 1), (20260115, 1), (20260116, 2)],
    ),
    (ExposureQuery(CAMERA, offset=8, limit=None), [(20260116, 3)]),
    (ExposureQuery(CAMERA, order_by=("-id",), limit=1), [(20260116, 3)]),
    (
        ExposureQuery(CAMERA, group_names=("20260116g1", "none")),
        [
            (20260116, 2),
            (20260116, 3),
        ],
    ),
    (ExposureQuery(CAMERA, observation_types=("bias",)), []),
    (ExposureQuery(CAMERA, observation_reasons=("survey",), limit=1), [(20260115, 1)]),
    # Half-open: the first ends where the time begins.
    (
        ExposureQuery(
            CAMERA,
            min_date=tai("2026-01-15T23:01:04"),
            max_date=tai("2026-01-15T23:01:42"),
        ),
        [(20260115, 2)],
    ),
    (
        ExposureQuery(
            CAMERA,
            min_date=tai("2026-01-16T00:00:00"),
            max_date=tai("2026-01-16T00:00:00"),
        ),
        [],
    ),
    # A moment finds the exposure in which it lies.
    (
        ExposureQuery(
            CAMERA,
            min_date=tai("2026-01-15T23:00:34"),
            max_date=tai("2026-01-15T23:00:34"),
        ),
        [(20260115, 1)],
    ),
    (
        ExposureQuery(
            CAMERA,
            min_date=tai("2026-01-15T23:01:04"),
            max_date=tai("2026-01-15T23:01:04"),
        ),
        [],
    ),
    (
        ExposureQuery(CAMERA, min_day_obs=-(10**30), max_seq_num=10**30, limit=1),
        [(20260115, 1)],
    ),
    (ExposureQuery("na"), []),
]


async def test_a_query_gives_what_it_asks_for(asked: Repository) -> None:
    for query, expected in CASES:
        assert numbers(await asked.exposures(query)) == expected, query


async def test_names_are_found_and_unknown_ones_are_not(asked: Repository) -> None:
    wanted = ("MC_O_20260115_000002", "MC_O_20260115_999999", "' or 1=1 --")
    found = await asked.named(CAMERA, wanted)
    assert [one.exposure.obs_id for one in found] == [wanted[0]]
    assert await asked.named("LATISS", wanted) == []
    assert await asked.count("LATISS", 2**62) == 0
    assert await asked.visits("LATISS", 0, 2**62) == []


async def test_open_and_missing_timespans_are_null(fresh: MadeButler) -> None:
    begin = Time("2026-01-15T23:00:00", scale="tai")
    fresh.take([1], timespan=Timespan(begin, None))
    fresh.take([2], timespan=Timespan(None, begin))
    fresh.take([3], timespan=None)
    async with asking(fresh) as repository:
        spans = [
            (one.exposure.timespan_begin, one.exposure.timespan_end)
            for one in await repository.exposures(ExposureQuery(CAMERA))
        ]
        at = tai("2026-01-15T23:00:00")
        assert spans == [(at, None), (None, at), (None, None)]
        later = ExposureQuery(CAMERA, min_date=tai("2030-01-01T00:00:00"))
        assert [one.exposure.seq_num for one in await repository.exposures(later)] == [
            1
        ]


async def test_what_the_registry_lacks_is_null_and_comes_last(
    fresh: MadeButler,
) -> None:
    fresh.take([1], target_name=None, tracking_ra=None, dark_time=None)
    fresh.take([2], target_name="b", tracking_ra=float("nan"))
    fresh.take([3], target_name="B")
    async with asking(fresh) as repository:
        query = ExposureQuery(CAMERA, order_by=("target_name",))
        found = await repository.exposures(query)
        assert [one.exposure.target_name for one in found] == ["B", "b", None]
        assert [one.exposure.tracking_ra for one in found] == [187.25, None, None]
        assert "dark_time" not in found[-1].more
        query = ExposureQuery(CAMERA, order_by=("-target_name",), limit=1)
        [last] = await repository.exposures(query)
        assert last.exposure.target_name is None


def test_an_order_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(InvalidError, match="'-instrument'"):
        ExposureQuery(CAMERA, order_by=("-instrument",))
    with pytest.raises(InvalidError, match="NUL"):
        ExposureQuery(CAMERA, group_names=("a\0",))
