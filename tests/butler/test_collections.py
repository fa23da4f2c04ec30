"""TAGGED collections by rules: filled, and refreshed by difference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import sqlalchemy as sa
from lsst.daf.butler import Butler, ButlerConfig, DatasetRef
from lsst.daf.butler.registry import ConflictingDefinitionError

from annolog.butler import ages, collections, rulefiles
from annolog.butler.ages import Age
from annolog.butler.collections import Refreshed
from annolog.butler.rules import Rules
from annolog.butler.search import UPLOAD, UPLOAD_SQLITE, Repository
from tests.support.butlers import CAMERA, Clone
from tests.support.postgres import PostgresServer
from tests.support.tagged_butlers import TAGGED, TAKEN, HeldButler, InMemory

RAWS, OLD, NEW = "LSSTCam/raw/all", "LSSTCam/runs/w1", "LSSTCam/runs/w2"
NOW = datetime(2026, 1, 16, 13, tzinfo=UTC)

USABLE: Mapping[str, object] = {
    "sort": "usable",
    "instrument": CAMERA,
    "flags": ["junk"],
    "inherited": True,
    "source": RAWS,
    "dataset_types": "raw",
    "nights": {"first": 20260115, "last": 20260115},
}
FLAGGED: Mapping[str, object] = {
    "sort": "flagged",
    "instrument": CAMERA,
    "flag": "junk",
    "inherited": True,
    "source": RAWS,
    "dataset_types": "raw",
}
A_SET: Mapping[str, object] = {
    "sort": "set",
    "set": "DRP1",
    "source": RAWS,
    "dataset_types": "raw",
}


def given(**by_name: Mapping[str, object]) -> Rules:
    return rulefiles.checked("rules.yaml", {"version": 1, "rules": dict(by_name)})


@dataclass
class Night:
    """A night of six exposures, two detectors each; the second night has one."""

    held: HeldButler
    exposures: list[int]
    later: list[int]
    raws: list[DatasetRef]
    images: list[DatasetRef]

    @classmethod
    def make(
        cls, root: Path, universe: int | None = None, database: str | None = None
    ) -> Self:
        held = HeldButler.create(root, universe=universe, database=database)
        exposures = held.made.take(range(1, 7))
        later = held.made.take([1], day_obs=20260116)
        one, two, three, *_ = exposures
        held.made.define_visits({one: [one, two], three: [three]})
        raws = held.add("raw", RAWS, [*exposures, *later])
        images = held.add("preliminary_visit_image", OLD, [one, three])
        return cls(held, exposures, later, raws, images)

    def copy(self, root: Path, *, database: str | None = None) -> Self:
        """Give one for a test of its own, quicker than it is made."""
        return replace(self, held=self.held.copy(root, database=database))

    @property
    def repository(self) -> Repository:
        return Repository(self.held.butler, UPLOAD_SQLITE)

    def refresh(
        self, said: InMemory, wanted: Rules, *, now: datetime = NOW, dry: bool = False
    ) -> list[Refreshed]:
        done = collections.refresh(self.repository, said, wanted, lambda: now, dry=dry)
        return list(done)

    def one(self, said: InMemory, rule: Mapping[str, object]) -> Refreshed:
        [done] = self.refresh(said, given(rule=rule))
        assert done.error is None
        return done

    def ids(self, *indexes: int) -> set[UUID]:
        """Give the raws of exposures by their place in the night."""
        return {ref.id for i in indexes for ref in self.raws[2 * i : 2 * i + 2]}


@pytest.fixture(scope="module")
def nights(
    butlers: Path, butler_postgres: PostgresServer, butler_template: str
) -> Mapping[str, Night]:
    url = butler_postgres.create("collections", template=butler_template)
    found = {
        "today": Night.make(butlers / "night of today"),
        "universe 0": Night.make(butlers / "night of universe 0", 0),
        "postgresql": Night.make(butlers / "night of postgresql", database=url),
    }
    found["postgresql"].held.made.close()
    return found


@pytest.fixture(params=["today", "universe 0", "postgresql"])
def night(
    nights: Mapping[str, Night],
    clone: Clone,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Night]:
    database = clone("collections") if request.param == "postgresql" else None
    found = nights[request.param].copy(tmp_path / "repo", database=database)
    with found.held.butler:
        yield found


@pytest.fixture
def tonight(nights: Mapping[str, Night], tmp_path: Path) -> Night:
    return nights["today"].copy(tmp_path / "repo")


def changed(done: Refreshed) -> tuple[int, int, int]:
    return done.added, done.removed, done.kept


# ------------------------------------------------------------------ what is in them


def test_usable_is_the_source_within_its_nights_without_what_is_flagged(
    night: Night,
) -> None:
    first, _, third, *_ = night.exposures
    said = InMemory(
        exposures_by={"junk": {first}, "questionable": {night.exposures[4]}},
        detectors_by={"junk": {(third, 1)}},
        datasets_by={"junk": {night.raws[6].id}},
    )
    done = night.one(said, USABLE)
    assert done.collection == "usable/LSSTCam/raw/all"
    assert changed(done) == (8, 0, 0)
    left_out = night.ids(0) | {night.raws[5].id, night.raws[6].id}
    everything = night.ids(*range(6))
    assert night.held.members(done.collection) == everything - left_out


def test_flagged_is_what_usable_leaves_out(night: Night) -> None:
    first, _, third, *_ = night.exposures
    said = InMemory(
        exposures_by={"junk": {first, *night.later}},
        detectors_by={"junk": {(third, 1)}},
        datasets_by={"junk": {night.raws[6].id, UUID(int=7)}},
    )
    nights = USABLE["nights"]
    done = night.one(said, {**FLAGGED, "nights": nights})
    assert done.collection == "flags/junk/LSSTCam/raw/all"
    flagged = night.held.members(done.collection)
    assert flagged == night.ids(0) | {night.raws[5].id, night.raws[6].id}
    usable = night.one(said, USABLE).collection
    assert night.held.members(usable) == night.ids(*range(6)) - flagged
    unbounded = night.one(said, FLAGGED)
    assert changed(unbounded) == (2, 0, 4)


def test_what_is_not_inherited_is_said_of_the_dataset_itself(night: Night) -> None:
    said = InMemory(
        exposures_by={"junk": {night.exposures[0]}},
        datasets_by={"junk": {night.raws[6].id}},
    )
    done = night.one(said, {**FLAGGED, "inherited": False})
    assert night.held.members(done.collection) == {night.raws[6].id}


def test_tags_leave_out_and_make_collections_of_their_own(night: Night) -> None:
    said = InMemory(exposures_by={"vignetting": {night.exposures[1]}})
    rule = {k: v for k, v in FLAGGED.items() if k != "flag"} | {"tag": "vignetting"}
    done = night.one(said, rule)
    assert done.collection == "tags/vignetting/LSSTCam/raw/all"
    assert night.held.members(done.collection) == night.ids(1)
    without = night.one(said, {**USABLE, "flags": [], "tags": ["vignetting"]})
    assert changed(without) == (10, 0, 0)


def test_an_exposure_reaches_its_visit_and_not_its_sister(night: Night) -> None:
    _, second, *_ = night.exposures
    said = InMemory(exposures_by={"junk": {second}})
    images = {**FLAGGED, "dataset_types": "preliminary_visit_image", "source": OLD}
    done = night.one(said, images)
    assert night.held.members(done.collection) == {ref.id for ref in night.images[:2]}
    raws = night.one(said, FLAGGED)
    assert night.held.members(raws.collection) == night.ids(1)


def test_a_visit_reaches_all_its_exposures(night: Night) -> None:
    said = InMemory(visits_by={"junk": {night.exposures[0]}})
    done = night.one(said, FLAGGED)
    assert night.held.members(done.collection) == night.ids(0, 1)


def test_a_detector_of_an_exposure_reaches_that_of_its_visit(night: Night) -> None:
    said = InMemory(detectors_by={"junk": {(night.exposures[1], 1)}})
    images = {
        **USABLE,
        "dataset_types": "preliminary_visit_image",
        "source": OLD,
        "nights": {"first": 20260115},
    }
    done = night.one(said, images)
    left = {ref.id for ref in night.images} - {night.images[1].id}
    assert night.held.members(done.collection) == left


def test_a_where_bounds_what_nights_do_not(tonight: Night) -> None:
    bounded = {k: v for k, v in USABLE.items() if k != "nights"}
    bounded["where"] = "exposure.seq_num < 3 OR exposure.seq_num = 6"
    done = tonight.one(InMemory(exposures_by={"junk": {tonight.exposures[0]}}), bounded)
    assert tonight.held.members(done.collection) == tonight.ids(1, 5, 6)
    both = tonight.one(InMemory(), {**bounded, "nights": {"first": 20260116}})
    assert changed(both) == (0, 4, 2)


def test_no_older_dataset_comes_up_for_a_flagged_one(tonight: Night) -> None:
    old = tonight.held.add("post_isr", OLD, tonight.exposures[:2])
    new = tonight.held.add("post_isr", NEW, tonight.exposures[:1])
    said = InMemory(datasets_by={"junk": {new[0].id}})
    rule = {
        **USABLE,
        "dataset_types": "post_isr",
        "source": [NEW, OLD],
        "collection": "usable/post_isr",
    }
    done = tonight.one(said, rule)
    usable = tonight.held.members(done.collection)
    assert usable == {new[1].id, old[2].id, old[3].id}


def test_a_set_gives_what_its_rows_name_and_says_what_is_not_here(
    night: Night,
) -> None:
    first, second, *_ = night.exposures
    rows: list[dict[str, int | str]] = [
        {"instrument": CAMERA, "exposure": first, "detector": 1},
        {"instrument": CAMERA, "exposure": second},
        {"instrument": CAMERA, "exposure": 2026011500099},
        {"instrument": "LATISS", "exposure": first},
    ]
    said = InMemory(sets={"DRP1": [rows[:1], rows]})
    done = night.one(said, A_SET)
    assert done.collection == "sets/DRP1"
    expected = {night.raws[1].id} | night.ids(1)
    assert night.held.members(done.collection) == expected
    assert [one.data_id for one in done.unresolved] == rows[2:]
    pinned = night.one(said, {**A_SET, "version": 1})
    assert pinned.collection == "sets/DRP1/1"
    assert night.held.members(pinned.collection) == {night.raws[1].id}


def test_a_set_may_be_a_file_beside_the_rules(tonight: Night, tmp_path: Path) -> None:
    first, second, *_ = tonight.exposures
    (tmp_path / "bad.ecsv").write_text(
        "# %ECSV 1.0\n# ---\n# datatype:\n"
        "# - {name: exposure, datatype: uint64}\n"
        "# - {name: comment, datatype: string}\n"
        "# delimiter: ','\n# schema: astropy-2.0\nexposure,comment\n"
        f"{first}, r donuts\n{second}, r donuts\n{second}, again\n3,\n"
    )
    rule = {**A_SET, "file": "bad.ecsv", "instrument": CAMERA}
    wanted = replace(given(rule=rule), file=str(tmp_path / "rules.yaml"))
    [done] = tonight.refresh(InMemory(), wanted)
    assert done.error is None
    assert tonight.held.members("sets/DRP1") == tonight.ids(0, 1)
    assert [one.data_id["exposure"] for one in done.unresolved] == [3]


def test_the_rows_of_a_set_are_left_out_of_what_is_usable(
    tonight: Night, tmp_path: Path
) -> None:
    first, second, third, fourth, fifth, _ = tonight.exposures
    rows: list[dict[str, int | str]] = [
        {"instrument": CAMERA, "exposure": first},
        {"instrument": CAMERA, "exposure": second, "detector": 1},
        {"instrument": CAMERA, "visit": third},
        {"instrument": CAMERA, "detector": 0, "day_obs": 20260116},
        {"instrument": "LATISS", "exposure": fourth},
    ]
    (tmp_path / "bad.csv").write_text(f"exposure\n{fifth}\n")
    said = InMemory(sets={"DRP1": [rows]})
    sets = [{"set": "DRP1"}, {"set": "more", "file": "bad.csv"}]
    rule = {**USABLE, "sets": sets, "flags": [], "nights": {"first": 20260115}}
    wanted = replace(given(rule=rule), file=str(tmp_path / "rules.yaml"))
    [done] = tonight.refresh(said, wanted)
    assert done.error is None
    left = tonight.ids(1, 3, 5, 6) - {tonight.raws[3].id, tonight.raws[12].id}
    assert tonight.held.members(done.collection) == left


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "none.csv: cannot be read: No such file"),
        ("set.txt", "exposure\n1\n", "its name should end in .json, .csv or .ecsv"),
        ("set.csv", "seq_num\n1\n", "no column is a dimension: seq_num; rows name"),
        ("set.csv", "exposure\n1,2\n", "set.csv: line 2"),
        ("set.json", "{}", "set.json: "),
    ],
)
def test_a_file_that_is_no_set_is_named(
    tonight: Night, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    wanted = given(rule={**A_SET, "file": name, "instrument": CAMERA})
    wanted = replace(wanted, file=str(tmp_path / "rules.yaml"))
    [done] = tonight.refresh(InMemory(), wanted)
    assert words in str(done.error)


def test_rows_of_exposures_name_datasets_of_their_visits(tonight: Night) -> None:
    first, second, _, fourth, *_ = tonight.exposures
    rows: list[dict[str, int | str]] = [
        {"instrument": CAMERA, "exposure": one} for one in (first, second, fourth)
    ]
    rule = {**A_SET, "dataset_types": "preliminary_visit_image", "source": OLD}
    done = tonight.one(InMemory(sets={"DRP1": [rows]}), rule)
    members = tonight.held.members(done.collection)
    assert members == {ref.id for ref in tonight.images[:2]}
    assert [one.data_id["exposure"] for one in done.unresolved] == [fourth]


def test_more_rows_than_one_upload_takes_are_all_found(
    tonight: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tonight.held.butler, 3)
    monkeypatch.setattr(Night, "repository", repository)
    rows: list[dict[str, int | str]] = [
        {"instrument": CAMERA, "exposure": one} for one in tonight.exposures
    ]
    done = tonight.one(InMemory(sets={"DRP1": [rows]}), A_SET)
    assert changed(done) == (12, 0, 0)
    assert done.unresolved == ()


# ----------------------------------------------------------------------- by difference


def test_a_refresh_changes_only_what_differs(night: Night) -> None:
    first, second, *_ = night.exposures
    assert changed(night.one(InMemory(exposures_by={"junk": {first}}), USABLE)) == (
        10,
        0,
        0,
    )
    again = night.one(InMemory(exposures_by={"junk": {first}}), USABLE)
    assert changed(again) == (0, 0, 10)
    moved = night.one(InMemory(exposures_by={"junk": {second}}), USABLE)
    assert changed(moved) == (2, 2, 8)
    assert night.held.members(moved.collection) == night.ids(0, 2, 3, 4, 5)


def test_a_dataset_takes_the_place_of_another_of_its_data_id(night: Night) -> None:
    old = night.held.add("post_isr", OLD, night.exposures[:2])
    rule = {**USABLE, "dataset_types": "post_isr", "collection": "usable/post_isr"}
    night.one(InMemory(), {**rule, "source": OLD})
    new = night.held.add("post_isr", NEW, night.exposures[:1])
    done = night.one(InMemory(), {**rule, "source": [NEW, OLD]})
    assert changed(done) == (2, 2, 2)
    assert night.held.members("usable/post_isr") == {
        *(ref.id for ref in new),
        *(ref.id for ref in old[2:]),
    }


def test_of_two_datasets_of_a_data_id_the_first_stands_and_the_other_is_told(
    tonight: Night,
) -> None:
    exposures = tonight.exposures[:2]
    old = tonight.held.add("post_isr", OLD, exposures, detectors=[0])
    new = tonight.held.add("post_isr", NEW, exposures[:1], detectors=[0])
    rule = {
        **FLAGGED,
        "dataset_types": "post_isr",
        "source": [NEW, OLD],
        "collection": "flags/junk/post_isr",
    }
    done = tonight.one(InMemory(exposures_by={"junk": set(exposures)}), rule)
    assert tonight.held.members("flags/junk/post_isr") == {new[0].id, old[1].id}
    [conflict] = done.conflicts
    assert (conflict.kept, conflict.left) == (new[0].id, old[0].id)
    assert conflict.data_id == {
        "instrument": CAMERA,
        "exposure": exposures[0],
        "detector": 0,
    }


def test_a_dry_run_says_the_difference_and_writes_nothing(tonight: Night) -> None:
    [done] = tonight.refresh(InMemory(), given(rule=USABLE), dry=True)
    assert changed(done) == (12, 0, 0)
    assert done.collection not in tonight.held.butler.collections.query("*")
    tonight.one(InMemory(), USABLE)
    before = tonight.held.documentation(done.collection)
    said = InMemory(exposures_by={"junk": {tonight.exposures[0]}}, number=2)
    [done] = tonight.refresh(said, given(rule=USABLE), dry=True)
    assert changed(done) == (0, 2, 10)
    assert tonight.held.documentation(done.collection) == before
    assert len(tonight.held.members(done.collection)) == 12


def test_a_rule_that_fails_keeps_no_other_from_being_done(tonight: Night) -> None:
    wanted = given(
        no_type={**USABLE, "dataset_types": "no_such", "collection": "usable/a"},
        no_source={**USABLE, "source": "no/such"},
        no_camera={**USABLE, "instrument": "HSC", "collection": "usable/b"},
        no_night={
            **USABLE,
            "dataset_types": "night_report",
            "collection": "usable/c",
        },
        no_grammar={**USABLE, "where": "exposure =", "collection": "usable/d"},
        no_set={**A_SET, "set": "DRP9"},
        a_run={**USABLE, "collection": OLD},
        good=USABLE,
    )
    done = tonight.refresh(InMemory(), wanted)
    errors = {one.rule: one.error for one in done}
    assert errors.pop("good") is None
    assert errors["no_camera"] == (
        "the repository has no instrument 'HSC'; it has LSSTCam"
    )
    for rule, words in {
        "no_type": "no_such",
        "no_source": "no/such",
        "no_night": "belong to no night",
        "no_grammar": "exposure",
        "no_set": "DRP9",
        "a_run": "is a RUN collection",
    }.items():
        assert words in str(errors[rule])
    assert len(tonight.held.members("usable/LSSTCam/raw/all")) == 12


def test_rows_that_are_no_data_ids_are_named(tonight: Night) -> None:
    said = InMemory(sets={"DRP1": [[{"instrument": CAMERA, "obs_id": "MC_O_1"}]]})
    [done] = tonight.refresh(said, given(rule=A_SET))
    assert done.error is not None
    assert "obs_id is no dimension" in done.error
    [done] = tonight.refresh(
        InMemory(sets={"DRP1": [[{"exposure": 1}]]}), given(rule=A_SET)
    )
    assert done.error is not None
    assert "lack instrument" in done.error


def test_a_collection_that_is_not_ours_is_left_alone(tonight: Night) -> None:
    butler = tonight.held.butler
    butler.collections.register("u/jdoe/best", TAGGED)
    butler.registry.associate("u/jdoe/best", tonight.raws[:3])
    [done] = tonight.refresh(
        InMemory(), given(rule={**USABLE, "collection": "u/jdoe/best"})
    )
    assert done.error is not None
    assert "was not made by annolog and holds 3 datasets" in done.error
    assert len(tonight.held.members("u/jdoe/best")) == 3


# ----------------------------------------------------------------- under others' hands


def test_what_goes_away_meanwhile_is_left_out(
    tonight: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tonight.held.butler.registry
    associate = type(registry).associate
    times = 0

    def late(self: Any, collection: str, refs: list[DatasetRef]) -> None:  # noqa: ANN401 - a shim
        nonlocal times
        times += 1
        if times == 1:
            raise ConflictingDefinitionError
        associate(self, collection, refs)

    monkeypatch.setattr(type(registry), "associate", late)
    original = collections._still_there
    gone = tonight.raws[0]

    def removed(repository: Repository, wanted: dict[UUID, DatasetRef]) -> Any:  # noqa: ANN401 - as the original
        registry.removeDatasets([gone])
        return original(repository, wanted)

    monkeypatch.setattr(collections, "_still_there", removed)
    done = tonight.one(InMemory(), USABLE)
    assert changed(done) == (11, 0, 0)
    assert gone.id not in tonight.held.members(done.collection)


def test_a_refresh_that_is_broken_off_leaves_the_old_state(
    tonight: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    tonight.one(InMemory(), USABLE)
    before = tonight.held.documentation("usable/LSSTCam/raw/all")
    registry = tonight.held.butler.registry

    def broken(*_: object) -> Iterator[None]:
        raise KeyboardInterrupt

    # After all went, before the first came.
    monkeypatch.setattr(type(registry), "associate", broken)
    with pytest.raises(KeyboardInterrupt):
        tonight.one(InMemory(exposures_by={"junk": {tonight.exposures[0]}}), USABLE)
    assert len(tonight.held.members("usable/LSSTCam/raw/all")) == 12
    assert tonight.held.documentation("usable/LSSTCam/raw/all") == before


# --------------------------------------------------------------------------- their age


def test_a_collection_says_how_old_it_is(tonight: Night) -> None:
    done = tonight.one(InMemory(number=4711), USABLE)
    [rule] = given(rule=USABLE).rules
    assert tonight.held.documentation(done.collection) == (
        "Made by annolog; what is put in by hand is taken out at the next refresh.\n"
        f"Rule rule ({rule.digest}): LSSTCam: raw of LSSTCam/raw/all, nights 20260115"
        " to 20260115: without what is junk, said of it, its exposure, detector or"
        " visit\n"
        "Snapshot 4711 of 2026-01-16T12:00:00.000000Z\n"
        "Refreshed 2026-01-16T13:00:00.000000Z"
    )
    read = ages.read(tonight.held.documentation(done.collection))
    assert read == Age("rule", rule.digest, 4711, TAKEN, NOW)


def test_a_refresh_without_a_difference_makes_a_collection_younger(
    tonight: Night,
) -> None:
    tonight.one(InMemory(number=1), USABLE)
    tonight.one(InMemory(number=2), USABLE)
    age = ages.read(tonight.held.documentation("usable/LSSTCam/raw/all"))
    assert age is not None
    assert age.number == 2


def test_stale_collections_are_told_with_the_reason(tonight: Night) -> None:
    wanted = given(rule=USABLE)

    def reason(
        number: int = 1, later: timedelta = timedelta(0), limit: timedelta | None = None
    ) -> str | None:
        [one] = collections.check(
            tonight.repository, InMemory(number=number), wanted, NOW + later, limit
        )
        return one.reason

    assert reason() == "it was never filled"
    tonight.one(InMemory(), USABLE)
    assert reason() is None
    day = timedelta(days=1)
    assert reason(later=10 * day) is None
    assert reason(later=day, limit=day) == (
        "its snapshot is of 2026-01-16T12:00:00.000000Z, and may be 24 hours old"
    )
    assert reason(2) == "it is of snapshot 1, and the repository has 2"
    assert reason(2, limit=day) is None
    wanted = given(rule={**USABLE, "tags": ["vignetting"]})
    assert reason() == "its rule was changed since 2026-01-16T13:00:00.000000Z"
    tonight.held.butler.registry.setCollectionDocumentation(
        "usable/LSSTCam/raw/all", "mine"
    )
    assert reason() == "it was never filled"


# ------------------------------------------------------------------ whose hands do it

PRIVILEGES = (
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT INSERT ON opaque_meta, collection TO {}",
    "GRANT UPDATE ON collection TO {}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}",
)
"""What docs/collections.md says the role needs; and for each table of tags and of
summaries, as it says there, what stands below."""


def test_a_role_with_the_documented_privileges_fills_collections(
    tmp_path: Path, registry_url: str, butler_postgres: PostgresServer
) -> None:
    documented = Path(__file__).parents[2].joinpath("docs/collections.md").read_text()
    found = Night.make(tmp_path / "repo", database=registry_url)
    name = registry_url.partition("?")[0].rpartition("/")[2]
    role = f"{name}_tagger"

    def execute(statement: str) -> None:
        butler_postgres.execute(statement, database=name)

    tables = sa.inspect(found.held.butler._registry._db._engine).get_table_names()  # type: ignore[attr-defined]
    execute(f'CREATE ROLE "{role}" LOGIN')
    try:
        for statement in PRIVILEGES:
            assert statement.format("annolog_exporter") in documented
            execute(statement.format(f'"{role}"'))
        for table in tables:
            if table.startswith("dataset_tags_"):
                execute(f'GRANT INSERT, UPDATE, DELETE ON "{table}" TO "{role}"')
            if table.startswith("collection_summary_"):
                execute(f'GRANT INSERT ON "{table}" TO "{role}"')
        config = ButlerConfig(found.held.uri)
        parts = urlsplit(registry_url)
        config["registry", "db"] = f"postgresql://{role}@{parts.path}?{parts.query}"
        with (
            found.held.butler,
            Butler.from_config(config, writeable=True) as butler,
        ):
            repository = Repository(butler, UPLOAD)
            wanted = given(rule=USABLE)
            for junk, change in ((0, (10, 0, 0)), (1, (2, 2, 8))):
                said = InMemory(exposures_by={"junk": {found.exposures[junk]}})
                [done] = collections.refresh(repository, said, wanted, lambda: NOW)
                assert done.error is None
                assert changed(done) == change
    finally:
        execute(f'DROP OWNED BY "{role}" CASCADE')
        execute(f'DROP ROLE "{role}"')
