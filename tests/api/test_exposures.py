"""Exposures over HTTP: announced, taken, completed, cancelled, contradicted, joined."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from annolog.domain.instruments import Instrument
from tests.support.nights import (
    DAY,
    INSTRUMENT,
    NIGHT,
    a_fact,
    announce,
    at,
    decoded,
    head,
    held,
    key,
    stamp,
    taken,
)
from tests.support.service import Service

running = pytest.fixture(held, name="annolog")


async def listed(annolog: Service, **query: str | int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = decoded(
        await annolog.get("/exposures", **{**NIGHT, **query})
    )["items"]
    return items


async def test_one_fact_is_answered_with_its_exposure(annolog: Service) -> None:
    fact = a_fact(123, event="announce", band="r")
    shown = decoded(await annolog.post("/exposures", fact), 201)
    assert shown["key"] == key(123)
    assert (shown["obs_id"], shown["exposure_id"]) == (fact["obs_id"], 2025111900123)
    assert (shown["day_obs"], shown["seq_num"]) == (DAY, 123)
    assert (shown["state"], shown["fields"]["band"]) == ("announced", "r")
    assert (shown["flag"], shown["notes"], shown["unlooked"]) == (None, 0, True)


async def test_the_same_again_writes_nothing(annolog: Service) -> None:
    facts = [taken(seq, "02:00", "02:01") for seq in range(1, 31)]
    await announce(annolog, *facts)
    before = await head(annolog)
    again = decoded(await annolog.post("/exposures", facts))
    assert {one["status"] for one in again["items"]} == {200}
    assert await head(annolog) == before


async def test_one_field_that_changed_is_written(annolog: Service) -> None:
    await announce(annolog, a_fact(1, band="r", target_name="a"))
    (shown,) = await announce(annolog, a_fact(1, target_name="b"))
    assert (shown["fields"]["band"], shown["fields"]["target_name"]) == ("r", "b")
    (back,) = await announce(annolog, a_fact(1, target_name="a"))
    assert back["fields"]["target_name"] == "a"


async def test_events_repeated_late_do_not_bring_an_exposure_back(
    annolog: Service,
) -> None:
    start, cancel = a_fact(1, event="start"), a_fact(1, event="cancel")
    await announce(annolog, start, cancel)
    (again,) = await announce(annolog, cancel)
    assert again["state"] == "cancelled"
    (anew,) = await announce(annolog, start)
    assert anew["state"] == "in_progress", "it was started again, and says so"
    before = await head(annolog)
    await announce(annolog, start, a_fact(1, event="start"))
    assert await head(annolog) == before


async def test_another_source_that_says_the_same_is_written(annolog: Service) -> None:
    await announce(annolog, a_fact(1, source="camera"))
    answer = await annolog.post("/exposures", a_fact(1, source="bulk"))
    assert answer.status_code == 201


async def test_facts_may_come_one_a_line(annolog: Service) -> None:
    lines = b"\n".join(msgspec.json.encode(a_fact(seq)) for seq in (1, 2)) + b"\n"
    answer = await annolog.client.post(
        "/annolog/v1/exposures",
        content=lines,
        headers={"X-Annolog-User": "jdoe", "content-type": "application/x-ndjson"},
    )
    items = decoded(answer)["items"]
    assert [one["exposure"]["key"] for one in items] == [key(1), key(2)]


async def test_a_bad_fact_fails_alone_and_says_where(annolog: Service) -> None:
    bad = [
        a_fact(1),
        a_fact(2, instrument="LSTCam"),
        a_fact(3, obs_id="MC_X_20251119_000003"),
        a_fact(4, exposure_time=-1),
        {"instrument": INSTRUMENT, "day_obs": DAY, "seq_num": 99},
        a_fact(5),
    ]
    items = decoded(await annolog.post("/exposures", bad))["items"]
    assert [one["status"] for one in items] == [201, 422, 422, 422, 422, 201]
    places = [one["problem"]["errors"][0]["pointer"] for one in items[1:5]]
    assert places == ["/1/instrument", "/2/obs_id", "/3/exposure_time", "/4/seq_num"]
    assert INSTRUMENT in items[1]["problem"]["nearest"]


async def test_a_single_bad_fact_is_refused_whole(annolog: Service) -> None:
    answer = await annolog.post("/exposures", a_fact(1, event="explode"))
    assert decoded(answer, 422)["errors"][0]["pointer"] == "/event"
    many = [a_fact(1)] * 1001
    assert (await annolog.post("/exposures", many)).status_code == 413


async def test_night_and_number_name_the_one_known_exposure(annolog: Service) -> None:
    by_number = {"instrument": INSTRUMENT, "day_obs": DAY, "seq_num": 7}
    await announce(annolog, a_fact(7))
    shown = decoded(await annolog.post("/exposures", by_number), 201)
    assert shown["key"] == key(7)
    # C adds nothing any more, but H does: another id with the same night and number.
    await announce(annolog, a_fact(7, obs_id=f"MC_H_{DAY}_000007"))
    answer = decoded(await annolog.post("/exposures", by_number), 422)
    assert answer["code"] == "ambiguous"
    assert key(7) in answer["detail"]


async def test_an_exposure_is_annotated_while_it_is_taken_and_then_completed(
    annolog: Service,
) -> None:
    # Nobody has announced it: the obs_id alone says what it is.
    said = await annolog.say(f"MC_O_{DAY}_000312", text="look at this")
    assert said["targets"] == [key(312)]
    (named,) = await listed(annolog)
    assert (named["state"], named["notes"]) == ("named", 1)
    assert named["obs_id"] == f"MC_O_{DAY}_000312"
    (going,) = await announce(annolog, a_fact(312, event="start"))
    assert (going["state"], going["notes"]) == ("in_progress", 1)
    (record,) = await announce(
        annolog,
        a_fact(312, source="butler", event="record", exposure_id=2025111900312),
    )
    assert (record["state"], record["notes"]) == ("ingested", 1)
    assert len(await listed(annolog)) == 1


async def test_words_on_a_cancelled_exposure_stay_and_are_listed(
    annolog: Service,
) -> None:
    await announce(annolog, *(a_fact(seq, event="announce") for seq in (1, 2, 3)))
    said = await annolog.say(key(2), text="wrong filter")
    await announce(annolog, *(a_fact(seq, event="cancel") for seq in (2, 3)))
    (lost,) = await listed(annolog, state="cancelled", annotated="true")
    assert (lost["key"], lost["notes"], lost["unlooked"]) == (key(2), 1, False)
    kept = decoded(await annolog.get(f"/annotations/{said['annotation_id']}"))
    assert kept["text"] == "wrong filter"
    night = decoded(await annolog.get(f"/nights/{DAY}", instrument=INSTRUMENT))
    assert night["exposures"]["lost_keys"] == [key(2)]


async def test_contradictions_are_kept_and_listed_for_triage(annolog: Service) -> None:
    await announce(
        annolog,
        a_fact(1, observation_type="science"),
        a_fact(2, observation_type="science"),
        a_fact(1, source="butler", event="record", observation_type="bias"),
        a_fact(2, source="butler", event="record", observation_type="science"),
    )
    for query in ({}, {"day_obs": DAY}):
        answer = await annolog.get(
            "/exposures", instrument=INSTRUMENT, contradicted="true", **query
        )
        (found,) = decoded(answer)["items"]
        assert found["key"] == key(1)
        claims = found["contradictions"]["observation_type"]
        assert [(one["source"], one["value"]) for one in claims] == [
            ("butler", "bias"),
            ("camera", "science"),
        ]
    (other,) = await listed(annolog, contradicted="false")
    assert other["key"] == key(2)


async def test_an_id_first_and_an_obs_id_later_are_one_exposure(
    annolog: Service,
) -> None:
    by_id = {"instrument": INSTRUMENT, "exposure_id": 2025111900448}
    first = decoded(await annolog.post("/exposures", by_id), 201)
    assert first["obs_id"] is None, "the id never gives the obs_id"
    await annolog.say("exposure:LSSTCam/2025111900448", flag="junk")
    (later,) = await announce(annolog, a_fact(obs_id=f"MC_C_{DAY}_000448"))
    assert (later["key"], later["flag"]) == (key(448), "junk")
    assert later["obs_id"] == f"MC_C_{DAY}_000448"
    assert len(await listed(annolog)) == 1


async def test_an_obs_id_in_fewer_digits_is_no_contradiction(annolog: Service) -> None:
    await announce(annolog, a_fact(1), a_fact(1, obs_id=f"MC_O_{DAY}_1", source="bulk"))
    (found,) = await listed(annolog)
    assert (found["obs_id"], found["contradictions"]) == (f"MC_O_{DAY}_000001", {})


async def test_without_a_rule_an_obs_id_first_and_an_id_later_are_one(
    annolog: Service,
) -> None:
    await annolog.set_entry(Instrument(name="HSC"))
    hsc = {"instrument": "HSC", "day_obs": DAY, "source": "camera"}
    facts: list[dict[str, Any]] = [
        {**hsc, "obs_id": "HSCA01", "seq_num": 1, "event": "start", "band": "g"},
        {**hsc, "obs_id": "HSCA02", "seq_num": 2, "event": "start"},
    ]
    alone, _ = await announce(annolog, *facts)
    assert (alone["key"], alone["seq_num"]) == ("exposure:HSC/obs_id=HSCA01", 1)
    await annolog.say("exposure:HSC/obs_id=HSCA01", flag="junk")
    record = {
        "instrument": "HSC",
        "exposure_id": 904010,
        "obs_id": "HSCA01",
        "event": "record",
        "source": "butler",
        "band": "r",
    }
    (whole,) = await announce(annolog, record)
    assert (whole["key"], whole["flag"]) == ("exposure:HSC/904010", "junk")
    assert (whole["state"], whole["seq_num"]) == ("ingested", 1)
    assert list(whole["contradictions"]) == ["band"], "facts of both are one set"
    items = await listed(annolog, instrument="HSC")
    assert [one["key"] for one in items] == [
        "exposure:HSC/904010",
        "exposure:HSC/obs_id=HSCA02",
    ]
    assert items[0] == whole
    before = await head(annolog)
    (again,) = await announce(annolog, record)
    assert (again, await head(annolog)) == (whole, before)
    # Whoever still says the obs_id speaks of the exposure that has an id by now.
    ended = {**hsc, "obs_id": "HSCA01", "event": "end"}
    (shown,) = await announce(annolog, ended)
    assert shown["key"] == "exposure:HSC/904010"


async def test_an_end_that_nobody_reports_is_unknown_after_a_while(
    annolog: Service,
) -> None:
    fact = a_fact(1, event="start", begin=stamp(at("03:00")), exposure_time=30)
    annolog.runtime.clock = lambda: at("03:05")
    (going,) = await announce(annolog, fact)
    assert (going["state"], going["end_unknown"]) == ("in_progress", False)
    annolog.runtime.clock = lambda: at("03:05") + timedelta(seconds=31)
    (overdue,) = await listed(annolog)
    assert (overdue["state"], overdue["end_unknown"]) == ("in_progress", True)


async def test_a_list_is_read_page_by_page_in_the_nights_order(
    annolog: Service,
) -> None:
    await announce(annolog, *(a_fact(seq) for seq in (5, 3, 9, 1, 7)))
    await annolog.say(key(4), key(8), text="named by words alone")
    seen: list[int] = []
    query: dict[str, str | int] = {**NIGHT, "limit": 2, "count": "true"}
    while True:
        page = decoded(await annolog.get("/exposures", **query))
        assert page["count"] == 7
        seen += [one["seq_num"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == [1, 3, 4, 5, 7, 8, 9]
    other = await annolog.get("/exposures", **{**query, "seq_nums": "1-3"})
    assert decoded(other, 422)["code"] == "cursor_filters"


async def test_pages_go_over_several_nights(annolog: Service) -> None:
    days = (DAY - 1, DAY, DAY + 1)
    await announce(
        annolog,
        *(a_fact(obs_id=f"MC_O_{day}_00000{s}") for day in days for s in (1, 2)),
    )
    query: dict[str, str | int] = {
        "instrument": INSTRUMENT,
        "day_obs_min": DAY - 1,
        "day_obs_max": DAY + 1,
        "limit": 3,
    }
    first = decoded(await annolog.get("/exposures", **query))
    second = decoded(await annolog.get("/exposures", **query, cursor=first["next"]))
    places = [
        (one["day_obs"], one["seq_num"]) for one in first["items"] + second["items"]
    ]
    assert places == [(day, s) for day in days for s in (1, 2)]
    assert second["next"] is None


async def test_a_list_can_be_narrowed(annolog: Service) -> None:
    await announce(
        annolog,
        a_fact(1, observation_type="bias"),
        a_fact(2, observation_type="science"),
        a_fact(3, event="start", observation_type="science"),
    )
    assert [one["seq_num"] for one in await listed(annolog, seq_nums="2-9")] == [2, 3]
    assert [one["seq_num"] for one in await listed(annolog, state="ended")] == [1, 2]
    both = await listed(annolog, observation_type="science", state="ended")
    assert [one["seq_num"] for one in both] == [2]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"instrument": "LSSTCam"}, ""),
        ({"day_obs": DAY}, "?instrument"),
        ({"instrument": "LSTCam", "day_obs": DAY}, "?instrument"),
        ({"instrument": "LSSTCam", "day_obs": 20251341}, "?day_obs"),
        ({**NIGHT, "state": "gone"}, ""),
        ({**NIGHT, "seq_nums": "9-1"}, "?seq_nums"),
        ({**NIGHT, "colour": "red"}, "?colour"),
    ],
)
async def test_a_wrong_list_is_refused_with_its_place(
    annolog: Service, query: dict[str, str | int], pointer: str
) -> None:
    answer = decoded(await annolog.get("/exposures", **query), 422)
    assert answer["errors"][0]["pointer"].startswith(pointer)


async def test_lists_come_as_csv_too(annolog: Service) -> None:
    await announce(annolog, a_fact(1, observation_type="science"))
    answer = await annolog.get("/exposures", **NIGHT, format="csv")
    names, row = answer.text.splitlines()
    assert names.startswith("key,instrument,day_obs,seq_num,exposure_id,obs_id,state")
    assert row.startswith(f"{key(1)},LSSTCam,{DAY},1,2025111900001")


async def test_visits_are_defined_and_a_later_definition_replaces(
    annolog: Service,
) -> None:
    visit = {"instrument": INSTRUMENT, "visit": 2025111900001}
    one = {**visit, "exposures": [2025111900001, f"MC_O_{DAY}_000002"]}
    first = decoded(await annolog.post("/visits", one), 201)
    assert first["key"] == "record:visit/instrument=LSSTCam/visit=2025111900001"
    assert first["exposures"] == [key(1), key(2)]
    before = await head(annolog)
    assert (await annolog.post("/visits", one)).status_code == 200
    assert await head(annolog) == before
    other = {**visit, "exposures": [2025111900001]}
    bad = {**visit, "exposures": [key(1).replace("LSSTCam", "LATISS")]}
    items = decoded(await annolog.post("/visits", [other, other, bad]))["items"]
    assert [item["status"] for item in items] == [201, 200, 422]
    assert items[2]["problem"]["errors"][0]["pointer"] == "/2/exposures"
    assert items[0]["visit"]["exposures"] == [key(1)]
    async with annolog.runtime.reads.acquire() as connection:
        rows = await connection.fetch(
            "select exposure_key from visit_exposure where to_number is null"
        )
    assert [row["exposure_key"] for row in rows] == [key(1)]
