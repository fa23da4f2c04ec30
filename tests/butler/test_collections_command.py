"""`annologd export collections` and `where`, as an operator runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from annolog.butler.scopes import Scope
from annolog.cli.main import main
from tests.support.butlers import CAMERA
from tests.support.tagged_butlers import HeldButler, InMemory, exported

RAWS = "LSSTCam/raw/all"

RULES = """\
version: 1
rules:
  junk:
    {sort: flagged, instrument: LSSTCam, flag: junk, inherited: true,
     source: LSSTCam/raw/all, dataset_types: raw}
  usable:
    {sort: usable, instrument: LSSTCam, flags: junk, inherited: true,
     source: LSSTCam/raw/all, dataset_types: raw, nights: {first: 20260115}}
"""

Run = Callable[..., Result]


@pytest.fixture
def held(tmp_path: Path) -> HeldButler:
    held = HeldButler.create(tmp_path / "repo")
    held.add("raw", RAWS, held.made.take(range(1, 5)))
    return held


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def run(held: HeldButler, file: Path) -> Run:
    def invoke(command: str, *arguments: str, repo: str = held.uri) -> Result:
        fixed = ["--repo", repo, "--rules", str(file)]
        return CliRunner().invoke(main, ["export", command, *fixed, *arguments])

    return invoke


def some_junk(held: HeldButler) -> None:
    exported(held, InMemory(exposures_by={"junk": {2026011500001, 2026011500002}}))


def test_collections_are_filled_from_what_was_exported(
    run: Run, held: HeldButler
) -> None:
    some_junk(held)
    dry = run("collections", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert dry.stdout == (
        "junk: flags/junk/LSSTCam/raw/all: 4 added, 0 removed, 0 kept\n"
        "usable: usable/LSSTCam/raw/all: 4 added, 0 removed, 0 kept\n"
    )
    assert list(held.butler.collections.query("*")) == [RAWS]
    done = run("collections")
    assert done.stdout == dry.stdout
    assert len(held.members("usable/LSSTCam/raw/all")) == 4
    exported(held, InMemory(exposures_by={"junk": {2026011500001}}))
    again = run("collections", "--json", "--rule", "usable")
    assert json.loads(again.stdout) == {
        "dry_run": False,
        "rules": [
            {
                "rule": "usable",
                "collection": "usable/LSSTCam/raw/all",
                "added": 2,
                "removed": 0,
                "kept": 4,
                "conflicts": [],
                "unresolved": [],
                "error": None,
                "warnings": [],
            }
        ],
    }


def test_stale_collections_end_the_check_with_1(run: Run, held: HeldButler) -> None:
    some_junk(held)
    stale = run("collections", "--check")
    assert stale.exit_code == 1
    assert stale.stdout == (
        "flags/junk/LSSTCam/raw/all: stale: it was never filled\n"
        "usable/LSSTCam/raw/all: stale: it was never filled\n"
    )
    run("collections")
    fresh = run("collections", "--check")
    assert fresh.exit_code == 0
    assert "usable/LSSTCam/raw/all: fresh\n" in fresh.stdout
    old = run("collections", "--check", "--max-age", "1", "--json")
    assert old.exit_code == 1
    [junk, _] = json.loads(old.stdout)["rules"]
    assert junk["age"]["number"] == 1
    assert "may be 1 hours old" in junk["reason"]
    assert run("collections", "--max-age", "1").exit_code == 2


def test_a_rule_that_fails_ends_the_export_with_1_and_the_others_are_done(
    run: Run, held: HeldButler, file: Path
) -> None:
    some_junk(held)
    file.write_text(RULES.replace("source: LSSTCam/raw/all", "source: no/such", 1))
    done = run("collections")
    assert done.exit_code == 1
    assert "junk: flags/junk/no/such: not done: MissingCollectionError: " in done.stdout
    assert len(held.members("usable/LSSTCam/raw/all")) == 4


def test_where_no_export_was_made_nothing_is_touched(
    run: Run, held: HeldButler
) -> None:
    done = run("collections")
    assert done.exit_code == 1
    assert "annolog" in done.stderr
    assert list(held.butler.collections.query("*")) == [RAWS]


def test_a_repository_that_cannot_be_opened_is_named(run: Run, tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    for command in (["collections"], ["where", "--rule", "usable"]):
        done = run(*command, repo=missing)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"annologd: {missing} cannot be opened: ")
    server = tmp_path / "server"
    server.mkdir()
    (server / "butler.yaml").write_text(
        "cls: lsst.daf.butler.remote_butler.RemoteButler\n"
        "remote_butler: {url: 'https://butler.example.org'}\n"
    )
    behind = run("collections", repo=str(server))
    assert behind.exit_code == 1
    assert "is a butler behind a server, where nothing can be" in behind.stderr


def test_rules_that_are_wrong_are_wrong_use(run: Run, file: Path) -> None:
    file.write_text(RULES.replace("sort: usable", "sort: useful"))
    done = run("collections")
    assert done.exit_code == 2
    assert done.stderr == (
        f"{file}: rule usable: field sort: 'useful': it should be one of flagged,"
        " usable, set\n"
    )


def test_a_rule_is_written_as_an_expression(run: Run, held: HeldButler) -> None:
    some_junk(held)
    literal = run("where", "--rule", "usable", "--literal")
    assert literal.stdout == (
        f"instrument = '{CAMERA}' AND (exposure.day_obs >= 20260115)"
        " AND NOT (exposure IN (2026011500001, 2026011500002))\n"
    )
    bound = run("where", "--rule", "usable")
    where, bind = bound.stdout.splitlines()
    assert where.endswith("AND NOT (exposure IN (flagged_exposures))")
    assert json.loads(bind) == {"flagged_exposures": [2026011500001, 2026011500002]}
    both = json.loads(run("where", "--rule", "usable", "--json").stdout)
    assert both == {
        "dataset_type": "raw",
        "where": where,
        "bind": json.loads(bind),
        "values": 2,
        "lasting": [],
        "warnings": [],
        "snapshot": 1,
    }
    refused = run("where", "--rule", "usable", "--dataset-type", "post_isr")
    assert refused.exit_code == 1
    assert "rule usable is not about post_isr; it is about raw" in refused.stderr


def not_done(run: Run, held: HeldButler, reason: str, *, code: int = 1) -> None:
    """Check that the rule `usable` is followed nowhere, and its collection stays."""
    place = "usable/LSSTCam/raw/all"
    before = held.members(place)
    assert before
    done = run("collections", "--rule", "usable")
    assert done.exit_code == code, done.output
    assert f"usable: {place}: not done: {reason}" in done.stdout
    assert held.members(place) == before
    check = run("collections", "--check", "--rule", "usable")
    assert check.exit_code == 1, check.output
    assert f"{place}: stale: {reason}" in check.stdout
    where = run("where", "--rule", "usable")
    assert where.exit_code == 1, where.output
    assert f"annologd: {reason}" in where.stderr


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        (Scope(instrument=("LSSTComCam",)), "the tables hold LSSTComCam only, and"),
        (
            Scope(day_obs_min=20260116),
            "the tables hold nights from 20260116 only, and nights from 20260115 are",
        ),
        (
            Scope(day_obs_max=20260120),
            "the tables hold nights to 20260120 only, and nights from 20260115 are",
        ),
    ],
)
def test_a_rule_that_asks_for_more_than_was_exported_is_refused(
    run: Run, held: HeldButler, scope: Scope, reason: str
) -> None:
    some_junk(held)
    run("collections")
    other = InMemory(exposures_by={"questionable": {2026011500003}})
    exported(held, other, scope)
    not_done(run, held, reason)


def test_a_rule_within_what_was_exported_is_followed(
    run: Run, held: HeldButler, file: Path
) -> None:
    file.write_text(RULES.replace("first: 20260115", "first: 20260115, last: 20260116"))
    said = InMemory(exposures_by={"junk": {2026011500001}})
    exported(held, said, Scope(instrument=(CAMERA,), day_obs_min=20260115))
    done = run("collections", "--rule", "usable")
    assert "usable: usable/LSSTCam/raw/all: 6 added" in done.stdout


def test_a_flag_that_nobody_knows_is_refused(
    run: Run, held: HeldButler, file: Path
) -> None:
    some_junk(held)
    run("collections")
    file.write_text(RULES.replace("flags: junk", "flags: [junk, jnuk]"))
    not_done(run, held, "the flag 'jnuk' is not known; did you mean junk? there are")
    file.write_text(RULES.replace("flag: junk", "flag: jnuk"))
    done = run("collections", "--rule", "junk")
    assert done.exit_code == 1
    assert "not done: the flag 'jnuk' is not known" in done.stdout


def test_a_set_that_was_not_exported_is_refused(
    run: Run, held: HeldButler, file: Path
) -> None:
    some_junk(held)
    run("collections")
    file.write_text(RULES.replace("flags: junk", "sets: [{set: bad}]"))
    place = "usable/LSSTCam/raw/all"
    before = held.members(place)
    reason = "there is no set bad in the tables: export with --set bad too"
    done = run("collections", "--rule", "usable")
    assert f"{place}: not done: {reason}" in done.stdout
    assert held.members(place) == before
    check = run("collections", "--check", "--rule", "usable")
    assert (check.exit_code, check.stdout) == (1, f"{place}: stale: {reason}\n")


def test_a_tag_that_nothing_has_is_followed_with_a_warning(
    run: Run, held: HeldButler, file: Path
) -> None:
    exported(held, InMemory(exposures_by={"donuts": {2026011500001}}))
    file.write_text(RULES.replace("flags: junk", "tags: [donut, donuts]"))
    words = "no target has the tag 'donut'; the tables have donuts"
    done = run("collections", "--rule", "usable")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "usable: usable/LSSTCam/raw/all: 6 added, 0 removed, 0 kept\n"
        f"  warning: {words}\n"
    )
    where = run("where", "--rule", "usable")
    assert where.exit_code == 0
    assert where.stderr == f"warning: {words}\n"


def test_whole_exposures_among_detectors_of_a_set_are_left_out(
    run: Run, held: HeldButler, file: Path
) -> None:
    rows: list[dict[str, int | str]] = [
        {"instrument": CAMERA, "exposure": 2026011500001},
        {"instrument": CAMERA, "exposure": 2026011500002, "detector": 1},
    ]
    exported(held, InMemory(sets={"bad": [rows]}))
    some = "  some:\n    {sort: set, set: bad, source: LSSTCam/raw/all,"
    some += " dataset_types: raw}\n"
    file.write_text(RULES.replace("flags: junk", "sets: [{set: bad}]") + some)
    done = run("collections")
    assert done.exit_code == 0, done.output
    assert "usable: usable/LSSTCam/raw/all: 5 added" in done.stdout
    # The whole exposure has two detectors; all rows are found.
    assert done.stdout.endswith("some: sets/bad: 3 added, 0 removed, 0 kept\n")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("", "", 1),
        ("source: LSSTCam/other", "source: LSSTCam/raw/all", 0),
        ("instrument: LSSTCam", "instrument: LSSTComCam", 0),
        ("first: 20260115", "first: 20260116", 0),
        ("source: LSSTCam/other", "source: [LSSTCam/raw/all, LSSTCam/other]", 1),
    ],
)
def test_where_is_refused_only_for_datasets_that_the_rule_can_reach(
    run: Run, held: HeldButler, file: Path, old: str, new: str, code: int
) -> None:
    held.made.add_instrument("LSSTComCam")
    [raw, *_] = held.add("raw", "LSSTCam/other", [2026011500001])
    exported(held, InMemory(datasets_by={"junk": {raw.id}}))
    content = RULES.replace("LSSTCam/raw/all", "LSSTCam/other")
    content = content.replace("sort: usable,", "sort: usable, collection: good,")
    content = content.replace("sort: flagged,", "sort: flagged, collection: bad,")
    file.write_text(content.replace(old, new))
    done = run("where", "--rule", "usable")
    assert done.exit_code == code, done.output
    told = "1 datasets of type raw are flagged by themselves"
    assert (told in done.stderr) is (code == 1)
    if code == 0:
        # Nothing is to be bound, so there is no second line.
        assert len(done.stdout.splitlines()) == 1
