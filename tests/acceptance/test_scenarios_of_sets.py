"""Scenarios of data-ID sets: an exclusion list that drifts, a detector that was bad."""

from typing import Any

import pytest

from annolog.actions import check, dataid_drift
from annolog.storage.database import snapshot
from tests.support.nights import held
from tests.support.service import Service

NIGHT = 2026111900000
SETS = "/data-id-sets"

running = pytest.fixture(held, name="annolog")


def exposure(seq_num: int) -> str:
    return f"exposure:LSSTCam/{NIGHT + seq_num}"


async def build(
    annolog: Service, name: str, recipe: dict[str, Any] | None, reason: str = ""
) -> dict[str, Any]:
    body = {"recipe": recipe, "reason": reason}
    answer = await annolog.post(f"{SETS}/{name}/build", body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows(annolog: Service, name: str, version: str) -> list[dict[str, Any]]:
    answer = await annolog.get(f"{SETS}/{name}/versions/{version}/rows")
    found: list[dict[str, Any]] = answer.json()
    return found


async def sound(annolog: Service) -> None:
    async with snapshot(annolog.runtime.reads) as connection:
        assert (await check.check_all(connection)).faults == []


async def test_a_released_list_stays_while_its_neighbour_turns_out_to_be_bad(
    annolog: Service,
) -> None:
    part = {"name": "junk", "query": {"flags": ["junk"]}}
    recipe = {"instrument": "LSSTCam", "parts": [part]}
    for seq_num in (10, 20):
        await annolog.say(exposure(seq_num), flag="junk", text=f"bad {seq_num}")
        await build(annolog, "DRP1-bad", recipe, "so far")
    wrong = await annolog.say(exposure(123), flag="junk", text="trailed")
    third = await build(annolog, "DRP1-bad", None, "for DRP1")
    assert third["version"]["version"] == 3
    path = f"{SETS}/DRP1-bad/versions"
    done = await annolog.post(f"{path}/3/release", {"label": "DRP1"}, by="curator")
    assert done.status_code == 201
    before = await rows(annolog, "DRP1-bad", "DRP1")
    assert [one["exposure"] - NIGHT for one in before] == [10, 20, 123]

    retracted = await annolog.retract(wrong)
    neighbour = await annolog.say(exposure(124), flag="junk", text="trailed")

    assert await rows(annolog, "DRP1-bad", "3") == before
    drift = (await annolog.get(f"{path}/DRP1/drift")).json()
    added, dropped = drift["added"], drift["dropped"]
    assert [one["data_id"]["exposure"] - NIGHT for one in added] == [124]
    assert [one["data_id"]["exposure"] - NIGHT for one in dropped] == [123]
    assert [
        (one["operation"], one["annotation_id"]) for one in drift["statements"]
    ] == [
        ("retract", retracted["annotation_id"]),
        ("create", neighbour["annotation_id"]),
    ]
    runtime = annolog.runtime
    site = runtime.site.site_id
    told = await dataid_drift.look(runtime.lane, runtime.reads, site)
    assert told == [third["version"]["key"]]
    fourth = await build(annolog, "DRP1-bad", None, "its neighbour")
    assert fourth["version"]["version"] == 4
    now = await rows(annolog, "DRP1-bad", "4")
    assert [one["exposure"] - NIGHT for one in now] == [10, 20, 124]
    assert (await annolog.get(f"{path}/DRP1")).json()["version"] == 3
    await sound(annolog)


async def test_a_detector_bad_from_the_first_until_its_repair(
    annolog: Service,
) -> None:
    nights = {1: 20261031, 2: 20261101, 3: 20261115, 4: 20261130}

    async def take(night: int) -> None:
        day = str(nights[night])
        begin = f"{day[:4]}-{day[4:6]}-{day[6:]}T23:00:00Z"
        end = begin.replace("00:00Z", "00:30Z")
        fact = {
            "instrument": "LSSTCam",
            "obs_id": f"MC_O_{day}_000001",
            "event": "end",
            "source": "camera",
            "begin": begin,
            "end": end,
        }
        answer = await annolog.post("/exposures", fact, by="camera")
        assert answer.is_success, answer.text

    await take(1)
    await take(2)
    record = "record:detector/instrument=LSSTCam/detector=94"
    bad = {"begin": "2026-11-01T12:00:00Z", "end": None}
    said = await annolog.say(record, flag="junk", text="no bias", observed_at=bad)
    query = {"flags": ["junk"], "kinds": ["detector"]}
    part = {"name": "detectors", "query": query}
    recipe = {"instrument": "LSSTCam", "parts": [part]}
    await build(annolog, "detectors", recipe)
    await take(3)
    open_end = await build(annolog, "detectors", None)
    assert open_end["added_count"] == 1
    await take(4)
    await annolog.edit(said, observed_at=bad | {"end": "2026-11-30T12:00:00Z"})
    closed = await build(annolog, "detectors", None)
    assert not closed["written"]
    found = await rows(annolog, "detectors", "newest")
    assert [(one["exposure"] // 100_000, one["detector"]) for one in found] == [
        (nights[2], 94),
        (nights[3], 94),
    ]
    key = f"detector:LSSTCam/{nights[3]}00001/94"
    inherited = (await annolog.target(key))["inherited"]
    assert inherited["flag"] == "junk"
    await sound(annolog)
