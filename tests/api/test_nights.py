"""Nights over HTTP: the summary agrees with the lists; who checked what."""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from tests.support.nights import (
    DAY,
    INSTRUMENT,
    NIGHT,
    a_fact,
    announce,
    decoded,
    gap,
    head,
    held,
    key,
)
from tests.support.service import Service

running = pytest.fixture(held, name="annolog")


async def night_of(annolog: Service) -> dict[str, Any]:
    return decoded(await annolog.get(f"/nights/{DAY}", instrument=INSTRUMENT))


async def count(annolog: Service, **query: str | int) -> int:
    page = decoded(
        await annolog.get("/exposures", **NIGHT, **query, count="true", limit=1)
    )
    number: int = page["count"]
    return number


async def test_a_night_is_summed_up_exactly_as_its_lists_say(annolog: Service) -> None:
    await announce(
        annolog,
        *(a_fact(seq, observation_type="science") for seq in range(1, 9)),
        a_fact(9, observation_type="bias"),
        a_fact(10, event="start"),
        a_fact(11, event="cancel"),
        a_fact(1, source="butler", event="record", observation_type="dark"),
    )
    await annolog.say(*map(key, (1, 2, 3)), by="bot:psf", flag="junk", tags=["donuts"])
    await annolog.say(key(3), flag="junk")
    await annolog.say(key(3), by="ann", flag="good")
    await annolog.say(key(4), flag="follow_up", text="look")
    await annolog.say(key(5), text="words alone")
    await annolog.say(key(11), text="was never taken")
    await annolog.say(key(40), flag="questionable")
    night = await night_of(annolog)
    counts = night["exposures"]
    assert counts["total"] == await count(annolog) == 12
    assert counts["states"] == {
        "cancelled": 1,
        "ended": 8,
        "in_progress": 1,
        "ingested": 1,
        "named": 1,
    }
    for state, number in counts["states"].items():
        assert await count(annolog, state=state) == number
    assert counts["types"] == {"bias": 1, "dark": 1, "science": 7, "unknown": 3}
    assert counts["flags"] == {
        "follow_up": 1,
        "junk": 3,
        "none": 7,
        "questionable": 1,
    }
    assert counts["tags"] == {"donuts": 3}
    assert counts["annotated"] == await count(annolog, annotated="true") == 7
    assert counts["contradicted"] == await count(annolog, contradicted="true") == 1
    assert counts["unlooked"] == await count(annolog, unlooked="true") == 7
    assert counts["unlooked_seq_nums"] == "4-10"
    assert (counts["disputed"], counts["disputed_keys"]) == (1, [key(3)])
    assert (counts["follow_ups"], counts["follow_up_keys"]) == (1, [key(4)])
    assert counts["lost_keys"] == [key(11)]
    states = decoded(
        await annolog.get(
            "/targets", **NIGHT, target_kind="exposure", flag="junk", count="true"
        )
    )
    assert states["count"] == counts["flags"]["junk"]


async def test_the_night_shows_its_notes_and_gaps(annolog: Service) -> None:
    for part in (INSTRUMENT, "Simonyi"):
        await annolog.say(f"night:{part}/{DAY}", text=f"seeing was good at {part}")
    await annolog.say(f"night:LATISS/{DAY}", text="of another instrument")
    await annolog.say(gap(None), text="rain", cause="weather", seconds_lost=60)
    night = await night_of(annolog)
    assert [one["text"] for one in night["notes"]] == [
        "seeing was good at LSSTCam",
        "seeing was good at Simonyi",
    ]
    (only,) = night["gaps"]
    assert [one["text"] for one in only["annotations"]] == ["rain"]
    assert list(night["time_lost"]["by_cause"]) == ["weather"]
    assert {one["kind"]: one["annotated"] for one in night["others"]} == {
        "gap": 1,
        "night": 1,
    }
    assert night["number"] == await head(annolog)


async def test_a_night_that_is_no_date_is_refused(annolog: Service) -> None:
    answer = await annolog.get("/nights/20251341", instrument=INSTRUMENT)
    assert answer.status_code == 422
    assert (await annolog.get(f"/nights/{DAY}")).status_code == 422
    assert (await annolog.get(f"/nights/{DAY}", instrument="nil")).status_code == 422


async def test_a_checked_range_takes_away_unlooked(annolog: Service) -> None:
    await announce(annolog, *(a_fact(seq) for seq in range(1, 11)))
    part = {**NIGHT, "seq_first": 3, "seq_last": 5, "tags": ["donuts"]}
    made = decoded(await annolog.post("/checked", part), 201)
    assert (made["author"], made["tags"], made["revoked"]) == (
        "jdoe",
        ["donuts"],
        False,
    )
    counts = (await night_of(annolog))["exposures"]
    assert counts["unlooked_seq_nums"] == "1-2,6-10"
    assert counts["flags"] == {"none": 10}, "it is neither vote nor flag"
    decoded(await annolog.post("/checked", {**NIGHT, "seq_first": 9}, by="ann"), 201)
    assert (await night_of(annolog))["exposures"]["unlooked_seq_nums"] == "1-2,6-8"
    night = await night_of(annolog)
    assert [one["author"] for one in night["checked"]] == ["jdoe", "ann"]


async def test_a_mark_is_made_once_and_can_be_taken_back(annolog: Service) -> None:
    await announce(annolog, a_fact(1))
    made = decoded(await annolog.post("/checked", NIGHT), 201)
    before = await head(annolog)
    assert decoded(await annolog.post("/checked", NIGHT)) == made
    assert await head(annolog) == before
    assert (await night_of(annolog))["exposures"]["unlooked"] == 0
    path = f"/checked/{made['record_id']}/revoke"
    assert (await annolog.post(path, by="bot:psf")).status_code == 403
    gone = decoded(await annolog.post(path))
    assert gone == {**made, "revoked": True}
    assert decoded(await annolog.post(path)) == gone
    assert (await night_of(annolog))["exposures"]["unlooked"] == 1
    assert decoded(await annolog.get("/checked", **NIGHT))["items"] == [gone]
    anew = decoded(await annolog.post("/checked", NIGHT), 201)
    assert anew["record_id"] != made["record_id"]


async def test_a_mark_that_is_wrong_or_unknown_is_refused(annolog: Service) -> None:
    backwards = {**NIGHT, "seq_first": 5, "seq_last": 3}
    assert (await annolog.post("/checked", backwards)).status_code == 422
    tagged = {**NIGHT, "tags": ["no tag"]}
    assert (await annolog.post("/checked", tagged)).status_code == 422
    unknown = uuid5(NAMESPACE_URL, "nothing")
    assert (await annolog.post(f"/checked/{unknown}/revoke")).status_code == 404
