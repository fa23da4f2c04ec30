"""Data-ID sets over HTTP: upload, download, compare, release, speak of them."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from annolog.actions import check
from annolog.storage.database import snapshot
from tests.support.nights import held
from tests.support.service import V1, Service, caller

BAD = Path(__file__).parents[1] / "data" / "LSSTComCam-bad.ecsv"
SETS = "/data-id-sets"
ROWS = [
    {"instrument": "LSSTCam", "exposure": 2026111900003, "comment": "trailed"},
    {"instrument": "LSSTCam", "exposure": 2026111900001, "comment": "i donuts"},
]


running = pytest.fixture(held, name="annolog")


async def agrees(annolog: Service) -> None:
    """Hold all views against their records."""
    async with snapshot(annolog.runtime.reads) as connection:
        assert (await check.check_all(connection)).faults == []


async def upload(
    annolog: Service,
    content: bytes | list[dict[str, Any]],
    *,
    name: str = "bad",
    kind: str = "application/json",
    by: str = "jdoe",
    **query: str | int,
) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await annolog.client.post(
        f"{V1}{SETS}/{name}/versions",
        content=body,
        params=query,
        headers=caller(by) | {"content-type": kind},
    )


async def uploaded(annolog: Service, *args: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as upload takes them
    answer = await upload(annolog, *args, **more)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows(annolog: Service, version: str, form: str, name: str = "bad") -> bytes:
    answer = await annolog.get(f"{SETS}/{name}/versions/{version}/rows", format=form)
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_an_upload_of_a_download_changes_nothing(annolog: Service) -> None:
    ecsv = BAD.read_bytes()
    made = await uploaded(
        annolog, ecsv, kind="text/x-ecsv", instrument="LSSTComCam", reason="first"
    )
    assert made["written"]
    version = made["version"]
    assert version["key"] == f"set:bad@1-{version['digest'][:8].upper()}"
    assert (version["reason"], version["author"]) == ("first", "jdoe")
    assert await rows(annolog, "1", "ecsv") == ecsv
    for form, kind in (
        ("ecsv", "text/x-ecsv"),
        ("csv", "text/csv"),
        ("json", "application/json"),
    ):
        content = await rows(annolog, "newest", form)
        answer = await upload(annolog, content, kind=kind, instrument="LSSTComCam")
        assert answer.status_code == 200
        assert answer.json()["unchanged"]
        assert answer.json()["version"]["version"] == 1
    listed = (await annolog.get(SETS)).json()["items"]
    assert [(one["name"], one["version"], one["versions"]) for one in listed] == [
        ("bad", 1, 1)
    ]


async def test_rows_that_name_exposures_otherwise_become_their_ids(
    annolog: Service,
) -> None:
    known = "exposure:LSSTCam/MC_O_20261119_000007"
    await annolog.say(known, text="seen")
    content = (
        b"obs_id,day_obs,seq_num,comment\nMC_O_20261119_000005,,,a\n,20261119,7,b\n"
    )
    made = await uploaded(annolog, content, kind="text/csv", instrument="LSSTCam")
    assert [(one["line"], one["exposure"]) for one in made["conversions"]] == [
        (2, 2026111900005),
        (3, 2026111900007),
    ]
    assert await rows(annolog, "1", "csv") == (
        b"exposure,comment\n2026111900005,a\n2026111900007,b\n"
    )


async def test_faulty_rows_are_named_by_their_lines_and_nothing_is_stored(
    annolog: Service,
) -> None:
    content = (
        b"instrument,exposure,seq_num,day_obs,comment\n"
        b"LSSTCam,2026111900001,,,a\n"
        b"LSSTCan,2026111900002,,,a\n"
        b"LSSTCam,,9,20261119,a\n"
        b"LSSTCam,2026111900001,,,other\n"
        b"LSSTCam,2026111900001,,,a\n"
    )
    answer = await upload(annolog, content, kind="text/csv")
    assert answer.status_code == 422
    problems = answer.json()["errors"]
    assert [one["pointer"].split("/")[0] for one in problems] == [
        "line 3",
        "line 4",
        "line 5",
    ]
    assert "LSSTCam" in problems[0]["reason"]
    assert (await annolog.get(f"{SETS}/bad")).status_code == 404


async def test_a_dry_run_tells_what_a_version_would_add_and_drop(
    annolog: Service,
) -> None:
    await uploaded(annolog, ROWS)
    new = [ROWS[1] | {"comment": "ok"}, ROWS[0] | {"exposure": 2026111900009}]
    told = await uploaded(annolog, new, dry_run="true")
    assert not told["written"]
    assert [told[f"{what}_count"] for what in ("added", "dropped", "altered")] == [
        1,
        1,
        1,
    ]
    assert told["added"][0]["data_id"]["exposure"] == 2026111900009
    assert told["altered"][0]["new"] == {"comment": "ok"}
    shown = (await annolog.get(f"{SETS}/bad")).json()
    assert [one["version"] for one in shown["versions"]] == [1]
    made = await uploaded(annolog, new)
    assert made["version"]["version"] == 2
    assert made["added"] == told["added"]


async def test_who_started_from_an_older_version_is_told(annolog: Service) -> None:
    await uploaded(annolog, ROWS, parent=0)
    answer = await upload(annolog, ROWS[:1], parent=0)
    assert (answer.status_code, answer.json()["newest"]) == (412, 1)


async def test_releases_are_shown_and_a_label_is_one_versions(
    annolog: Service,
) -> None:
    first = (await uploaded(annolog, ROWS))["version"]
    await uploaded(annolog, ROWS[:1])
    path = f"{SETS}/bad/versions"
    done = await annolog.post(f"{path}/1/release", {"label": "DRP1", "reason": "x"})
    assert (done.status_code, done.json()["label"]) == (201, "DRP1")
    again = await annolog.post(f"{path}/1/release", {"label": "DRP1"})
    assert again.status_code == 200
    taken = await annolog.post(f"{path}/2/release", {"label": "DRP1"})
    assert (taken.status_code, taken.json()["code"]) == (409, "label_taken")
    by_label = (await annolog.get(f"{path}/DRP1")).json()
    assert by_label["key"] == first["key"]
    other = await annolog.post(f"{path}/1/release", {"label": "DRPX"})
    assert (other.status_code, other.json()["code"]) == (409, "released_already")
    assert "as DRP1: withdraw that first" in other.json()["detail"]
    assert (await annolog.get(f"{path}/DRP1")).json()["key"] == first["key"]
    assert (await annolog.post(f"{path}/1/withdraw")).json()["label"] is None
    changes = (await annolog.get("/changes", limit=1000)).json()["items"]
    assert changes[-1]["type"] == "org.lsst.annolog.set_release.withdrawn.v1"
    assert (await annolog.get(f"{path}/DRP1")).status_code == 404
    await agrees(annolog)


@pytest.mark.parametrize("label", ["now", "NEWEST", "12", "deadbeef", "1f0a77c2"])
async def test_a_label_is_nothing_that_names_a_version_otherwise(
    annolog: Service, label: str
) -> None:
    await uploaded(annolog, ROWS)
    path = f"{SETS}/bad/versions/1/release"
    assert (await annolog.post(path, {"label": label})).status_code == 422


async def test_a_detector_is_in_what_has_its_whole_exposure(annolog: Service) -> None:
    whole = (await uploaded(annolog, ROWS))["version"]["key"]
    part = [{"instrument": "LSSTCam", "exposure": 2026111900003, "detector": 13}]
    both = (await uploaded(annolog, [*ROWS, *part]))["version"]["key"]
    exposure = "exposure:LSSTCam/2026111900003"
    detector = "detector:LSSTCam/2026111900003/13"
    found = (await annolog.get(f"{SETS}/containing", key=detector)).json()["items"]
    assert [(one["key"], one["member"]) for one in found] == [
        (both, detector),
        (whole, exposure),
    ]
    one = (await annolog.get(f"{SETS}/containing", key=detector, limit=1)).json()
    assert [each["key"] for each in one["items"]] == [both]
    found = (await annolog.get(f"{SETS}/containing", key=exposure)).json()["items"]
    assert {each["member"] for each in found} == {exposure}


async def test_the_owner_of_a_set_can_be_another(annolog: Service) -> None:
    await uploaded(annolog, ROWS)
    answer = await annolog.client.put(
        f"{V1}{SETS}/bad/access",
        json={"owner": "ann", "editors": ["bob", "jdoe"]},
        headers=caller("jdoe"),
    )
    assert answer.json() == {"name": "bad", "owner": "ann", "editors": ["bob", "jdoe"]}
    shown = (await annolog.get(f"{SETS}/bad")).json()
    assert (shown["owner"], shown["editors"]) == ("ann", ["bob", "jdoe"])
    await agrees(annolog)


async def test_a_version_can_be_spoken_of_and_its_members_inherit(
    annolog: Service,
) -> None:
    made = await uploaded(annolog, ROWS)
    key = made["version"]["key"]
    said = await annolog.say("set:bad@1", flag="questionable", text="too strict")
    assert said["targets"] == [key]
    found = (await annolog.get("/target", key=key)).json()
    assert found["state"]["flag"] == "questionable"
    member = "exposure:LSSTCam/2026111900003"
    inherited = (await annolog.get("/target/inherited", key="set:bad@1")).json()
    assert inherited["sources"] == []
    await annolog.say(member, text="seen")
    inherited = (await annolog.get("/target/inherited", key=member)).json()
    assert [(one["source"], one["flag"]) for one in inherited["sources"]] == [
        (key, "questionable")
    ]
    versions = (await annolog.get(f"{SETS}/containing", key=member)).json()["items"]
    assert [one["key"] for one in versions] == [key]
    unknown = await annolog.post(
        "/annotations", {"targets": ["set:bad@2"], "text": "none"}
    )
    assert unknown.status_code == 422
    await agrees(annolog)
