"""`annologd export butler`, as an operator runs it, against the running service."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from annolog.butler import open_reader
from annolog.cli.main import main
from annolog.domain.times import Span
from tests.support.butlers import CAMERA, MadeButler
from tests.support.marked import Marked
from tests.support.relay import RelayProcess
from tests.support.served import ServiceProcess


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(database_url, tmp_path / "home") as one:
        yield one


@pytest.fixture
def night(fresh: MadeButler) -> MadeButler:
    fresh.ingest(fresh.take(range(1, 7)), detectors=[0, 1])
    return fresh


def exposure(number: int) -> str:
    return f"exposure:{CAMERA}/{2026011500000 + number}"


CHIP = f"record:detector/instrument={CAMERA}/detector=1"


def lasting(made: MadeButler, word: str) -> set[Span]:
    """Give when detector 1 has a flag or a tag."""
    flags, tags = ([word], []) if word == "junk" else ([], [word])
    found = open_reader(made.butler).lasting(CAMERA, flags, tags)
    return {span for one in found.values() for span in one.spans}


def say(served: ServiceProcess, *keys: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    answer = httpx.post(
        f"{served.url}/annolog/v1/annotations",
        json={"targets": keys, **content},
        headers={"X-Annolog-User": "jdoe"},
    )
    assert answer.status_code == 201, answer.text
    said: dict[str, Any] = answer.json()
    return said


def export(made: MadeButler, source: str, *options: str) -> dict[str, Any]:
    arguments = ["export", "butler", "--repo", made.uri, "--from", source, "--json"]
    done = CliRunner().invoke(main, [*arguments, *options])
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def junk(made: MadeButler) -> set[int]:
    found: set[int] = open_reader(made.butler).exposures(CAMERA, ["junk"])
    return {one - 2026011500000 for one in found}


def eventually(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def test_an_export_brings_what_was_said_and_tells_what_waits(
    served: ServiceProcess, night: MadeButler
) -> None:
    say(served, exposure(1), exposure(99), flag="junk", text="two\u2028lines")
    done = export(night, served.url)
    assert done["added"]["exposure"] == 1
    assert done["waiting"] == [
        {
            "reason": "not_held",
            "kind": "exposure",
            "count": 1,
            "examples": [exposure(99)],
        }
    ]
    assert junk(night) == {1}
    # The address of the API is one of the service too.
    again = export(night, f"{served.url}/annolog/v1")
    assert again["number"] == done["number"]
    assert not again["added"] | again["changed"] | again["removed"]


def test_sets_that_are_asked_for_come_with_their_rows(
    served: ServiceProcess, night: MadeButler
) -> None:
    say(served, exposure(1), exposure(99), flag="junk")
    recipe = {
        "instrument": CAMERA,
        "parts": [{"name": "junk", "query": {"flags": ["junk"]}}],
    }
    answer = httpx.post(
        f"{served.url}/annolog/v1/data-id-sets/bad/build",
        json={"recipe": recipe, "reason": "a list"},
        headers={"X-Annolog-User": "jdoe"},
    )
    assert answer.is_success, answer.text
    export(night, served.url, "--set", "bad")
    found = open_reader(night.butler).members("bad")
    assert found == [
        {"instrument": CAMERA, "exposure": 2026011500000 + n} for n in (1, 99)
    ]
    bare = ["export", "butler", "--repo", night.uri, "--from", served.url]
    for options, code, reason in (
        ((), 1, "the data-ID set bad. Their rows would be removed; say --narrow"),
        (("--set", "nope"), 2, "annologd: there is no data-ID set 'nope'"),
        (("--set", "bad@1"), 2, "give the name without one, --set bad"),
    ):
        done = CliRunner().invoke(main, [*bare, *options])
        assert done.exit_code == code, done.output
        assert reason in " ".join(done.output.split())
        assert open_reader(night.butler).members("bad") == found
    assert export(night, served.url, "--narrow")["removed"]["set_version"] == 1


def test_whole_exposures_of_a_set_that_names_detectors_too_are_left_out(
    served: ServiceProcess, night: MadeButler, tmp_path: Path
) -> None:
    rows = [
        {"instrument": CAMERA, "exposure": 2026011500001},
        {"instrument": CAMERA, "exposure": 2026011500002, "detector": 1},
    ]
    answer = httpx.post(
        f"{served.url}/annolog/v1/data-id-sets/ex/versions",
        params={"reason": "a list"},
        json=rows,
        headers={"X-Annolog-User": "jdoe"},
    )
    assert answer.is_success, answer.text
    export(night, served.url, "--set", "ex")
    assert open_reader(night.butler).members("ex") == rows
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "version: 1\nrules:\n  usable: {sort: usable, instrument: LSSTCam, inherited:"
        " true, sets: [{set: ex}], source: LSSTCam/raw/all, dataset_types: raw, where:"
        " exposure.seq_num < 4}\n  ex: {sort: set, set: ex, source: LSSTCam/raw/all,"
        " dataset_types: raw}\n"
    )
    fill = ["export", "collections", "--repo", night.uri, "--rules", str(rules)]
    done = CliRunner().invoke(main, fill)
    assert done.exit_code == 0, done.output
    assert done.output == (
        "usable: usable/LSSTCam/raw/all: 3 added, 0 removed, 0 kept\n"
        "ex: sets/ex: 3 added, 0 removed, 0 kept\n"
    )


def test_mistyped_options_take_no_flags_away(
    served: ServiceProcess, night: MadeButler
) -> None:
    say(served, exposure(1), flag="junk")
    export(night, served.url)
    bare = ["export", "butler", "--repo", night.uri, "--from", served.url]
    for options, code, reason in (
        (("--instrument", "LSSTCan"), 2, "'LSSTCan' is unknown; did you mean LSSTCam"),
        (("--instrument", "lsstcam"), 2, "the instrument 'lsstcam' is unknown"),
        (("--day-obs-min", "20261399"), 2, "20261399 is no night"),
        (("--day-obs-max", "20260230"), 2, "20260230 is no night"),
        (
            ("--day-obs-min", "20260116", "--day-obs-max", "20260115"),
            2,
            "--day-obs-min 20260116 lies after --day-obs-max 20260115",
        ),
        (("--instrument", "LATISS"), 1, "instruments beside LATISS. Their rows"),
    ):
        done = CliRunner().invoke(main, [*bare, *options])
        assert done.exit_code == code, done.output
        assert reason in " ".join(done.output.split())
        assert junk(night) == {1}
    done = CliRunner().invoke(main, [*bare, "--instrument", "LATISS", "--follow"])
    assert done.exit_code == 1, done.output
    assert junk(night) == {1}


def test_an_instrument_may_be_one_that_only_the_service_knows(
    served: ServiceProcess, night: MadeButler
) -> None:
    answer = httpx.put(
        f"{served.url}/annolog/v1/instruments/NewCam",
        json={"aliases": ["nc"]},
        headers={"X-Annolog-User": "jdoe"},
    )
    assert answer.is_success, answer.text
    export(night, served.url, "--instrument", "NewCam")
    bare = ["export", "butler", "--repo", night.uri, "--from", served.url]
    done = CliRunner().invoke(main, [*bare, "--instrument", "nc"])
    assert done.exit_code == 2, done.output
    assert "the instrument 'nc' is unknown" in done.output


def test_a_follower_keeps_up(
    served: ServiceProcess, night: MadeButler, tmp_path: Path
) -> None:
    said = say(served, exposure(1), flag="junk")
    arguments = ("export", "butler", "--repo", night.uri, "--from", served.url)
    follower = Marked(
        ("-m", "annolog.cli", *arguments, "--follow", "--full-every", "3"), tmp_path
    )
    try:
        eventually(lambda: "rows added" in follower.told(), follower.told)
        say(served, exposure(2), flag="junk")
        eventually(lambda: junk(night) == {1, 2}, follower.told)
        answer = httpx.post(
            f"{served.url}/annolog/v1/annotations/{said['annotation_id']}/retract",
            headers={
                "X-Annolog-User": "jdoe",
                "If-Match": f'"{said["revision_id"]}"',
            },
        )
        assert answer.status_code == 200, answer.text
        eventually(lambda: junk(night) == {2}, follower.told)
        # What the butler gets later is seen when the whole is compared.
        say(served, exposure(50), flag="junk")
        night.take([50])
        eventually(lambda: junk(night) == {2, 50}, follower.told)
        # The service may go away and come back.
        served.stop()
        served.start()
        served.wait_until_ready()
        say(served, exposure(3), flag="junk")
        eventually(lambda: junk(night) == {2, 3, 50}, follower.told)
        assert follower.end(signal.SIGTERM) == 0, follower.told()
    finally:
        follower.close()


def test_the_topics_lead_to_the_same(
    database_url: str,
    night: MadeButler,
    kafka_bootstrap: str,
    tmp_path: Path,
) -> None:
    prefix = f"export.{time.time_ns()}"
    stream = {"kafka_bootstrap": kafka_bootstrap, "kafka_topic_prefix": prefix}
    relay = RelayProcess(database_url, kafka_bootstrap, prefix, tmp_path / "relay.log")
    settings = {f"ANNOLOG_{name.upper()}": value for name, value in stream.items()}
    with ServiceProcess(database_url, tmp_path / "home", **stream) as served:
        relay.start()
        relay.wait_for("goes on after")
        say(served, exposure(1), flag="junk", text="dome")
        since = {"begin": "2026-01-15T00:00:00Z"}
        say(served, CHIP, flag="junk", observed_at=since)
        arguments = ("export", "butler", "--repo", night.uri, "--from", "kafka")
        follower = Marked(
            ("-m", "annolog.cli", *arguments, "--follow"), tmp_path, settings
        )
        try:
            eventually(lambda: "rows added" in follower.told(), follower.told)
            until = {"end": "2026-01-14T00:00:00Z"}
            say(served, CHIP, tags=["glow"], observed_at=until)
            say(served, exposure(2), flag="junk", tags=["donuts"])
            eventually(lambda: junk(night) == {1, 2}, follower.told)
            assert lasting(night, "junk") == {
                Span(datetime(2026, 1, 15, tzinfo=UTC), None)
            }
            assert lasting(night, "glow") == {
                Span(None, datetime(2026, 1, 14, tzinfo=UTC))
            }
            assert follower.end(signal.SIGTERM) == 0, follower.told()
        finally:
            follower.close()
            relay.clean()
        # The service's snapshot finds nothing to do.
        again = export(night, served.url)
        assert not again["added"] | again["changed"] | again["removed"], again


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (("--from", "ftp://x"), 2, "neither https://host nor 'kafka'"),
        (("--from", "http://127.0.0.1:9"), 1, "does not answer"),
        (("--from", "http://127.0.0.1:9", "--repo", "/nothing"), 1, "cannot be opened"),
        (("--from", "kafka"), 2, "ANNOLOG_KAFKA_BOOTSTRAP is not set"),
        ((), 2, "--from"),
    ],
)
def test_what_cannot_be_done_is_told(
    night: MadeButler,
    options: tuple[str, ...],
    code: int,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ANNOLOG_KAFKA_BOOTSTRAP", raising=False)
    done = CliRunner().invoke(main, ["export", "butler", "--repo", night.uri, *options])
    assert done.exit_code == code, done.output
    assert reason in done.output


def test_the_documented_way_leaves_out_what_is_flagged(
    served: ServiceProcess, night: MadeButler
) -> None:
    (other,) = night.ingest([2026011500004], detectors=[1])
    say(served, exposure(1), f"detector:{CAMERA}/2026011500002/1", flag="junk")
    say(served, f"dataset:{other.id}", tags=["ghost"])
    export(night, served.url)
    documented = Path(__file__).parents[2].joinpath("docs/facility.md").read_text()
    code = documented.partition("```python\n")[2].partition("```")[0]
    found: dict[str, Any] = {}
    exec(code.replace("/repo/main", night.uri), found)  # noqa: S102 - our own words
    left = {(r.dataId["exposure"] % 100, r.dataId["detector"]) for r in found["refs"]}
    every = {(n, chip) for n in range(1, 7) for chip in (0, 1)}
    assert every - left == {(1, 0), (1, 1), (2, 1), (4, 1)}
    assert list(found["why"]) == [2026011500001]
