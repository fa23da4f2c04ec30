"""The exporter on real butlers: any earlier state becomes the wanted one."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from lsst.daf.butler import Butler

from annolog.butler import layout
from annolog.butler.exported import Exported, Progress
from annolog.butler.exporter import Exporter
from annolog.butler.layout import LAYOUTS
from annolog.butler.reader import Reader
from annolog.butler.scopes import Scope
from annolog.butler.setrows import UnknownSetError
from annolog.butler.tables import Tables, TablesError
from annolog.domain.snapshots import Line, SetVersion
from annolog.domain.times import Span
from tests.support.butlers import CAMERA, Clone, MadeButler
from tests.support.postgres import PostgresServer
from tests.support.snapshots import TAKEN, Lines, a_head

Content = dict[str, set[tuple[object, ...]]]


def exposure(number: int) -> str:
    return f"exposure:{CAMERA}/{2026011500000 + number}"


def detector(number: int, chip: int) -> str:
    return f"detector:{CAMERA}/{2026011500000 + number}/{chip}"


def visit(number: int) -> str:
    return f"record:visit/instrument={CAMERA}/visit={2026011500000 + number}"


CHIP = f"record:detector/instrument={CAMERA}/detector=1"


def exporter(made: MadeButler, scope: Scope | None = None) -> Exporter:
    return Exporter(made.butler, scope or Scope(), now=lambda: TAKEN)


def export(made: MadeButler, lines: Lines, scope: Scope | None = None) -> Exported:
    return exporter(made, scope).export(lines.head, lines.lines)


def content(made: MadeButler) -> Content:
    """Give all rows but that of the snapshot itself."""
    tables = Tables(made.butler)
    tables.open()
    return {
        name: set(tables.rows(name, one.names))
        for name, one in LAYOUTS.items()
        if name != layout.SNAPSHOT
    }


@pytest.fixture(scope="module")
def nights(
    butlers: Path, butler_postgres: PostgresServer, butler_template: str
) -> Mapping[str, MadeButler]:
    """Give butlers with exposures 1 to 6, a visit, and raws of two detectors."""
    url = butler_postgres.create("exporter", template=butler_template)
    found = {"SQLite": None, "PostgreSQL": url}
    return {name: _made(butlers / f"of {name}", found[name]) for name in found}


def _made(root: Path, database: str | None) -> MadeButler:
    made = MadeButler.create(root, database=database)
    ids = made.take(range(1, 7))
    made.define_visits({ids[0]: ids[:2]})
    made.ingest(ids, detectors=[0, 1])
    made.close()
    return made


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def night(
    nights: Mapping[str, MadeButler],
    clone: Clone,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Iterator[MadeButler]:
    """Give such a butler of the test's own."""
    database = clone("exporter") if request.param == "PostgreSQL" else None
    made = nights[request.param].copy(tmp_path / "night", database=database)
    yield made
    made.close()


@pytest.fixture
def raws(night: MadeButler) -> list[UUID]:
    return [ref.id for ref in night.ingest(range(2026011500001, 2026011500007))]


def test_what_is_said_comes_into_tables_of_its_kind(
    night: MadeButler, raws: list[UUID]
) -> None:
    lines = Lines()
    lines.say(exposure(1), exposure(2), tags=["vignetting", "donuts"], text="dome")
    lines.say(detector(3, 1), flag="questionable")
    lines.say(visit(1), f"dataset:{raws[0]}")
    lines.say(f"record:detector/instrument={CAMERA}/detector=1", flag=None, tags=["a1"])
    lines.say("set:drp1@3-1F0A77C2", flag=None, text="good")
    lines.say(f"collection:main/{CAMERA}%2Fraw%2Fall", flag=None)
    done = export(night, lines, Scope(label="main"))
    assert done.waiting.total == 0
    found = Reader(night.butler)
    assert (found.site_id, found.number) == ("summit", 6)
    assert found.taken_at == TAKEN + timedelta(seconds=6)
    assert found.exposures(CAMERA, ["junk"]) == {2026011500001, 2026011500002}
    assert found.exposures(CAMERA, [], ["donuts"]) == {2026011500001, 2026011500002}
    assert found.detectors(CAMERA, ["questionable"]) == {(2026011500003, 1)}
    assert found.visits(CAMERA, ["junk"]) == {2026011500001}
    assert found.datasets(["junk"]) == {raws[0]}
    assert found.datasets(["questionable"]) == set()
    state = found.of_exposures(CAMERA, [2026011500001])[2026011500001]
    assert (state.flag, state.tags, state.notes) == (
        "junk",
        ("donuts", "vignetting"),
        1,
    )
    (said,) = found.statements_of_exposures(CAMERA, [2026011500001])[2026011500001]
    assert (said.text, said.author, said.tags) == (
        "dome",
        "jdoe",
        ("vignetting", "donuts"),
    )
    assert said.created_at == TAKEN
    rows = content(night)
    for kind in layout.KINDS:
        assert rows[layout.states(kind)], kind
        assert rows[layout.links(kind)], kind


def test_a_second_export_touches_nothing(night: MadeButler, raws: list[UUID]) -> None:
    lines = Lines()
    lines.say(exposure(1), f"dataset:{raws[0]}", tags=["vignetting"])
    assert export(night, lines).touched > 0
    before = content(night)
    assert export(night, lines).touched == 0
    assert content(night) == before


def test_only_what_differs_is_touched(night: MadeButler, raws: list[UUID]) -> None:
    lines = Lines()
    first = lines.say(exposure(1), tags=["vignetting"])
    lines.say(*(f"dataset:{one}" for one in raws))
    export(night, lines)
    lines.retract(first)
    lines.say(exposure(1), flag="questionable", tags=["donuts"])
    done = export(night, lines)
    assert done.changed == {"exposure": 1}
    assert done.added == {"statement": 1, "exposure_tag": 1, "exposure_statement": 1}
    assert done.removed == {"statement": 1, "exposure_tag": 1, "exposure_statement": 1}


def test_rows_vanish_with_their_dataset_and_come_back_with_it(
    night: MadeButler, raws: list[UUID]
) -> None:
    lines = Lines()
    lines.say(*(f"dataset:{one}" for one in raws[:2]), tags=["vignetting"])
    export(night, lines)
    before = content(night)
    refs = [night.butler.get_dataset(one) for one in raws[:2]]
    night.butler.registry.removeDatasets([ref for ref in refs if ref is not None])
    assert not any(content(night)[layout.states("dataset")])
    assert not any(content(night)[layout.tags("dataset")])
    done = export(night, lines)
    assert done.waiting.counts == {("not_held", "dataset"): 2}
    assert content(night)[layout.STATEMENT] == set()
    assert Reader(night.butler).waiting == 2
    night.ingest(range(2026011500001, 2026011500007))
    export(night, lines)
    assert content(night) == before
    assert Reader(night.butler).waiting == 0


def test_what_the_repository_does_not_hold_waits_and_is_told(night: MadeButler) -> None:
    unknown = UUID("019a5c00-0000-7000-8000-00000000ffff")
    lines = Lines()
    lines.say(
        exposure(1),
        exposure(99),
        detector(1, 1),
        detector(1, 7),
        detector(99, 1),
        visit(1),
        visit(99),
        f"dataset:{unknown}",
        "exposure:LATISS/2026011500001",
        "record:skymap/skymap=discrete",
        "collection:main/nothing",
    )
    lines.say(f"night:{CAMERA}/20260115", flag=None)
    done = export(night, lines, Scope(label="main"))
    assert done.waiting.counts == {
        ("not_held", "exposure"): 2,
        ("not_held", "detector"): 2,
        ("not_held", "visit"): 1,
        ("not_held", "dataset"): 1,
        ("not_held", "record"): 1,
        ("not_held", "collection"): 1,
        ("no_place", "night"): 1,
    }
    assert done.waiting.total == 8
    assert done.waiting.examples["not_held", "visit"] == [visit(99)]
    night.take([99])
    again = export(night, lines, Scope(label="main"))
    assert again.waiting.counts["not_held", "exposure"] == 1


def test_what_changed_leads_to_where_the_whole_does(
    night: MadeButler, raws: list[UUID]
) -> None:
    lines = Lines()
    lines.say(exposure(1), exposure(2), f"dataset:{raws[0]}", tags=["vignetting"])
    gone = lines.say(exposure(2), exposure(3), visit(1), CHIP, tags=["donuts"])
    bad = lines.say(CHIP, exposure(5), observed=Span(TAKEN, None))
    export(night, lines)
    earlier = copy.deepcopy(lines)
    lines.retract(gone)
    lines.retract(bad)
    lines.say(CHIP, observed=Span(None, TAKEN))
    lines.say(detector(1, 1), exposure(1), flag="questionable")
    changes: list[Line] = lines.since(earlier)
    head = a_head(lines.number, after=earlier.number)
    done = exporter(night).export(head, changes)
    assert done.touched
    found = content(night)
    assert export(night, lines).touched == 0
    assert content(night) == found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: a_head(5), "does it lag behind"),
        (lambda: a_head(20, site="usdf"), "--other-site"),
        (lambda: a_head(30, after=20), "export the whole"),
        (lambda: a_head(30, after=10, life="ffffffff"), "export the whole"),
    ],
)
def test_what_does_not_lead_on_is_refused(
    night: MadeButler, change: Callable[[], object], reason: str
) -> None:
    lines = Lines(number=9)
    lines.say(exposure(1))
    export(night, lines)
    before = content(night)
    with pytest.raises(TablesError, match=reason):
        exporter(night).export(change(), [])  # type: ignore[arg-type]
    assert content(night) == before


def test_another_scope_needs_the_whole(night: MadeButler) -> None:
    lines = Lines(number=9)
    lines.say(exposure(1))
    export(night, lines)
    other = exporter(night, Scope(embargo_hours=1.0))
    with pytest.raises(TablesError, match="export the whole"):
        other.export(a_head(11, after=10), [])
    assert other.export(a_head(11), lines.lines).touched == 0


def test_versions_of_sets_come_with_their_rows(night: MadeButler) -> None:
    lines = Lines()
    lines.say(exposure(1))
    first = a_version(1, (CAMERA, 2026011500002, 94), (CAMERA, 2026011500010, 3))
    second = a_version(2, (CAMERA, 2026011500010, 3))
    exporter(night).export(lines.head, [*lines.lines, first, second])
    found = Reader(night.butler)
    names = ("instrument", "exposure", "detector")
    assert found.members("drp1", 1) == [
        dict(zip(names, row[:3], strict=True)) for row in first.rows
    ]
    assert len(found.members("drp1")) == 1
    for name, version in (("drp2", None), ("drp1", 3)):
        with pytest.raises(UnknownSetError, match="there is no set"):
            found.members(name, version)
    # Of a new version, and a new label, as they come to those who follow.
    head = a_head(lines.number, after=lines.number)
    labelled = msgspec.structs.replace(second, labels=("DRP1",))
    third = a_version(3, *(row[:3] for row in first.rows))
    done = exporter(night).export(head, [labelled, third])
    assert done.added == {"set_version": 1, "set_member": 2}
    assert done.changed == {"set_version": 1}
    assert len(found.members("drp1")) == 2
    bare = msgspec.structs.replace(
        third, rows=tuple((*row[:-1], None) for row in third.rows)
    )
    done = exporter(night).export(head, [bare])
    assert (done.changed, done.added) == ({"set_member": 2}, {})
    twin = msgspec.structs.replace(third, key="set:drp1@3-FFFFFFFF")
    exporter(night).export(head, [twin])
    with pytest.raises(UnknownSetError, match="is several"):
        found.members("drp1")
    assert exporter(night).export(lines.head, lines.lines).removed == {
        "set_version": 4,
        "set_member": 7,
    }


def a_version(
    version: int, *data_ids: tuple[str | int | float | bool | None, ...]
) -> SetVersion:
    return SetVersion(
        f"set:drp1@{version}-0000000{version}",
        "drp1",
        version,
        f"0000000{version}" * 8,
        "jdoe",
        TAKEN,
        ("instrument", "exposure", "detector"),
        tuple((*one, "trailed") for one in data_ids),
        ("comment",),
    )


def test_progress_is_told(night: MadeButler) -> None:
    told: list[Progress] = []
    one = Exporter(night.butler, Scope(), now=lambda: TAKEN, tell=told.append)
    lines = Lines()
    lines.say(*(exposure(n) for n in range(1, 7)))
    one.export(lines.head, lines.lines)
    assert Progress("exposure", 6, 6) in told


def test_two_repositories_get_what_each_holds(
    night: MadeButler, tmp_path: Path
) -> None:
    embargo = MadeButler.create(tmp_path / "embargo")
    embargo.take([7, 8])
    lines = Lines()
    lines.say(*(exposure(n) for n in range(1, 9)))
    export(night, lines)
    export(embargo, lines)
    main = Reader(night.butler).exposures(CAMERA, ["junk"])
    other = Reader(embargo.butler).exposures(CAMERA, ["junk"])
    assert main == set(range(2026011500001, 2026011500007))
    assert other == {2026011500007, 2026011500008}


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ({}, {"instrument": (CAMERA,)}, "instruments beside LSSTCam"),
        ({"instrument": ("LATISS", CAMERA)}, {"instrument": (CAMERA,)}, "LATISS"),
        ({}, {"day_obs_min": 20260101}, "all nights, not only nights from 20260101"),
        (
            {"day_obs_min": 20260101, "day_obs_max": 20260131},
            {"day_obs_min": 20260101, "day_obs_max": 20260130},
            "nights from 20260101 to 20260131, not only nights from 20260101 to",
        ),
        ({"label": "main"}, {}, "collections of the label main"),
    ],
)
def test_a_narrower_scope_takes_nothing_away_unless_told(
    fresh: MadeButler,
    before: dict[str, Any],
    after: dict[str, Any],
    lost: str,
) -> None:
    fresh.take(range(1, 3))
    lines = Lines()
    lines.say(exposure(1))
    export(fresh, lines, Scope(**before))
    there = content(fresh)
    with pytest.raises(TablesError, match=f"not asked for any more: {lost}.*--narrow"):
        exporter(fresh, Scope(**after)).export(lines.head, [])
    assert content(fresh) == there
    done = exporter(fresh, Scope(**after)).export(lines.head, [], narrow=True)
    assert done.removed["exposure"] == 1
    # And back again, which takes nothing away.
    assert export(fresh, lines, Scope(**before)).added["exposure"] == 1


def test_an_embargo_may_grow_without_being_told(fresh: MadeButler) -> None:
    lines = Lines()
    export(fresh, lines, Scope(embargo_hours=1.0))
    export(fresh, lines, Scope(embargo_hours=9.0))
    export(fresh, lines, Scope(embargo_hours=2.0))
    assert Reader(fresh.butler).scope == {"embargo_hours": 2.0}


def test_a_set_that_nobody_made_takes_nothing_away(fresh: MadeButler) -> None:
    lines = Lines()
    version = a_version(1, (CAMERA, 2026011500002, 94))
    wanted = Scope(sets=("drp1",))
    exporter(fresh, wanted).export(lines.head, [version])
    there = content(fresh)
    for scope in (Scope(sets=("drp1", "drp2")), Scope(sets=("drp2",))):
        with pytest.raises(TablesError, match="there is no data-ID set 'drp2'"):
            exporter(fresh, scope).export(lines.head, [version])
    with pytest.raises(TablesError, match=r"the data-ID set drp1\. .*--narrow"):
        exporter(fresh).export(lines.head, [])
    assert content(fresh) == there
    # All sets, and none is there yet, is no mistake.
    every = exporter(fresh, Scope(sets=("*",)))
    assert every.export(lines.head, []).removed == {"set_version": 1, "set_member": 1}


def test_rows_that_name_no_detector_beside_others_that_do_name_exposures(
    night: MadeButler,
) -> None:
    lines = Lines()
    mixed = a_version(1, (CAMERA, 2026011500001, None), (CAMERA, 2026011500002, 1))
    exporter(night).export(lines.head, [mixed])
    whole = {"instrument": CAMERA, "exposure": 2026011500001}
    part = {"instrument": CAMERA, "exposure": 2026011500002, "detector": 1}
    assert Reader(night.butler).members("drp1") == [whole, part]
    tables = Tables(night.butler)
    tables.open()
    name, names = layout.SET_MEMBER, LAYOUTS[layout.SET_MEMBER].names
    [first, _] = sorted(tables.rows(name, names))
    with_null = msgspec.json.encode({**whole, "detector": None}).decode()
    with tables.writing():
        tables.replace(name, [(*first[:2], with_null, *first[3:-1], 0)])
    # Tables that an earlier version wrote are read as they should be, and mended.
    assert Reader(night.butler).members("drp1") == [whole, part]
    assert exporter(night).export(lines.head, [mixed]).changed == {"set_member": 1}


def ids(found: Iterable[int]) -> set[int]:
    return {one - 2026011500000 for one in found}


def test_the_embargo_keeps_what_is_young(
    fresh: MadeButler,
) -> None:
    # Exposure n begins 34 n seconds after 23:00 TAI and lasts 30 s.
    taken = fresh.take([1, 1000, 1100])
    fresh.define_visits({taken[0]: taken[:1], taken[2]: taken[2:]})
    raw = fresh.ingest(taken, detectors=[1])
    lines = Lines()
    lines.say(
        *(exposure(n) for n in (1, 1000, 1100)),
        *(detector(n, 1) for n in (1, 1100)),
        visit(1),
        visit(1100),
        *(f"dataset:{ref.id}" for ref in raw),
    )
    # 1000 ends at 08:27:10 TAI, so 3.55 hours before 12:00:01 UTC.
    done = export(fresh, lines, Scope(embargo_hours=3.0))
    found = Reader(fresh.butler)
    assert ids(found.exposures(CAMERA, ["junk"])) == {1, 1000}
    assert found.detectors(CAMERA, ["junk"]) == {(2026011500001, 1)}
    assert found.datasets(["junk"]) == {raw[0].id, raw[1].id}
    assert done.waiting.counts["embargoed", "exposure"] == 1
    assert done.waiting.counts["embargoed", "dataset"] == 1
    assert found.scope == {"embargo_hours": 3.0}
    export(fresh, lines, Scope(embargo_hours=4.0))
    assert ids(Reader(fresh.butler).exposures(CAMERA, ["junk"])) == {1}


def test_an_old_universe_takes_the_same(tmp_path: Path) -> None:
    old = MadeButler.create(tmp_path / "old", universe=0)
    taken = old.take(range(1, 3))
    raw = old.ingest(taken, detectors=[0])
    lines = Lines()
    lines.say(exposure(1), detector(2, 0), f"dataset:{raw[1].id}", "exposure:X/1")
    export(old, lines)
    found = Reader(Butler.from_config(old.uri))
    assert ids(found.exposures(CAMERA, ["junk"])) == {1}
    assert found.datasets(["junk"]) == {raw[1].id}
    assert export(old, lines).touched == 0
