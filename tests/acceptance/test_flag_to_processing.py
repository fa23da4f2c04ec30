"""From "flag set" to "processing leaves it out", by documented commands."""

import json
from collections.abc import Iterator
from pathlib import Path

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
"""


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(database_url, tmp_path / "home") as one:
        yield one


def annologd(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


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
    [rule] = json.loads(stale.stdout)["rules"]
    assert "it is of snapshot" in rule["reason"]
    bring()
    assert build(held.uri, [USABLE]) == Built(
        pairs([one, two, three]) | {(four, 0)}, {one, three, four}
    )
