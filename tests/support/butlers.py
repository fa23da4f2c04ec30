"""Real butlers, made with lsst-daf-butler: today's dimension universe and old ones.

    made = MadeButler.create(folder / "repo")            # universe=0 for an old one
    made.take(range(1, 21), day_obs=20260115)
    made.define_visits({2026011500001: [2026011500001, 2026011500002]})
    raws = made.ingest([2026011500001], detectors=[0, 1])

Its registry is all that counts here: datasets have no files.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeAlias

from astropy.time import Time, TimeDelta
from lsst.daf.butler import (
    Butler,
    Config,
    DatasetIdGenEnum,
    DatasetRef,
    DatasetType,
    DimensionConfig,
    Timespan,
)
from lsst.daf.butler.tests.utils import create_populated_sqlite_registry
from lsst.resources import ResourcePath

CAMERA = "LSSTCam"
"""Instrument of what is taken, unless told otherwise."""

NIGHT = 20260115
"""Night of what is taken, unless told otherwise."""

Clone: TypeAlias = Callable[[str], str]
"""Clones a database of a given name, and gives the URL of the clone."""

_OLD = "resource://lsst.daf.butler/configs/old_dimensions/daf_butler_universe{}.yaml"
_SUBSET = "resource://lsst.daf.butler/tests/registry_data/lsstcam-subset.yaml"
_MOST = 10**13


@dataclass(frozen=True)
class MadeButler:
    """A butler of a test's own, open to be written."""

    uri: str
    butler: Butler

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        universe: int | None = None,
        instruments: Sequence[str] = (CAMERA,),
        database: str | None = None,
    ) -> Self:
        """Make a repository; `universe` is the number of an old one.

        It is on SQLite, or on a PostgreSQL database that has the extension btree_gist.
        """
        if database is None:
            shutil.copytree(_empty(universe), root, dirs_exist_ok=True)
        else:
            config = Config()
            config[".registry.db"] = database
            Butler.makeRepo(str(root), config=config, dimensionConfig=_of(universe))
        made = cls(str(root), Butler.from_config(str(root), writeable=True))
        for name in instruments:
            made.add_instrument(name)
        return made

    def copy(self, root: Path, *, database: str | None = None) -> Self:
        """Give another with the same in it, which is quicker than to make it again.

        One on PostgreSQL must be closed, and `database` be a clone of its own.
        """
        shutil.copytree(self.uri, root)
        if database is not None:
            file = root / "butler.yaml"
            own = Config(str(file))[".registry.db"]
            file.write_text(file.read_text().replace(own, database))
        return type(self)(str(root), Butler.from_config(str(root), writeable=True))

    def close(self) -> None:
        """Close its connections, which the end of a database waits for."""
        self.butler.close()

    def add_instrument(self, name: str) -> None:
        self._insert(
            "instrument",
            [
                {
                    "name": name,
                    "detector_max": 205,
                    "visit_max": _MOST,
                    "exposure_max": _MOST,
                    "visit_system": 2,
                    "class_name": "lsst.obs.lsst.LsstCam",
                }
            ],
        )
        self._insert(
            "physical_filter", [{"instrument": name, "name": "r_57", "band": "r"}]
        )
        if not self._is_dimension("day_obs"):
            self._insert(
                "visit_system", [{"instrument": name, "id": 2, "name": "by-seq"}]
            )

    def take(
        self,
        seq_nums: Iterable[int],
        *,
        day_obs: int = NIGHT,
        instrument: str = CAMERA,
        **fields: Any,  # noqa: ANN401 - fields of the butler's exposure, by name
    ) -> list[int]:
        """Add exposures, 34 s apart; give their ids."""
        rows: list[dict[str, Any]] = []
        for seq_num in seq_nums:
            begin = _begin(day_obs, seq_num)
            end = begin + TimeDelta(30.0, format="sec")
            rows.append(
                {
                    "instrument": instrument,
                    "id": day_obs * 100_000 + seq_num,
                    "obs_id": f"MC_O_{day_obs}_{seq_num:06d}",
                    "physical_filter": "r_57",
                    "day_obs": day_obs,
                    "seq_num": seq_num,
                    "seq_start": seq_num,
                    "seq_end": seq_num,
                    "group": f"{day_obs}g{seq_num // 2}",
                    "exposure_time": 30.0,
                    "dark_time": 30.5,
                    "observation_type": "science",
                    "observation_reason": "survey",
                    "target_name": "lowdust",
                    "science_program": "BLOCK-365",
                    "tracking_ra": 187.25,
                    "tracking_dec": -5.5,
                    "sky_angle": 12.0,
                    "azimuth": 101.0,
                    "zenith_angle": 33.5,
                    "has_simulated": False,
                    "can_see_sky": True,
                    "timespan": Timespan(begin, end),
                }
                | fields
            )
        self.add_exposures(rows)
        return [row["id"] for row in rows]

    def add_exposures(
        self, rows: Sequence[Mapping[str, Any]], *, replace: bool = False
    ) -> None:
        """Add exposures as today's universe has them, or say them anew."""
        for element, field, key in (
            ("day_obs", "day_obs", "id"),
            ("group", "group", "name"),
        ):
            if self._is_dimension(element):
                values = {(row["instrument"], row[field]) for row in rows}
                self._insert(
                    element,
                    [
                        {"instrument": instrument, key: value}
                        for instrument, value in sorted(values)
                    ],
                    skip=True,
                )
        self._insert("exposure", rows, replace=replace)

    def define_visits(
        self,
        visits: Mapping[int, Sequence[int]],
        *,
        day_obs: int = NIGHT,
        instrument: str = CAMERA,
    ) -> None:
        """Say of which exposures visits are made."""
        self._insert(
            "visit",
            [
                {
                    "instrument": instrument,
                    "id": visit,
                    "name": str(visit),
                    "physical_filter": "r_57",
                    "visit_system": 2,
                    "day_obs": day_obs,
                    "seq_num": visit % 100_000,
                    "exposure_time": 30.0 * len(exposures),
                    "target_name": "lowdust",
                    "observation_reason": "survey",
                    "science_program": "BLOCK-365",
                }
                for visit, exposures in visits.items()
            ],
        )
        self._insert(
            "visit_definition",
            [
                {
                    "instrument": instrument,
                    "exposure": exposure,
                    "visit": visit,
                    "visit_system": 2,
                }
                for visit, exposures in visits.items()
                for exposure in exposures
            ],
        )

    def add_detectors(
        self, numbers: Iterable[int], *, instrument: str = CAMERA
    ) -> None:
        """Say which detectors an instrument has."""
        self._insert(
            "detector",
            [
                {
                    "instrument": instrument,
                    "id": number,
                    "full_name": f"R22_S{number:03d}",
                    "raft": "R22",
                    "purpose": "SCIENCE",
                }
                for number in numbers
            ],
            skip=True,
        )

    def ingest(
        self,
        exposures: Iterable[int],
        *,
        detectors: Sequence[int] = (0,),
        name: str = "raw",
        run: str = "LSSTCam/raw/all",
        instrument: str = CAMERA,
    ) -> list[DatasetRef]:
        """Add datasets; again they have the same ids, as raws of Rubin have."""
        self.add_detectors(detectors, instrument=instrument)
        universe = self.butler.dimensions
        kind = DatasetType(
            name,
            {"instrument", "exposure", "detector"},
            "StructuredDataDict",
            universe=universe,
        )
        registry = self.butler.registry
        registry.registerDatasetType(kind)
        self.butler.collections.register(run)
        refs = [
            DatasetRef(
                kind,
                registry.expandDataId(
                    instrument=instrument, exposure=exposure, detector=detector
                ),
                run=run,
                id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
            )
            for exposure in exposures
            for detector in detectors
        ]
        with self.butler.transaction():
            registry._importDatasets(refs)
        return refs

    def _is_dimension(self, name: str) -> bool:
        return name in self.butler.dimensions.dimensions.names

    def _insert(
        self,
        element: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        replace: bool = False,
        skip: bool = False,
    ) -> None:
        names = self.butler.dimensions[element].RecordClass.fields.names
        known = []
        for row in rows:
            fields = {name: row[name] for name in names if name in row}
            if "group_name" in names:
                fields["group_name"] = row["group"]
            known.append(fields)
        self.butler.registry.insertDimensionData(
            element, *known, replace=replace, skip_existing=skip
        )


def _of(universe: int | None) -> DimensionConfig | None:
    return None if universe is None else DimensionConfig(_OLD.format(universe))


@cache
def _empty(universe: int | None) -> Path:
    """Make an empty repository on SQLite, to be copied: that takes no time at all."""
    folder = Path(tempfile.mkdtemp(prefix="annolog-butler-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = folder / "repo"
    Butler.makeRepo(str(root), dimensionConfig=_of(universe))
    return root


def on_sky(root: Path) -> MadeButler:
    """Make a butler with two exposures that were really taken, and their visits."""
    source = create_populated_sqlite_registry(ResourcePath(_SUBSET))
    shutil.copytree(_empty(None), root, dirs_exist_ok=True)
    made = MadeButler(str(root), Butler.from_config(str(root), writeable=True))
    for element in (
        "instrument",
        "day_obs",
        "group",
        "physical_filter",
        "exposure",
        "visit",
        "visit_definition",
    ):
        with source.query() as query:
            records = list(query.dimension_records(element))
        made.butler.registry.insertDimensionData(element, *records)
    return made


def _begin(day_obs: int, seq_num: int) -> Time:
    year, month, day = day_obs // 10_000, day_obs // 100 % 100, day_obs % 100
    dusk = Time(f"{year:04}-{month:02}-{day:02}T23:00:00", scale="tai")
    return dusk + TimeDelta(34.0 * seq_num, format="sec")
