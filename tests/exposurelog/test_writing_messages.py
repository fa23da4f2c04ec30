"""Adding, changing and deleting messages, as exposurelog's API promises it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from annolog.domain import tai
from annolog.domain.entries import TagEntry, TagVocabulary
from annolog.domain.instruments import Instrument
from annolog.runtime import now
from tests.support.door import Door, a_message, decoded
from tests.support.nights import DAY, INSTRUMENT, a_fact, announce, held, key
from tests.support.service import Service

running = pytest.fixture(held, name="service")

FIELDS = [
    "id",
    "site_id",
    "obs_id",
    "instrument",
    "day_obs",
    "seq_num",
    "message_text",
    "level",
    "tags",
    "urls",
    "user_id",
    "user_agent",
    "is_human",
    "is_valid",
    "exposure_flag",
    "date_added",
    "date_invalidated",
    "parent_id",
]
NOWHERE = "018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f"


@pytest.fixture(name="annolog")
async def announced(service: Service) -> Service:
    await announce(service, *(a_fact(seq) for seq in (1, 2, 3)))
    return service


@pytest.fixture(name="door")
def at_the_door(annolog: Service) -> Door:
    return Door(annolog)


# ------------------------------------------------------------------------- POST


async def test_a_message_is_answered_whole_with_200(door: Door) -> None:
    before = tai.from_utc(now())
    answer = await door.send(
        "POST",
        "/messages",
        a_message(
            2,
            message_text="vignetted\nbadly",
            level=30,
            tags=["Vignetting", "bad_focus"],
            urls=["https://example.org/1"],
            exposure_flag="junk",
        ),
    )
    said = decoded(answer)
    assert list(said) == FIELDS
    assert str(UUID(said["id"])) == said["id"]
    added = datetime.fromisoformat(said["date_added"])
    assert added.tzinfo is None
    assert timedelta(0) <= added - before < timedelta(seconds=60)
    assert said | {"id": 0, "date_added": 0} == {
        "id": 0,
        "site_id": "summit",
        "obs_id": f"MC_O_{DAY}_000002",
        "instrument": INSTRUMENT,
        "day_obs": DAY,
        "seq_num": 2,
        "message_text": "vignetted\nbadly",
        "level": 30,
        "tags": ["vignetting", "bad_focus"],
        "urls": ["https://example.org/1"],
        "user_id": "ann",
        "user_agent": "a test",
        "is_human": True,
        "is_valid": True,
        "exposure_flag": "junk",
        "date_added": 0,
        "date_invalidated": None,
        "parent_id": None,
    }
    assert await door.read(said) == said


async def test_a_byte_order_mark_is_passed_over(door: Door) -> None:
    body = b"\xef\xbb\xbf" + msgspec.json.encode(a_message(1, message_text="windy"))
    said = decoded(await door.send("POST", "/messages", content=body))
    assert said["message_text"] == "windy"


async def test_what_may_be_left_out_has_defaults(door: Door) -> None:
    said = await door.add(1, message_text="")
    assert (said["message_text"], said["level"], said["exposure_flag"]) == (
        "",
        20,
        "none",
    )
    assert (said["tags"], said["urls"]) == ([], [])


async def test_what_is_required_is_named_where_it_is_missing(door: Door) -> None:
    for name in a_message():
        body = a_message()
        del body[name]
        refused = decoded(await door.send("POST", "/messages", body), 422)
        assert refused["detail"][0]["loc"] == ["body", name]


async def test_is_new_changes_nothing(door: Door) -> None:
    for is_new in (True, False, "true"):
        assert decoded(await door.send("POST", "/messages", a_message(is_new=is_new)))
    unknown = a_message(99, is_new=True)
    assert (await door.send("POST", "/messages", unknown)).status_code == 404


async def test_strings_are_taken_for_numbers_truth_and_lists(door: Door) -> None:
    said = await door.add(
        1, level="40", is_human="False", tags="donuts", urls="https://example.org"
    )
    assert (said["level"], said["is_human"]) == (40, False)
    assert (said["tags"], said["urls"]) == (["donuts"], ["https://example.org"])
    for truth in ("true", "True", "TRUE"):
        assert (await door.add(1, is_human=truth))["is_human"] is True


async def test_unknown_members_are_passed_over(door: Door) -> None:
    said = await door.add(
        1,
        jira=False,
        request_type="exposure",
        site_id="elsewhere",
        id=NOWHERE,
        is_valid=False,
        parent_id=NOWHERE,
    )
    assert said["site_id"] == "summit"
    assert said["id"] != NOWHERE
    assert (said["is_valid"], said["parent_id"]) == (True, None)


async def test_any_content_type_is_read_as_json(door: Door) -> None:
    body = b'{"obs_id":"MC_O_%d_000001","instrument":"LSSTCam","message_text":"x",' % (
        DAY
    )
    body += b'"user_id":"a","user_agent":"b","is_human":true,"is_new":false}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        door.headers["content-type"] = kind
        answer = await door.send("POST", "/messages", content=body)
        assert decoded(answer)["message_text"] == "x"


async def test_no_page_of_anybody_writes_in_an_observers_name(door: Door) -> None:
    # A browser asks nobody before it sends these, and a trusted network has no token.
    forged = msgspec.json.encode(a_message())
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        door.headers = {"origin": "https://example.org", "content-type": kind}
        answer = await door.send("POST", "/messages", content=forged)
        assert isinstance(decoded(answer, 415)["detail"], str)
    door.headers["content-type"] = "application/json; charset=utf-8"
    decoded(await door.send("POST", "/messages", content=forged))


async def test_what_is_no_object_in_json_is_422(door: Door) -> None:
    for content in (b"{", b"", b"[]", b'"x"', b"\xff", b"[" * 5000, b'{"a": \x00}'):
        answer = await door.send("POST", "/messages", content=content)
        assert decoded(answer, 422)["detail"][0]["loc"][0] == "body", content[:9]


async def test_a_tag_of_another_form_is_400(door: Door) -> None:
    for tag in ("x", "1st", "bad focus", "bad-focus", "naïve", "", "tag\n"):
        refused = await door.send(
            "POST", "/messages", a_message(tags=["good_tag", tag])
        )
        assert isinstance(decoded(refused, 400)["detail"], str), tag
    assert await door.find() == []


async def test_tags_are_made_lower_case_in_their_order_and_none_is_refused(
    annolog: Service, door: Door
) -> None:
    await annolog.set_entry(TagVocabulary(instrument=INSTRUMENT, mode="curated"))
    refused = await annolog.post(
        "/annotations", {"targets": [key(1)], "tags": ["zebra_9"]}
    )
    assert refused.status_code == 422, "the native API takes known tags only"
    said = await door.add(1, tags=["Zebra_9", "donuts", "A_B"])
    assert said["tags"] == ["zebra_9", "donuts", "a_b"]
    (first,) = await _revisions(annolog)
    assert first["uncurated"] == ["zebra_9", "a_b"]
    edited = await door.edit(said, message_text="new")
    told = {one["revision_id"]: one for one in await _revisions(annolog)}
    assert told[edited["id"]]["uncurated"] == ["zebra_9", "a_b"]
    edited = await door.edit(edited, tags=["donuts", "Y2"])
    told = {one["revision_id"]: one for one in await _revisions(annolog)}
    assert told[edited["id"]]["uncurated"] == ["y2"]


async def test_an_archived_tag_is_kept_and_marked(annolog: Service, door: Door) -> None:
    await annolog.set_entry(TagEntry(name="old_word", archived=True))
    said = await door.add(1, tags=["old_word"])
    assert said["tags"] == ["old_word"]
    assert (await annolog.state(key(1)))["tags"] == ["old_word"]
    assert (await _revisions(annolog))[0]["uncurated"] == ["old_word"]


WRONG: Sequence[dict[str, Any]] = (
    {"message_text": "x" * 65_537},
    {"message_text": "a\x00b"},
    {"user_id": "x" * 129},
    {"user_agent": "a\nb"},
    {"level": "high"},
    {"level": 2**31},
    {"is_human": "perhaps"},
    {"exposure_flag": "follow_up"},
    {"exposure_flag": "Junk"},
    {"tags": ["ab"] * 65},
    {"urls": ["x" * 2049]},
    {"tags": {"a": "b"}},
    {"user_id": ["ann"]},
)
"""Values that no message can have."""


async def test_values_that_cannot_be_are_422_and_nothing_is_written(
    door: Door,
) -> None:
    said = await door.add(1)
    for wrong in WRONG:
        place = ["body", next(iter(wrong))]
        body = a_message(1, **wrong)
        refused = decoded(await door.send("POST", "/messages", body), 422)
        assert refused["detail"][0]["loc"][:2] == place
        changed = await door.send("PATCH", f"/messages/{said['id']}", wrong)
        assert decoded(changed, 422)["detail"][0]["loc"][:2] == place
    assert await door.find() == [said]


async def test_a_body_of_megabytes_is_refused(door: Door) -> None:
    answer = await door.send("POST", "/messages", content=b" " * (4 * 1024 * 1024 + 1))
    assert "detail" in decoded(answer, 413)


UNKNOWN: Sequence[dict[str, str]] = (
    {"obs_id": f"MC_O_{DAY}_000099"},
    {"obs_id": "nothing"},
    {"obs_id": ""},
    {"obs_id": "a\x1fb"},
    {"instrument": "NoSuchCam"},
    {"instrument": ""},
    # Its number would be that of the one taken by the other controller.
    {"obs_id": f"MC_C_{DAY}_000001"},
)
"""Exposures that nobody told of."""


async def test_an_exposure_that_nobody_knows_is_404(door: Door) -> None:
    for of in UNKNOWN:
        answer = await door.send("POST", "/messages", a_message(1, **of))
        assert isinstance(decoded(answer, 404)["detail"], str), of


async def test_an_exposure_that_was_only_spoken_of_is_404_until_it_is_announced(
    annolog: Service, door: Door
) -> None:
    await annolog.say(key(7), text="coming soon")
    assert (await door.send("POST", "/messages", a_message(7))).status_code == 404
    await announce(annolog, a_fact(7, event="announce"))
    assert (await door.add(7))["seq_num"] == 7


async def test_an_exposure_announced_by_number_is_found_by_its_name(
    annolog: Service, door: Door
) -> None:
    fact = {
        "instrument": INSTRUMENT,
        "exposure_id": DAY * 100_000 + 8,
        "event": "start",
        "source": "camera",
    }
    await announce(annolog, fact)
    assert (await door.add(8))["seq_num"] == 8


async def test_an_exposure_of_an_instrument_without_a_rule_is_found_by_name(
    annolog: Service, door: Door
) -> None:
    await annolog.set_entry(Instrument(name="HSC"))
    fact = {
        "instrument": "HSC",
        "obs_id": "HSCA000123",
        "exposure_id": 123,
        "day_obs": DAY,
        "seq_num": 5,
        "event": "end",
        "source": "camera",
    }
    await announce(annolog, fact)
    said = await door.add(obs_id="HSCA000123", instrument="HSC")
    assert (said["obs_id"], said["day_obs"], said["seq_num"]) == ("HSCA000123", DAY, 5)
    state = await annolog.target("exposure:HSC/123")
    assert state["state"]["notes"] == 1


async def test_none_is_no_opinion_and_clears_nobodys_flag(
    annolog: Service, door: Door
) -> None:
    await door.add(1, exposure_flag="junk", user_id="ann")
    await door.add(1, exposure_flag="none", user_id="ann")
    await door.add(1, exposure_flag="none", user_id="bob")
    state = await annolog.state(key(1))
    assert (state["flag"], state["disputed"]) == ("junk", False)


async def test_a_flag_is_a_vote_of_the_user_named_with_a_persons_rank(
    annolog: Service, door: Door
) -> None:
    await door.add(1, exposure_flag="junk", user_id="ann")
    await door.add(1, exposure_flag="questionable", user_id="bob")
    await door.add(1, exposure_flag="questionable", user_id="sweep", is_human=False)
    votes = {one["voter"]: one for one in (await annolog.target(key(1)))["votes"]}
    assert {name: one["rank"] for name, one in votes.items()} == {
        "ann": "human",
        "bob": "human",
        "sweep#": "bot",
    }
    state = await annolog.state(key(1))
    assert (state["flag"], state["disputed"]) == ("junk", True)


# ------------------------------------------------------------------ PATCH, DELETE


async def test_an_edit_is_a_new_message_with_the_old_one_as_its_parent(
    door: Door,
) -> None:
    old = await door.add(
        1, tags=["donuts"], urls=["https://example.org"], exposure_flag="junk", level=30
    )
    new = await door.edit(old, message_text="a gust")
    assert new["id"] != old["id"]
    assert new["parent_id"] == old["id"]
    same = set(FIELDS) - {"id", "message_text", "date_added", "parent_id"}
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert new["message_text"] == "a gust"
    assert new["date_added"] > old["date_added"]
    before = await door.read(old)
    assert before == old | {
        "is_valid": False,
        "date_invalidated": before["date_invalidated"],
    }
    assert before["date_invalidated"] == new["date_added"]
    assert await door.find() == [new]


async def test_each_field_can_be_changed_and_given_lists_replace(door: Door) -> None:
    old = await door.add(1, tags=["donuts"], urls=["https://example.org/1"])
    change = {
        "message_text": "other",
        "user_id": "bob",
        "user_agent": "another",
        "is_human": False,
        "level": 10,
        "tags": ["bad_focus", "Wind"],
        "urls": [],
        "exposure_flag": "questionable",
    }
    new = await door.edit(old, **change)
    change["tags"] = ["bad_focus", "wind"]
    assert {name: new[name] for name in change} == change


async def test_null_is_not_given(door: Door) -> None:
    old = await door.add(1, tags=["donuts"], exposure_flag="junk", level=30)
    new = await door.edit(
        old,
        message_text=None,
        tags=None,
        urls=None,
        level=None,
        exposure_flag=None,
        user_id=None,
        user_agent=None,
        is_human=None,
        site_id=None,
    )
    changed = {"id", "date_added", "parent_id"}
    assert {n: v for n, v in new.items() if n not in changed} == {
        n: v for n, v in old.items() if n not in changed
    }


async def test_an_answer_is_what_is_read_afterwards(
    annolog: Service, door: Door
) -> None:
    said = await door.add(1, tags=["donuts"], exposure_flag="junk")
    await annolog.say(key(1), key(2), text="two of them", flag="questionable")
    (other,) = await door.find(message_text="two of them", min_seq_num=2)
    for answered in (
        said,
        await door.edit(said, message_text="worse"),
        await door.edit(said, exposure_flag="none"),
        await door.edit(other, level=30),
    ):
        shown = await door.read(answered)
        assert shown | {"date_invalidated": 0, "is_valid": 0} == answered | {
            "date_invalidated": 0,
            "is_valid": 0,
        }


async def test_an_edit_without_any_change_is_an_edit(door: Door) -> None:
    old = await door.add(1)
    for content in (b"", b"{}", b"null"):
        answer = await door.send("PATCH", f"/messages/{old['id']}", content=content)
        assert decoded(answer)["parent_id"] == old["id"]


async def test_the_servers_site_is_used_and_the_exposure_stays(door: Door) -> None:
    old = await door.add(1)
    new = await door.edit(
        old,
        site_id="elsewhere",
        obs_id=f"MC_O_{DAY}_000002",
        instrument="LATISS",
        day_obs=1,
        seq_num=2,
        id=NOWHERE,
        parent_id=NOWHERE,
        is_valid=False,
    )
    assert (new["site_id"], new["obs_id"]) == ("summit", old["obs_id"])
    assert (new["day_obs"], new["seq_num"]) == (DAY, 1)
    assert new["parent_id"] == old["id"]


async def test_an_edited_message_is_edited_with_its_own_values(door: Door) -> None:
    first = await door.add(1, message_text="one", level=10)
    second = await door.edit(first, message_text="two", level=30)
    third = await door.edit(first, tags=["donuts"])
    assert (third["message_text"], third["level"]) == ("one", 10)
    assert (third["tags"], third["parent_id"]) == (["donuts"], first["id"])
    assert await door.find() == [third], "the newest is the one that holds"
    assert not (await door.read(second))["is_valid"]


async def test_a_deleted_message_is_edited_back(annolog: Service, door: Door) -> None:
    old = await door.add(1, exposure_flag="junk")
    await door.drop(old)
    assert (await annolog.state(key(1)))["flag"] is None
    new = await door.edit(old, message_text="after all")
    assert (new["is_valid"], new["parent_id"]) == (True, old["id"])
    assert (await annolog.state(key(1)))["flag"] == "junk"


async def test_a_deletion_is_said_once(door: Door) -> None:
    said = await door.add(1)
    await door.drop(said)
    once = await door.read(said)
    assert once == said | {
        "is_valid": False,
        "date_invalidated": once["date_invalidated"],
    }
    assert once["date_invalidated"] > said["date_added"]
    await door.drop(said)
    assert await door.read(said) == once
    assert await door.find() == []


async def test_deleting_the_old_version_leaves_the_new_one(door: Door) -> None:
    old = await door.add(1)
    new = await door.edit(old, message_text="new")
    before = await door.read(old)
    await door.drop(old)
    assert await door.read(old) == before
    assert await door.find() == [new]


async def test_unknown_and_malformed_ids_are_told_apart(door: Door) -> None:
    for method in ("PATCH", "DELETE"):
        unknown = await door.send(method, f"/messages/{NOWHERE}", {})
        assert isinstance(decoded(unknown, 404)["detail"], str)
        malformed = await door.send(method, "/messages/17", {})
        assert decoded(malformed, 422)["detail"][0]["loc"][0] == "path"


async def test_both_methods_take_bodies_and_slashes_at_the_end(door: Door) -> None:
    made = decoded(await door.send("POST", "/messages/", a_message()))
    changed = decoded(
        await door.send("PATCH", f"/messages/{made['id']}/", {"level": "40"})
    )
    assert changed["level"] == 40
    for content in (b'{"id": "x"}', b"no json"):
        path = f"/messages/{changed['id']}/"
        answer = await door.send("DELETE", path, content=content)
        assert (answer.status_code, answer.content) == (204, b"")


async def test_a_tag_of_another_form_changes_nothing(door: Door) -> None:
    said = await door.add(1)
    refused = await door.send("PATCH", f"/messages/{said['id']}", {"tags": ["a b"]})
    decoded(refused, 400)
    assert await door.find() == [said]


async def test_an_id_is_the_revisions(annolog: Service, door: Door) -> None:
    said = await door.add(1)
    annotations = decoded(
        await annolog.get("/annotations", instrument=INSTRUMENT, day_obs=DAY)
    )["items"]
    assert [one["revision_id"] for one in annotations] == [said["id"]]
    edited = await door.edit(said, message_text="new")
    path = f"/annotations/{annotations[0]['annotation_id']}"
    assert decoded(await annolog.get(path))["revision_id"] == edited["id"]


async def test_who_is_vouched_for_stands_beside_who_says_it(annolog: Service) -> None:
    door = Door(annolog, x_annolog_user="love", user_agent="python-requests/2")
    said = await door.add(1, user_id="ann")
    (shown,) = await _revisions(annolog)
    assert (shown["author"], shown["actor"]) == ("ann", "love")
    assert (shown["authenticated_by"], shown["user_agent"]) == ("none", "a test")
    own = await door.add(2, user_id="love")
    edited = await door.edit(said, message_text="by another")
    await door.drop(edited)
    told = {one["revision_id"]: one for one in await _revisions(annolog)}
    assert told[own["id"]]["actor"] is None
    assert (told[edited["id"]]["author"], told[edited["id"]]["actor"]) == (
        "ann",
        "love",
    )
    (gone,) = [one for one in told.values() if one["operation"] == "retract"]
    assert (gone["author"], gone["actor"]) == ("ann", "love")
    assert gone["user_agent"] == "python-requests/2"


async def test_without_anybody_vouched_for_only_the_user_is_named(
    annolog: Service, door: Door
) -> None:
    await door.add(1, user_id="ann")
    (shown,) = await _revisions(annolog)
    assert (shown["author"], shown["actor"]) == ("ann", None)


async def _revisions(annolog: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decoded(
        await annolog.get(
            "/annotations", instrument=INSTRUMENT, day_obs=DAY, revisions="all"
        )
    )["items"]
    return found
