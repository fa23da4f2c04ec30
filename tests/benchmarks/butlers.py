"""Exports into butlers: the first, one without changes, and one of few changes."""

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from astropy.time import Time, TimeDelta
from lsst.daf.butler import DataCoordinate, DatasetRef, DatasetType, Timespan

from annolog.butler.exported import Exported
from annolog.butler.exporter import Exporter
from annolog.butler.scopes import Scope
from annolog.domain.snapshots import Line as Told
from tests.benchmarks.http import Figures
from tests.benchmarks.report import Goal, Line
from tests.support.butlers import CAMERA, MadeButler
from tests.support.postgres import PostgresServer, of_debian
from tests.support.snapshots import TAKEN, Lines, a_head

DATASETS, EXPOSURES = 100_000, 20_000
"""Flagged targets."""

DETECTORS = 5
"""Datasets of one exposure."""

AT_ONCE = 20
"""Targets of one statement."""

FEW = 100
"""One statement in so many changes."""

PASS = 1.0
"""Share of the time of a first export that one without changes may take."""

CHANGES = 0.1
"""The same for an export of what changed alone."""


def measure(
    home: Path, datasets: int = DATASETS, exposures: int = EXPOSURES
) -> list[Line]:
    """Measure on SQLite and on PostgreSQL.

    Parameters
    ----------
    home
        A directory that is removed afterwards.
    datasets, exposures
        How many targets are flagged.
    """
    made = MadeButler.create(home / "sqlite")
    lines = _measure("SQLite", made, datasets, exposures)
    made.close()
    (home / "butlers").mkdir()
    server = PostgresServer(home / "butlers", binaries=of_debian(), durable=True)
    server.start()
    try:
        url = server.create("butler")
        server.execute("CREATE EXTENSION btree_gist", database="butler")
        made = MadeButler.create(home / "postgresql", database=url)
        lines += _measure("PostgreSQL", made, datasets, exposures)
        made.close()
    finally:
        server.close()
    return lines


def _measure(name: str, made: MadeButler, datasets: int, exposures: int) -> list[Line]:
    lines = Lines()
    _say(lines, _exposures(made, exposures))
    _say(lines, _datasets(made, datasets))
    exporter = Exporter(made.butler, Scope(), now=lambda: TAKEN)

    def whole() -> Exported:
        return exporter.export(lines.head, told)

    told: Sequence[Told] = lines.lines
    first = _timed(f"{name}: the first", whole)
    same = _timed(f"{name}: nothing changed", whole, (PASS, first))
    earlier = Lines(lines.number, dict(lines.said))
    _change(lines, "questionable")
    changes = lines.since(earlier)
    head = a_head(lines.number, after=earlier.number)
    few = _timed(
        f"{name}: 1 % changed, told alone",
        lambda: exporter.export(head, changes),
        (CHANGES, first),
    )
    _change(lines, "junk")
    told = lines.lines
    all_of_it = _timed(f"{name}: 1 % changed, in the whole", whole, (PASS, first))
    # Of each dataset it is asked when its exposure ended; all are old enough.
    exporter = Exporter(made.butler, Scope(embargo_hours=1.0), now=lambda: TAKEN)
    embargo = _timed(f"{name}: nothing changed, with an embargo", whole)
    return [first, same, few, all_of_it, embargo]


def _timed(
    title: str,
    export: Callable[[], Exported],
    most: tuple[float, Line] | None = None,
) -> Line:
    begun = time.perf_counter()
    done = export()
    seconds = time.perf_counter() - begun
    goals = []
    if most is not None:
        share, first = most
        words = f"{share:.0%} of the first"
        goals = [Goal.below(seconds * 1e3, share * first.figures.p50, words)]
    figures = Figures(done.touched / seconds, seconds * 1e3, seconds * 1e3, 1)
    note = f"{done.touched} rows touched"
    return Line(title, figures, goals=goals, note=note)


def _say(lines: Lines, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), AT_ONCE):
        lines.say(*keys[start : start + AT_ONCE], tags=["vignetting"])


def _change(lines: Lines, flag: str) -> None:
    for number in list(lines.said)[::FEW]:
        keys = lines.said.pop(number).counted_for
        lines.say(*keys, flag=flag, tags=["donuts"])


def _exposures(made: MadeButler, count: int) -> list[str]:
    dusk = Time("2026-01-15T23:00:00", scale="tai")
    lasted = Timespan(dusk, dusk + TimeDelta(30.0, format="sec"))
    rows = [
        {
            "instrument": CAMERA,
            "id": 2026011500000 + number,
            "obs_id": f"MC_O_20260115_{number:06d}",
            "physical_filter": "r_57",
            "day_obs": 20260115,
            "seq_num": number,
            "group": "one",
            "observation_type": "science",
            "timespan": lasted,
        }
        for number in range(1, count + 1)
    ]
    made.add_exposures(rows)
    return [f"exposure:{CAMERA}/{row['id']}" for row in rows]


def _datasets(made: MadeButler, count: int) -> list[str]:
    made.add_detectors(range(DETECTORS))
    universe = made.butler.dimensions
    kind = DatasetType(
        "raw",
        {"instrument", "exposure", "detector"},
        "StructuredDataDict",
        universe=universe,
    )
    made.butler.registry.registerDatasetType(kind)
    made.butler.collections.register("raws")
    refs = [
        DatasetRef(
            kind,
            DataCoordinate.standardize(
                instrument=CAMERA,
                exposure=2026011500001 + number // DETECTORS,
                detector=number % DETECTORS,
                universe=universe,
            ),
            run="raws",
            id=uuid.UUID(int=0x018F << 112 | 7 << 76 | 2 << 62 | number),
        )
        for number in range(count)
    ]
    made.butler.registry._importDatasets(refs, expand=False)
    return [f"dataset:{ref.id}" for ref in refs]
