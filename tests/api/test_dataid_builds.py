"""Recipes over HTTP: what is said at the telescope becomes rows, again and again."""

from pathlib import Path
from typing import Any

import pytest

from annolog.actions import check
from annolog.domain.dataid_formats import parse
from annolog.domain.entries import TagVocabulary
from annolog.storage.database import snapshot
from tests.support.nights import held
from tests.support.service import Service

BAD = Path(__file__).parents[1] / "data" / "LSSTComCam-bad.ecsv"
SETS = "/data-id-sets"
NIGHT = 2026111900000

running = pytest.fixture(held, name="annolog")


def exposure(seq_num: int) -> str:
    return f"exposure:LSSTCam/{NIGHT + seq_num}"


def a_query(*flags: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"name": "bad", "query": {"flags": flags, **more}}


def a_recipe(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"instrument": "LSSTCam", "parts": list(parts), **more}


async def built(
    annolog: Service,
    recipe: dict[str, Any] | None,
    *,
    name: str = "bad",
    **query: int,
) -> dict[str, Any]:
    asked = "&".join(f"{one}={value}" for one, value in query.items())
    body = {"recipe": recipe, "reason": "night"}
    answer = await annolog.post(f"{SETS}/{name}/build?{asked}", body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows(
    annolog: Service, version: str = "newest", name: str = "bad"
) -> list[dict[str, Any]]:
    answer = await annolog.get(f"{SETS}/{name}/versions/{version}/rows")
    found: list[dict[str, Any]] = answer.json()
    return found


async def about(annolog: Service, what: str, version: str = "1") -> dict[str, Any]:
    answer = await annolog.get(f"{SETS}/bad/versions/{version}/{what}")
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [one["exposure"] - NIGHT for one in found]


async def test_a_list_loaded_as_statements_comes_back_byte_for_byte(
    annolog: Service,
) -> None:
    content = BAD.read_bytes()
    raw = parse(content, "ecsv")
    for row in raw.rows:
        key = f"exposure:LSSTComCam/{row.fields['exposure']}"
        await annolog.say(key, flag="junk", text=row.fields["comment"])
    recipe = {"instrument": "LSSTComCam", "parts": [a_query("junk")]}
    made = await built(annolog, recipe)
    assert made["version"]["row_count"] == len(raw.rows)
    answer = await annolog.get(f"{SETS}/bad/versions/1/rows", format="ecsv")
    assert answer.content == content
    async with snapshot(annolog.runtime.reads) as connection:
        assert (await check.check_all(connection)).faults == []


async def test_a_version_built_again_as_of_its_change_is_the_same(
    annolog: Service,
) -> None:
    said = [await annolog.say(exposure(n), flag="junk", text=f"t{n}") for n in (1, 2)]
    made = await built(annolog, a_recipe(a_query("junk")))
    await annolog.retract(said[0])
    await annolog.edit(said[1], text="other words")
    await annolog.say(exposure(3), flag="junk", text="new")
    why = await about(annolog, "why")
    assert why["agrees"]
    assert why["as_of"] == made["as_of"] == made["version"]["as_of"]
    assert why["items"][0]["why"][0]["annotations"] == [said[0]["annotation_id"]]
    again = await built(annolog, None, as_of=made["as_of"], dry_run=1)
    assert (again["digest"], again["unchanged"]) == (made["version"]["digest"], True)
    now = await built(annolog, None)
    assert (now["version"]["version"], numbers(await rows(annolog))) == (2, [2, 3])
    assert [now[f"{one}_count"] for one in ("added", "dropped", "altered")] == [1, 1, 1]
    assert not (await built(annolog, None))["written"]


async def test_drift_names_the_rows_and_what_was_said_since(annolog: Service) -> None:
    await annolog.say(exposure(1), flag="junk", text="bad")
    await built(annolog, a_recipe(a_query("junk")))
    assert not (await about(annolog, "drift"))["changed"]
    wrong = await annolog.say(exposure(1), by="ann", flag="withdraw", text="no")
    neighbour = await annolog.say(exposure(2), flag="junk", text="it was this one")
    drift = await about(annolog, "drift")
    assert [drift["added_count"], drift["dropped_count"]] == [1, 0]
    assert [one["annotation_id"] for one in drift["statements"]] == [
        neighbour["annotation_id"]
    ]
    assert wrong["annotation_id"] != neighbour["annotation_id"]
    assert numbers(await rows(annolog, "1")) == [1]
    diff = await annolog.get(f"{SETS}/bad/versions/1/diff", to="now")
    assert (diff.json()["changed"], diff.json()["added_count"]) == (True, 1)


async def test_a_detector_bad_for_a_time_gives_its_exposures_of_that_time(
    annolog: Service,
) -> None:
    facts = [
        {
            "instrument": "LSSTCam",
            "obs_id": f"MC_O_20261119_{n:06d}",
            "event": "end",
            "source": "camera",
            "begin": f"2026-11-20T0{n}:00:00Z",
            "end": f"2026-11-20T0{n}:00:30Z",
        }
        for n in (1, 2, 3, 4)
    ]
    for fact in facts:
        answer = await annolog.post("/exposures", fact)
        assert answer.is_success, answer.text
    record = "record:detector/instrument=LSSTCam/detector=94"
    said = await annolog.say(
        record,
        flag="junk",
        text="hot",
        observed_at={"begin": "2026-11-20T02:00:00Z", "end": None},
    )
    await annolog.say(f"detector:LSSTCam/{NIGHT + 1}/20", flag="junk", text="glow")
    made = await built(annolog, a_recipe(a_query("junk")))
    expected = [(1, 20), (2, 94), (3, 94), (4, 94)]
    found = await rows(annolog)
    assert [(one["exposure"] - NIGHT, one["detector"]) for one in found] == expected
    why = await about(annolog, "why")
    assert why["items"][1]["why"][0]["inherited_from"] == [record]
    await annolog.edit(
        said,
        observed_at={"begin": "2026-11-20T02:00:00Z", "end": "2026-11-20T03:30:00Z"},
    )
    later = await built(annolog, None)
    assert (later["dropped_count"], later["added_count"]) == (1, 0)
    again = await built(annolog, None, as_of=made["as_of"], dry_run=1)
    assert again["digest"] == made["version"]["digest"]


async def test_what_holds_through_a_visit_is_in_only_where_asked_for(
    annolog: Service,
) -> None:
    visits = [
        {"instrument": "LSSTCam", "visit": 7, "exposures": [NIGHT + 1, NIGHT + 2]}
    ]
    answer = await annolog.post("/visits", visits)
    assert answer.is_success, answer.text
    visit = "record:visit/instrument=LSSTCam/visit=7"
    await annolog.say(visit, flag="junk", text="wind")
    await annolog.say(exposure(9), flag="junk", text="own")
    plain = await built(annolog, a_recipe(a_query("junk")))
    assert numbers(await rows(annolog)) == [9]
    assert plain["version"]["version"] == 1
    await built(annolog, a_recipe(a_query("junk", inherited=True)))
    assert numbers(await rows(annolog)) == [1, 2, 9]
    why = await about(annolog, "why", "2")
    assert why["items"][0]["why"][0]["inherited_from"] == [visit]
    tight = a_query("junk", inherited=True, day_obs_min=20261120)
    told = await built(annolog, a_recipe(tight), dry_run=1)
    assert told["row_count"] == 0


async def test_exceptions_survive_rebuilds_and_are_told_when_a_flag_speaks_against(
    annolog: Service,
) -> None:
    await annolog.say(exposure(1), flag="junk", text="bad")
    recipe = a_recipe(
        a_query("junk"),
        keep=[{"data_id": {"exposure": NIGHT + 5}, "reason": "ghost"}],
        drop=[
            {"data_id": {"obs_id": "MC_O_20261119_000001"}, "reason": "needed"},
            {"data_id": {"exposure": NIGHT + 8}, "reason": "idle"},
        ],
    )
    made = await built(annolog, recipe)
    assert numbers(await rows(annolog)) == [5]
    assert [one["reason"] for one in made["left_out"]] == ["needed"]
    assert [(one["action"], one["flag"]) for one in made["contradictions"]] == [
        ("drop", "junk")
    ]
    assert [one["reason"] for one in made["idle"]] == ["idle"]
    await annolog.say(exposure(5), flag="good", text="fine")
    later = await built(annolog, None)
    assert not later["written"]
    assert [(one["action"], one["flag"]) for one in later["contradictions"]] == [
        ("keep", "good"),
        ("drop", "junk"),
    ]


async def test_parts_are_queries_by_tag_rows_and_versions_less_others(
    annolog: Service,
) -> None:
    await annolog.say(exposure(1), tags=["donuts"], text="d")
    await annolog.say(exposure(2), flag="questionable", text="q")
    await built(annolog, a_recipe(a_query("questionable")), name="odd")
    by_tag = {"name": "tag", "query": {"tags": ["donuts"]}}
    given = {"name": "rows", "rows": [{"exposure": NIGHT + 7, "comment": "r"}]}
    other = {"name": "odd", "version": "odd"}
    made = await built(annolog, a_recipe(by_tag, given, other))
    assert numbers(await rows(annolog)) == [1, 2, 7]
    assert made["version"]["recipe"]["parts"][1]["rows"][0]["instrument"] == "LSSTCam"
    less = {"name": "less", "version": "odd@1", "minus": True}
    await built(annolog, a_recipe(by_tag, given, other, less))
    assert numbers(await rows(annolog)) == [1, 7]
    unknown = {"name": "none", "version": "odd@2"}
    answer = await annolog.post(
        f"{SETS}/bad/build", {"recipe": a_recipe(unknown), "reason": ""}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_version")


async def test_a_joined_target_counts_as_it_did_then(annolog: Service) -> None:
    from annolog.domain.entries import SameAs  # noqa: PLC0415 - used once

    await annolog.say(exposure(1), flag="junk", text="bad")
    join = SameAs(key_a=exposure(1), key_b=exposure(2))
    await annolog.set_entry(join)
    made = await built(annolog, a_recipe(a_query("junk")))
    assert numbers(await rows(annolog)) == [1, 2]
    await annolog.set_entry(join.model_copy(update={"revoked": True}))
    assert (await about(annolog, "why"))["agrees"]
    now = await built(annolog, None)
    assert numbers(await rows(annolog)) == [1]
    assert now["as_of"] > made["as_of"]


async def refused(
    annolog: Service, recipe: dict[str, Any], code: str
) -> list[dict[str, Any]]:
    answer = await annolog.post(f"{SETS}/bad/build", {"recipe": recipe})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    found: list[dict[str, Any]] = answer.json()["errors"]
    return found


async def test_a_mistyped_flag_is_refused_and_a_tag_that_nobody_used_is_told(
    annolog: Service,
) -> None:
    (problem,) = await refused(annolog, a_recipe(a_query("jnuk")), "unknown_flag")
    assert (problem["pointer"], problem["value"]) == (
        "/parts/0/query/flags/0",
        "jnuk",
    )
    assert problem["reason"].endswith("did you mean junk?")
    typo = {"name": "tag", "query": {"tags": ["donut"]}}
    told = await built(annolog, a_recipe(typo), dry_run=1)
    (note,) = told["notes"]
    assert note.startswith("part 'tag': no statement has the tag 'donut'; did you mean")
    await annolog.say(exposure(1), tags=["donut"], text="its own word")
    made = await built(annolog, a_recipe(typo))
    assert (made["notes"], made["version"]["row_count"]) == ([], 1)
    mode = TagVocabulary(instrument="LSSTCam", mode="curated")
    await annolog.set_entry(mode)
    assert (await built(annolog, a_recipe(typo), dry_run=1))["notes"] == []
    typo["query"] = {"tags": ["donust"]}
    (problem,) = await refused(annolog, a_recipe(typo), "unknown_tag")
    assert problem["pointer"] == "/parts/0/query/tags/0"


async def test_a_recipe_that_means_no_night_or_instrument_is_refused(
    annolog: Service,
) -> None:
    for nights in (
        {"day_obs_min": 20261399},
        {"day_obs_min": 20261120, "day_obs_max": 20261119},
    ):
        await refused(annolog, a_recipe(a_query("junk", **nights)), "invalid")
    unknown = a_recipe(a_query("junk", instrument="LSSTCan"))
    (problem,) = await refused(annolog, unknown, "unknown_instrument")
    assert problem["pointer"] == "/parts/0/query/instrument"


async def test_a_part_that_names_no_version_says_what_there_is(
    annolog: Service,
) -> None:
    await annolog.say(exposure(1), flag="junk", text="bad")
    made = await built(annolog, a_recipe(a_query("junk")), name="drp")
    for named, told in (
        ("dpr@3", "part 'old': there is no data-ID set dpr; did you mean drp?"),
        ("drp@3", "part 'old': the data-ID set drp has no version '3': as of "),
        ("drp@99999999999", "part 'old': the data-ID set drp has no version"),
        ("drp@DRP1", "part 'old': a recipe names a version by its number, as drp@1"),
    ):
        recipe = a_recipe({"name": "old", "version": named})
        (problem,) = await refused(annolog, recipe, "unknown_version")
        assert problem["reason"].startswith(told)
    answer = await annolog.post(
        f"{SETS}/bad/build?as_of={made['as_of'] - 1}",
        {"recipe": a_recipe({"name": "old", "version": "drp@1"})},
    )
    assert "had no version yet at change" in answer.json()["detail"]


async def test_a_dropped_detector_that_was_bad_for_a_time_is_told(
    annolog: Service,
) -> None:
    facts = [
        {
            "instrument": "LSSTCam",
            "obs_id": f"MC_O_20261119_{n:06d}",
            "event": "end",
            "source": "camera",
            "begin": f"2026-11-20T0{n}:00:00Z",
            "end": f"2026-11-20T0{n}:00:30Z",
        }
        for n in (1, 2)
    ]
    for fact in facts:
        assert (await annolog.post("/exposures", fact)).is_success
    said = await annolog.say(
        "record:detector/instrument=LSSTCam/detector=94",
        flag="junk",
        text="hot",
        observed_at={"begin": "2026-11-20T01:30:00Z", "end": None},
    )
    drop = [
        {"data_id": {"exposure": NIGHT + n, "detector": 94}, "reason": f"r{n}"}
        for n in (1, 2)
    ]
    made = await built(annolog, a_recipe(a_query("junk"), drop=drop))
    assert [(one["reason"], one["flag"]) for one in made["contradictions"]] == [
        ("r2", "junk")
    ]
    await annolog.retract(said)
    assert (await built(annolog, None))["contradictions"] == []
    then = await built(annolog, None, as_of=made["as_of"], dry_run=1)
    assert then["contradictions"] == made["contradictions"]


async def test_flags_that_hold_through_a_visit_speak_where_such_are_asked_for(
    annolog: Service,
) -> None:
    visits = [{"instrument": "LSSTCam", "visit": 7, "exposures": [NIGHT + 1]}]
    assert (await annolog.post("/visits", visits)).is_success
    visit = "record:visit/instrument=LSSTCam/visit=7"
    await annolog.say(visit, flag="junk", text="wind")
    drop = [{"data_id": {"exposure": NIGHT + 1}, "reason": "needed"}]
    own = await built(annolog, a_recipe(a_query("junk"), drop=drop), dry_run=1)
    assert own["contradictions"] == []
    query = a_query("junk", inherited=True)
    through = await built(annolog, a_recipe(query, drop=drop), dry_run=1)
    assert [one["flag"] for one in through["contradictions"]] == ["junk"]


async def test_without_a_query_by_flag_those_that_exclude_speak_against_exceptions(
    annolog: Service,
) -> None:
    await annolog.say(exposure(1), flag="good", text="fine")
    await annolog.say(exposure(2), flag="junk", text="bad")
    recipe = a_recipe(
        {"name": "by hand", "rows": [{"exposure": NIGHT + n} for n in (2, 3)]},
        keep=[{"data_id": {"exposure": NIGHT + 1}, "reason": "k"}],
        drop=[{"data_id": {"exposure": NIGHT + 2}, "reason": "d"}],
    )
    made = await built(annolog, recipe)
    assert [(one["action"], one["flag"]) for one in made["contradictions"]] == [
        ("keep", "good"),
        ("drop", "junk"),
    ]
    assert [one["comment"] for one in await rows(annolog)] == ["k", None]


async def test_the_column_flag_has_the_flag_of_rows_however_they_came(
    annolog: Service,
) -> None:
    await annolog.say(exposure(1), tags=["donuts"], flag="junk", text="d")
    await annolog.say(exposure(2), flag="questionable", text="q")
    by_tag = {"name": "tag", "query": {"tags": ["donuts"]}}
    given = {"name": "rows", "rows": [{"exposure": NIGHT + n} for n in (2, 3)]}
    made = await built(annolog, a_recipe(by_tag, given, columns=["flag"]))
    found = [(one["exposure"] - NIGHT, one["flag"]) for one in await rows(annolog)]
    assert found == [(1, "junk"), (2, "questionable"), (3, None)]
    why = (await about(annolog, "why"))["items"]
    assert [one["why"][0]["flag"] for one in why] == [None, None, None]
    await annolog.say(exposure(3), flag="junk", text="later")
    assert (await about(annolog, "why"))["agrees"]
    then = await built(annolog, None, as_of=made["as_of"], dry_run=1)
    assert then["digest"] == made["version"]["digest"]


async def test_building_a_set_that_is_not_there_says_so(annolog: Service) -> None:
    await annolog.say(exposure(1), flag="junk", text="bad")
    await built(annolog, a_recipe(a_query("junk")), name="drp1-bad")
    for path, method in (
        ("drp-bad/build", annolog.post),
        ("drp-bad/versions/1/withdraw", annolog.post),
    ):
        answer = await method(f"{SETS}/{path}", {"reason": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_set")
        assert answer.json()["detail"] == (
            "there is no data-ID set drp-bad; did you mean drp1-bad?"
        )
        assert answer.json()["nearest"] == ["drp1-bad"]


async def test_a_list_that_was_uploaded_is_compared_with_what_a_recipe_gives(
    annolog: Service,
) -> None:
    await annolog.say(exposure(1), flag="junk", text="bad")
    await annolog.say(f"detector:LSSTCam/{NIGHT + 2}/94", flag="junk", text="hot")
    await built(annolog, a_recipe(a_query("junk")), name="new")
    upload = f"{SETS}/bad/versions"
    old = [{"instrument": "LSSTCam", "exposure": NIGHT + n} for n in (1, 3)]
    assert (await annolog.post(upload, old)).is_success
    diff = (await annolog.get(f"{upload}/1/diff", to="new@newest")).json()
    assert diff["to"].startswith("set:new@1-")
    assert [diff[f"{one}_count"] for one in ("added", "dropped")] == [1, 1]
    same = (await annolog.get(f"{upload}/1/diff", to="bad@1")).json()
    assert not same["changed"]
    tracts = [{"skymap": "s", "tract": 1}]
    assert (await annolog.post(f"{SETS}/sky/versions", tracts)).is_success
    other = await annolog.get(f"{upload}/1/diff", to="sky@1")
    assert (other.status_code, other.json()["code"]) == (422, "other_dimensions")
    none = await annolog.get(f"{upload}/1/diff", to="nwe@1")
    assert none.json()["code"] == "unknown_set"
