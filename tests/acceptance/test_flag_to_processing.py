"""From "flag set" to "processing leaves it out", by documented commands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from annolog.cli.main import main
from tests.support.butlers import CAMERA
from tests.support.graphs import Built, build, pairs
from tests.support.served import ServiceProcess
from tests.support.tagged_butlers import HeldButler

RAWS, USABLE = "LSSTCam/raw/all", "usable/LSSTCam/raw/all"

RULES = """\
version: 1
rules:
  usable-raws:
    sort: usable
    instrument: LSSTCam
    flags: [junk]
    inherited: true
    source: LSSTCam/raw/all
    dataset_types: raw
    nights: {first: 20260115, last: 20260115}
  junk-raws:
    sort: flagged
    instrument: LSSTCam
    flag: junk
    inherited: true
    source: LSSTCam/raw/all
    dataset_types: raw
"""


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(database_url, tmp_path / "home") as one:
        yield one


def annologd(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


class Facility:
    """A service, a repository with a night of four exposures, and what is said."""

    def __init__(self, served: ServiceProcess, root: Path) -> None:
        self.url = served.url
        self.held = HeldButler.create(root / "repo", detectors=95)
        self.exposures = self.held.made.take(range(1, 5))
        self.held.add("raw", RAWS, self.exposures, detectors=[93, 94])
        self.rules = root / "rules.yaml"
        self.rules.write_text(RULES)
        self.repo = ("--repo", self.held.uri)

    def send(self, method: str, path: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of a request
        headers = {"X-Annolog-User": "jdoe", **more.pop("headers", {})}
        url = f"{self.url}/annolog/v1{path}"
        answer = httpx.request(method, url, headers=headers, **more)
        assert answer.is_success, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def step(
        self,
        said: dict[str, Any],
        method: str,
        word: str,
        **more: Any,  # noqa: ANN401 - of a request
    ) -> dict[str, Any]:
        headers = {"If-Match": f'"{said["revision_id"]}"'}
        path = f"/annotations/{said['annotation_id']}{word}"
        return self.send(method, path, headers=headers, **more)

    def flagged(self) -> set[tuple[int, int]]:
        """Bring everything, and give what is flagged and not usable."""
        annologd("export", "butler", *self.repo, "--from", self.url)
        annologd("export", "collections", *self.repo, "--rules", str(self.rules))
        flagged, usable = (
            {
                (int(one.dataId["exposure"]), int(one.dataId["detector"]))
                for one in self.held.butler.get_many_datasets(self.held.members(name))
            }
            for name in (f"flags/junk/{RAWS}", USABLE)
        )
        everything = {(one, part) for one in self.exposures for part in (93, 94)}
        assert usable == everything - flagged
        return flagged

    def begin(self, exposure: int) -> str:
        [record] = self.held.butler.query_dimension_records(
            "exposure", instrument=CAMERA, exposure=exposure
        )
        moment: str = record.timespan.begin.utc.isot
        return moment + "Z"


def test_a_detector_that_is_bad_for_a_time_is_left_out_of_what_was_taken_then(
    served: ServiceProcess, tmp_path: Path
) -> None:
    facility = Facility(served, tmp_path)
    _, two, three, four = facility.exposures
    since, until = facility.begin(two), facility.begin(four)
    said = facility.send(
        "POST",
        "/annotations",
        json={
            "targets": [f"record:detector/instrument={CAMERA}/detector=94"],
            "flag": "junk",
            "text": "detector 94 glows",
            "observed_at": {"begin": since},
        },
    )
    assert facility.flagged() == {(two, 94), (three, 94), (four, 94)}
    where = ("--rules", str(facility.rules), "--rule", "usable-raws")
    told = CliRunner().invoke(main, ["export", "where", *facility.repo, *where])
    assert told.exit_code == 0
    assert "flagged for a time: detector 94;" in told.stderr
    # It is repaired: the same statement, closed by an edit.
    closed = {"observed_at": {"begin": since, "end": until}}
    said = facility.step(said, "PATCH", "", json=closed)
    assert facility.flagged() == {(two, 94), (three, 94)}
    facility.step(said, "POST", "/retract")
    assert facility.flagged() == set()


def test_a_rule_and_a_recipe_find_the_same_of_detectors_that_are_bad_for_a_time(
    served: ServiceProcess,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facility = Facility(served, tmp_path)
    _, two, three, four = (facility.begin(one) for one in facility.exposures)
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", database_url)
    monkeypatch.setenv("ANNOLOG_SITE_ID", "summit")
    annologd("exposures", "import", "--from", "butler", "--uri", facility.held.uri)

    def say(
        detector: int, flag: str, begin: str | None, end: str | None, by: str = "jdoe"
    ) -> dict[str, Any]:
        body = {
            "targets": [f"record:detector/instrument={CAMERA}/detector={detector}"],
            "flag": flag,
            "observed_at": {"begin": begin, "end": end},
        }
        who = {"X-Annolog-User": by}
        return facility.send("POST", "/annotations", json=body, headers=who)

    def review(said: dict[str, Any], verdict: str, by: str) -> None:
        path = f"/annotations/{said['annotation_id']}/reviews"
        body = {"verdict": verdict, "reason": "I looked"}
        facility.send("POST", path, json=body, headers={"X-Annolog-User": by})

    def built() -> set[tuple[int, int]]:
        query = {"flags": ["junk"], "kinds": ["exposure", "detector"]}
        part = {"name": "junk", "query": query}
        recipe = {"instrument": CAMERA, "parts": [part]}
        path = "/data-id-sets/bad/build"
        facility.send("POST", path, json={"recipe": recipe, "reason": "to compare"})
        rows: Any = facility.send("GET", "/data-id-sets/bad/versions/newest/rows")
        return {(row["exposure"], row["detector"]) for row in rows}

    # One took it back for a while, one was of another mind later, one confirmed.
    say(94, "junk", two, None)
    say(94, "good", three, four)
    kept = say(93, "junk", None, three)
    review(kept, "confirm", by="bob")
    say(93, "good", two, None, by="alice")
    first, second, _, fourth = facility.exposures
    expected = {(second, 94), (fourth, 94), (first, 93), (second, 93)}
    assert facility.flagged() == built() == expected
    # By another policy the later word holds.
    policy = {"instrument": CAMERA, "rule": "latest"}
    facility.send("PUT", "/policies", json=policy, headers={"X-Annolog-User": "admin"})
    assert facility.flagged() == built() == expected - {(second, 93)}


def test_what_an_observer_flags_is_left_out_by_processing(
    served: ServiceProcess, tmp_path: Path
) -> None:
    held = HeldButler.create(tmp_path / "repo")
    one, two, three, four = held.made.take(range(1, 5))
    held.made.define_visits({one: [one, two], three: [three], four: [four]})
    raws = held.add("raw", RAWS, [one, two, three, four])
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    where = ("--repo", held.uri)

    def say(*keys: str, flag: str) -> str:
        answer = httpx.post(
            f"{served.url}/annolog/v1/annotations",
            json={"targets": keys, "flag": flag, "text": "trailed"},
            headers={"X-Annolog-User": "jdoe"},
        )
        assert answer.status_code == 201, answer.text
        said: str = answer.json()["annotation_id"]
        return said

    def bring() -> None:
        annologd("export", "butler", *where, "--from", served.url)
        annologd("export", "collections", *where, "--rules", str(rules))

    assert build(held.uri, [RAWS]) == Built(
        pairs([one, two, three, four]), {one, three, four}
    )
    say(f"exposure:{CAMERA}/{three}", flag="junk")
    say(f"detector:{CAMERA}/{four}/1", f"dataset:{raws[0].id}", flag="junk")
    say(f"exposure:{CAMERA}/{two}", flag="questionable")
    bring()
    assert build(held.uri, [USABLE]) == Built(
        {(one, 1), (two, 0), (two, 1), (four, 0)}, {one, four}
    )

    # The author finds that it was good after all.
    say(f"exposure:{CAMERA}/{three}", flag="good")
    say(f"dataset:{raws[0].id}", flag="withdraw")
    stale = CliRunner().invoke(
        main, ["export", "collections", *where, "--rules", str(rules), "--check"]
    )
    assert stale.exit_code == 0  # not yet exported: nobody here can know
    annologd("export", "butler", *where, "--from", served.url)
    stale = CliRunner().invoke(
        main,
        ["export", "collections", *where, "--rules", str(rules), "--check", "--json"],
    )
    assert stale.exit_code == 1
    rule, _ = json.loads(stale.stdout)["rules"]
    assert "it is of snapshot" in rule["reason"]
    bring()
    assert build(held.uri, [USABLE]) == Built(
        pairs([one, two, three]) | {(four, 0)}, {one, three, four}
    )
