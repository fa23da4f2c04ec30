"""Released versions of data-ID sets are watched: followers hear when one drifts."""

from datetime import timedelta
from typing import Any

import pytest

from annolog.actions import dataid_drift
from annolog.actions import dataids as actions
from annolog.actions.dataids import Proposal
from annolog.actions.desk import Work
from annolog.actions.requests import Request
from annolog.domain import dataids
from annolog.domain.roles import Actor, Role, roles_of
from tests.support.nights import held
from tests.support.service import Service

NOTHING = timedelta(0)
ONE, TWO = (f"exposure:LSSTCam/202611190000{n}" for n in (1, 2))

running = pytest.fixture(held, name="annolog")


async def look(annolog: Service, interval: timedelta = NOTHING) -> list[str]:
    runtime = annolog.runtime
    return await dataid_drift.look(
        runtime.lane, runtime.reads, runtime.site.site_id, interval=interval
    )


async def released(annolog: Service) -> str:
    await annolog.say(ONE, flag="junk", text="bad")
    part = {"name": "bad", "query": {"flags": ["junk"]}}
    recipe = {"instrument": "LSSTCam", "parts": [part]}
    await annolog.post("/data-id-sets/bad/build", {"recipe": recipe})
    path = "/data-id-sets/bad/versions/1/release"
    done = await annolog.post(path, {"label": "DRP1"})
    key: str = done.json()["key"]
    return key


async def events(annolog: Service) -> list[dict[str, Any]]:
    found = (await annolog.get("/changes", limit=1000)).json()["items"]
    return [one for one in found if ".set_drift." in one["type"]]


async def test_a_released_version_that_begins_to_drift_is_told_once(
    annolog: Service,
) -> None:
    key = await released(annolog)
    path = "/data-id-sets/bad/versions/DRP1"
    shown = (await annolog.get(path)).json()
    assert (shown["drifts"], shown["drift_told_at"]) == (None, None)
    assert await look(annolog) == []
    wrong = await annolog.say(TWO, flag="junk", text="the neighbour")
    assert await look(annolog) == [key]
    assert await look(annolog) == []
    (event,) = await events(annolog)
    assert event["type"].endswith(".drifted.v1")
    after = event["data"]["after"]
    assert (after["added"], after["dropped"], after["label"]) == (1, 0, "DRP1")
    shown = (await annolog.get(path)).json()
    assert (shown["drifts"], shown["drift_told_at"]) == (True, after["created_at"])
    await annolog.retract(wrong)
    assert await look(annolog, dataid_drift.INTERVAL) == []
    assert await look(annolog) == [key]
    assert [one["type"].rsplit(".", 2)[1] for one in await events(annolog)] == [
        "drifted",
        "settled",
    ]


async def test_what_was_withdrawn_is_watched_no_longer(annolog: Service) -> None:
    await released(annolog)
    await annolog.post("/data-id-sets/bad/versions/1/withdraw")
    await annolog.say(TWO, flag="junk", text="the neighbour")
    assert await look(annolog) == []


async def test_a_recipe_that_cannot_be_read_keeps_no_other_from_being_watched(
    annolog: Service,
) -> None:
    key = await released(annolog)
    content = actions.content_of(dataids.table([], [], []))
    odd = Proposal("an-older-set", content, "", {"of": "another release"}, 1)
    curator = Actor("cur", "human", roles_of(Role.CURATOR, "human"))
    decide = actions.publish(Request(curator, b"", None), odd)
    assert (await annolog.runtime.lane.submit(Work(decide))).written
    path = "/data-id-sets/an-older-set/versions/1/release"
    assert (await annolog.post(path, {"label": "DRP1"})).is_success
    await annolog.say(TWO, flag="junk", text="the neighbour")
    assert await look(annolog) == [key]


async def test_only_what_is_released_counts_as_drifting(annolog: Service) -> None:
    key = await released(annolog)
    await annolog.say(TWO, flag="junk", text="the neighbour")
    assert await look(annolog) == [key]
    (listed,) = (await annolog.get("/data-id-sets")).json()["items"]
    assert (listed["labels"], listed["drifting"]) == (["DRP1"], 1)
    assert listed["drift_told_at"] is not None
    await annolog.post("/data-id-sets/bad/versions/1/withdraw")
    (listed,) = (await annolog.get("/data-id-sets")).json()["items"]
    assert (listed["labels"], listed["drifting"]) == ([], 0)
    assert listed["drift_told_at"] is None
    shown = (await annolog.get("/data-id-sets/bad/versions/1")).json()
    assert (shown["drifts"], shown["drift_told_at"]) == (None, None)
