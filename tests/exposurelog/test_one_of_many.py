"""One statement about many exposures, and clients who know one exposure a message."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from annolog.domain.entries import Alias
from tests.support.door import Door, all_views_agree, decoded
from tests.support.nights import DAY, INSTRUMENT, a_fact, announce, held, key
from tests.support.service import Service, Shown

running = pytest.fixture(held, name="service")

MANY = 58


@pytest.fixture(name="annolog")
async def announced(service: Service, database_url: str) -> AsyncIterator[Service]:
    await announce(service, *(a_fact(seq) for seq in range(1, MANY + 1)))
    yield service
    await all_views_agree(database_url)


@pytest.fixture(name="door")
def at_the_door(annolog: Service) -> Door:
    return Door(annolog)


async def say_junk(annolog: Service, count: int = MANY, **said: Any) -> Shown:  # noqa: ANN401 - content
    keys = [key(seq) for seq in range(1, count + 1)]
    content = {"flag": "junk", "text": "shutter stuck", "tags": ["donuts"], **said}
    return await annolog.say(*keys, by="ann", **content)


async def now(annolog: Service, said: Shown) -> Shown:
    path = f"/annotations/{said['annotation_id']}"
    return decoded(await annolog.get(path))


async def votes_on(annolog: Service, seq: int) -> dict[str, tuple[str, str]]:
    """Give the votes on an exposure: voter -> flag, rank."""
    votes = (await annolog.target(key(seq)))["votes"]
    return {one["voter"]: (one["flag"], one["rank"]) for one in votes}


async def notes_on(annolog: Service, seq: int) -> list[Shown]:
    """Give the statements that name an exposure now."""
    found: list[Shown] = decoded(await annolog.get("/annotations", target=key(seq)))[
        "items"
    ]
    return found


async def flag_of(annolog: Service, seq: int) -> str | None:
    flag: str | None = (await annolog.state(key(seq)))["flag"]
    return flag


# --------------------------------------------------------------------- many messages


async def test_a_statement_on_58_exposures_is_58_messages(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog)
    found = await door.find()
    assert [one["seq_num"] for one in found] == list(range(1, MANY + 1))
    assert len({one["id"] for one in found}) == MANY
    assert {one["message_text"] for one in found} == {"shutter stuck"}
    assert {one["exposure_flag"] for one in found} == {"junk"}
    assert said["revision_id"] in {one["id"] for one in found}


async def test_deleting_one_of_58_messages_leaves_57_with_their_ids(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog)
    before = await door.find()
    head = said["number"]
    await door.drop(before[16])
    assert await door.find() == before[:16] + before[17:]
    gone = await door.read(before[16])
    assert (gone["is_valid"], gone["id"]) == (False, before[16]["id"])
    current = await now(annolog, said)
    assert current["operation"] == "edit"
    assert (current["author"], current["target_count"]) == ("ann", MANY - 1)
    assert key(17) not in current["targets"]
    assert [await flag_of(annolog, seq) for seq in (16, 17, 18)] == [
        "junk",
        None,
        "junk",
    ]
    events = decoded(await annolog.get("/changes", after=head))["items"]
    # The list of the other 57 comes before it.
    assert [one["data"]["operation"] for one in events][1:] == ["edit"]


async def test_deleting_all_but_one_and_then_that_one_takes_the_statement_back(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 3)
    for message in await door.find():
        await door.drop(message)
    assert await door.find() == []
    current = await now(annolog, said)
    assert (current["operation"], current["targets"]) == ("retract", [key(3)])


async def test_editing_one_of_58_messages_leaves_57_with_their_ids(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog)
    before = await door.find()
    old = before[16]
    new = await door.edit(old, message_text="this one half open")
    assert await door.find() == [*before[:16], new, *before[17:]]
    assert (new["parent_id"], new["seq_num"]) == (old["id"], 17)
    assert (new["exposure_flag"], new["tags"]) == ("junk", ["donuts"])
    assert not (await door.read(old))["is_valid"]
    (note,) = await notes_on(annolog, 17)
    assert (note["revision_id"], note["operation"]) == (new["id"], "create")
    assert (note["author"], note["continues"]) == ("ann", old["id"])
    assert note["annotation_id"] != said["annotation_id"]
    assert (await now(annolog, said))["target_count"] == MANY - 1
    assert await votes_on(annolog, 17) == {"ann": ("junk", "human")}


async def test_one_of_many_that_was_edited_is_edited_again_in_its_own_annotation(
    annolog: Service, door: Door
) -> None:
    await say_junk(annolog)
    before = await door.find()
    old = before[16]
    second = await door.edit(old, message_text="second")
    third = await door.edit(second, message_text="third")
    fourth = await door.edit(old, level=40)
    assert (third["parent_id"], fourth["parent_id"]) == (second["id"], old["id"])
    assert (fourth["message_text"], fourth["level"]) == ("shutter stuck", 40)
    assert await door.find() == [*before[:16], fourth, *before[17:]]
    notes = await notes_on(annolog, 17)
    assert [one["revision_id"] for one in notes] == [fourth["id"]]


async def test_one_of_many_that_was_deleted_is_edited_back_once(
    annolog: Service, door: Door
) -> None:
    await say_junk(annolog)
    before = await door.find()
    old = before[16]
    await door.drop(old)
    new = await door.edit(old, message_text="after all")
    assert (new["parent_id"], new["is_valid"]) == (old["id"], True)
    await door.drop(new)
    assert await flag_of(annolog, 17) is None
    last = await door.edit(old, message_text="really")
    assert (last["parent_id"], last["message_text"]) == (old["id"], "really")
    assert await door.find() == [*before[:16], last, *before[17:]]


async def test_many_edits_of_one_message_at_once_leave_one(
    annolog: Service, door: Door
) -> None:
    await say_junk(annolog, 20)
    before = await door.find()
    edited = await asyncio.gather(
        *(door.edit(before[3], message_text=f"edit {i}") for i in range(6)),
        *(door.edit(before[i], message_text="other") for i in (4, 5)),
        door.drop(before[6]),
    )
    found = await door.find()
    assert [one["seq_num"] for one in found] == [1, 2, 3, 4, 5, 6, *range(8, 21)]
    assert found[3] in edited
    assert {one["parent_id"] for one in found[3:6]} == {
        one["id"] for one in before[3:6]
    }


async def test_a_native_edit_of_other_exposures_leaves_a_message_alone(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 4)
    before = await door.find()
    fewer = await annolog.edit(said, targets={"remove": [key(2)]})
    more = await annolog.edit(fewer, targets={"add": [key(9)]})
    found = await door.find()
    assert [one["seq_num"] for one in found] == [1, 3, 4, 9]
    assert found[:3] == [before[0], before[2], before[3]]
    assert found[3]["date_added"] > before[0]["date_added"]
    # An edit that clients cannot see is none to them.
    await annolog.edit(more, observed_at={"begin": "2025-11-20T02:00:00Z"})
    assert await door.find() == found


async def test_a_native_edit_of_the_words_is_an_edit_of_each_message(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 3)
    before = await door.find()
    await annolog.edit(said, text="shutter slow")
    found = await door.find()
    assert [one["parent_id"] for one in found] == [one["id"] for one in before]
    assert {one["message_text"] for one in found} == {"shutter slow"}
    assert not any([(await door.read(one))["is_valid"] for one in before])


async def test_an_old_message_of_many_is_edited_with_its_own_words(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 3)
    old = (await door.find())[1]
    await annolog.edit(said, text="newer", flag="questionable")
    new = await door.edit(old, level=40)
    assert (new["message_text"], new["exposure_flag"]) == ("shutter stuck", "junk")
    assert new["parent_id"] == old["id"]
    found = await door.find()
    assert [one["message_text"] for one in found] == ["newer", "shutter stuck", "newer"]


async def test_what_is_retracted_and_restored_is_invalid_and_a_new_message(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 3)
    before = await door.find()
    gone = await annolog.retract(said)
    assert await door.find() == []
    await annolog.restore(gone)
    found = await door.find()
    assert [one["parent_id"] for one in found] == [one["id"] for one in before]
    old = await door.read(before[0])
    assert (old["is_valid"], old["date_invalidated"] is not None) == (False, True)


async def test_a_message_goes_on_where_it_left_when_its_annotation_takes_it_back(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 3)
    old = (await door.find())[1]
    first = await door.edit(old, message_text="first")
    await annolog.edit(await now(annolog, said), targets={"add": [key(2)]})
    assert [one["seq_num"] for one in await door.find()] == [1, 2, 2, 3]
    last = await door.edit(old, message_text="last")
    found = await door.find()
    assert [one["seq_num"] for one in found] == [1, 2, 3]
    assert (found[1], last["parent_id"]) == (last, old["id"])
    assert not (await door.read(first))["is_valid"]


async def test_detectors_named_beside_an_exposure_do_not_notice(
    annolog: Service, door: Door
) -> None:
    detector = f"detector:{INSTRUMENT}/{DAY}00001/94"
    said = await annolog.say(key(1), detector, text="glow", by="ann")
    (message,) = await door.find()
    new = await door.edit(message, message_text="not here")
    assert (await now(annolog, said))["targets"] == [detector]
    await door.drop(new)
    assert (await now(annolog, said))["text"] == "glow"
    again = await annolog.say(key(2), detector, text="glow", by="ann")
    (message,) = await door.find()
    await door.drop(message)
    assert (await now(annolog, again))["targets"] == [detector]


async def test_a_redacted_text_does_not_come_back(annolog: Service, door: Door) -> None:
    said = await say_junk(annolog, 3, text="the password", urls=["https://e.org/pw"])
    path = f"/annotations/{said['annotation_id']}/redact"
    done = await annolog.post(path, {"reason": "a secret"}, by="carla")
    assert done.status_code == 201
    before = await door.find()
    assert {(one["message_text"], *one["urls"]) for one in before} == {("",)}
    new = await door.edit(before[1], level=40)
    assert (new["message_text"], new["urls"], new["level"]) == ("", [], 40)
    assert (await door.find())[0] == before[0]


# -------------------------------------------------------------------------- flags


async def test_richer_flags_survive_a_whole_message_sent_back(
    annolog: Service, door: Door
) -> None:
    for seq, flag in ((1, "good"), (2, "follow_up"), (3, "questionable"), (4, "junk")):
        await annolog.say(key(seq), flag=flag, by="ann")
    await annolog.say(key(5), key(6), flag="good", text="fine", by="ann")
    shown = [one["exposure_flag"] for one in await door.find()]
    assert shown == ["none", "questionable", "questionable", "junk", "none", "none"]
    for message in await door.find():
        new = await door.edit(message, **{**message, "message_text": "typo mended"})
        assert new["exposure_flag"] == message["exposure_flag"]
    flags = [await flag_of(annolog, seq) for seq in range(1, 7)]
    assert flags == ["good", "follow_up", "questionable", "junk", "good", "good"]


async def test_none_in_an_edit_takes_the_flag_out_of_that_statement(
    annolog: Service, door: Door
) -> None:
    first = await door.add(1, exposure_flag="junk", user_id="ann")
    await door.add(1, exposure_flag="questionable", user_id="bob")
    new = await door.edit(first, exposure_flag="none")
    assert new["exposure_flag"] == "none"
    assert await votes_on(annolog, 1) == {"bob": ("questionable", "human")}


async def test_none_takes_no_vote_of_another_time_with_it(
    annolog: Service, door: Door
) -> None:
    await door.add(1, exposure_flag="questionable", user_id="ann")
    second = await door.add(1, exposure_flag="junk", user_id="ann")
    await door.edit(second, exposure_flag="none")
    assert await flag_of(annolog, 1) == "questionable", "it is no withdrawal"


async def test_an_edit_of_anothers_flag_is_the_editors_vote_in_its_place(
    annolog: Service, door: Door
) -> None:
    first = await door.add(1, exposure_flag="junk", user_id="ann")
    await door.edit(first, exposure_flag="questionable", user_id="bob")
    assert await votes_on(annolog, 1) == {"bob": ("questionable", "human")}
    state = await annolog.state(key(1))
    assert (state["flag"], state["disputed"]) == ("questionable", False)


async def test_an_edit_of_one_flag_of_many_is_a_vote_there_alone(
    annolog: Service, door: Door
) -> None:
    await say_junk(annolog, 4)
    before = await door.find()
    await door.edit(before[1], exposure_flag="questionable", user_id="bob")
    await door.edit(before[2], exposure_flag="none", user_id="bob")
    assert [await flag_of(annolog, seq) for seq in (1, 2, 3, 4)] == [
        "junk",
        "questionable",
        None,
        "junk",
    ]
    assert await votes_on(annolog, 2) == {"bob": ("questionable", "human")}
    assert await votes_on(annolog, 1) == {"ann": ("junk", "human")}


async def test_without_a_user_it_is_the_vote_of_who_is_vouched_for(
    annolog: Service, door: Door
) -> None:
    first = await door.add(1, exposure_flag="junk", user_id="ann")
    known = Door(annolog, x_annolog_user="love")
    second = await known.edit(first, exposure_flag="questionable")
    assert second["user_id"] == "ann"
    assert await votes_on(annolog, 1) == {"love": ("questionable", "human")}
    await door.edit(second, exposure_flag="junk")
    assert await votes_on(annolog, 1) == {"ann": ("junk", "human")}


async def test_a_bots_edit_votes_as_a_bot(annolog: Service, door: Door) -> None:
    first = await door.add(1, exposure_flag="junk", user_id="ann")
    bot = Door(annolog, x_annolog_user="sweep", x_annolog_kind="bot")
    await bot.edit(first, exposure_flag="questionable")
    assert await votes_on(annolog, 1) == {"sweep#": ("questionable", "bot")}
    other = await door.add(2, exposure_flag="junk", user_id="ann")
    await door.edit(
        other, exposure_flag="questionable", user_id="donut", is_human=False
    )
    assert await votes_on(annolog, 2) == {"donut#": ("questionable", "bot")}


async def test_an_edit_of_the_text_leaves_a_vote_and_its_time(
    annolog: Service, door: Door
) -> None:
    first = await door.add(1, exposure_flag="junk", user_id="ann")
    before = (await annolog.target(key(1)))["votes"]
    new = await door.edit(first, **{**first, "message_text": "mended", "user_id": "bo"})
    assert new["user_id"] == "bo"
    after = (await annolog.target(key(1)))["votes"]
    assert [one["vote_id"] for one in after] == [one["vote_id"] for one in before]
    assert [one["voter"] for one in after] == ["ann"]


async def test_an_edit_of_the_text_says_no_outdated_flag_again(
    annolog: Service, door: Door
) -> None:
    await say_junk(annolog, 3)
    await annolog.say(key(2), flag="good", by="ann")
    assert await flag_of(annolog, 2) == "good"
    old = (await door.find(obs_id=f"{DAY}_000002", exposure_flags="junk"))[0]
    new = await door.edit(old, message_text="typo mended")
    assert (new["message_text"], new["exposure_flag"]) == ("typo mended", "none")
    assert await votes_on(annolog, 2) == {"ann": ("good", "human")}
    # Who asks for that alone gets it.
    other = (await door.find(obs_id=f"{DAY}_000003"))[0]
    await annolog.say(key(3), flag="good", by="ann")
    asked = await door.edit(other, exposure_flag="junk", user_id="bob")
    assert asked["exposure_flag"] == "junk"
    assert await votes_on(annolog, 3) == {
        "ann": ("good", "human"),
        "bob": ("junk", "human"),
    }
    await door.edit(new, exposure_flag="junk", user_id="ann")
    assert await flag_of(annolog, 2) == "junk"


async def test_what_was_rejected_is_not_said_again_by_an_edit_of_the_text(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 3)
    path = f"/annotations/{said['annotation_id']}/reviews"
    settled = {"verdict": "reject", "targets": [key(2)], "settle": True}
    assert (await annolog.post(path, settled, by="carla")).status_code == 201
    assert await flag_of(annolog, 2) is None
    old = (await door.find())[1]
    await door.edit(old, message_text="typo mended")
    assert await flag_of(annolog, 2) is None


# ------------------------------------------------------------------------- settled


async def test_an_edit_of_a_settled_flag_becomes_a_statement_beside_it(
    annolog: Service, door: Door
) -> None:
    settled = await annolog.say(
        key(1), flag="junk", text="dead", by="carla", settle=True
    )
    (old,) = await door.find()
    new = await door.edit(old, exposure_flag="none", user_id="bob", message_text="fine")
    assert (new["parent_id"], new["exposure_flag"]) == (old["id"], "none")
    assert await door.find() == [old, new], "the settled one stays"
    other = await door.edit(old, exposure_flag="questionable", user_id="bob")
    assert await door.find() == [old, other], "there is one beside it"
    assert await votes_on(annolog, 1) == {
        "carla": ("junk", "curator"),
        "bob": ("questionable", "human"),
    }
    state = await annolog.state(key(1))
    assert (state["flag"], state["disputed"]) == ("junk", False)
    assert (await now(annolog, settled))["revision_id"] == settled["revision_id"]


async def test_an_edit_of_the_text_of_a_settled_message_stands_beside_it_too(
    annolog: Service, door: Door
) -> None:
    await annolog.say(key(1), flag="junk", text="dead", by="carla", settle=True)
    (old,) = await door.find()
    new = await door.edit(old, **{**old, "message_text": "typo mended"})
    assert (new["user_id"], new["exposure_flag"]) == ("carla", "junk")
    votes = await votes_on(annolog, 1)
    assert votes["carla"] == ("junk", "curator")
    assert await door.find() == [old, new]


async def test_one_settled_message_of_many_stays_where_it_is(
    annolog: Service, door: Door
) -> None:
    keys = [key(seq) for seq in (1, 2, 3)]
    settled = await annolog.say(*keys, flag="junk", by="carla", settle=True)
    before = await door.find()
    new = await door.edit(before[1], exposure_flag="none", user_id="bob")
    assert await door.find() == [*before[:2], new, before[2]]
    assert (await now(annolog, settled))["revision_id"] == settled["revision_id"]
    assert [await flag_of(annolog, seq) for seq in (1, 2, 3)] == ["junk"] * 3


async def test_what_a_curator_confirmed_for_good_is_settled(
    annolog: Service, door: Door
) -> None:
    said = await say_junk(annolog, 2)
    path = f"/annotations/{said['annotation_id']}/reviews"
    confirm = {"verdict": "confirm", "targets": [key(1)], "settle": True}
    assert (await annolog.post(path, confirm, by="carla")).status_code == 201
    before = await door.find()
    await door.edit(before[0], exposure_flag="none", user_id="bob")
    await door.edit(before[1], exposure_flag="none", user_id="bob")
    assert await flag_of(annolog, 1) == "junk"
    assert await flag_of(annolog, 2) is None


async def test_a_settled_message_is_not_deleted(annolog: Service, door: Door) -> None:
    await annolog.say(key(1), flag="junk", by="carla", settle=True)
    (old,) = await door.find()
    refused = await door.send("DELETE", f"/messages/{old['id']}")
    assert "curator" in decoded(refused, 403)["detail"]
    assert await door.find() == [old]
    beside = await door.edit(old, message_text="beside")
    await door.drop(beside)
    assert await door.find() == [old]


async def test_nobody_takes_a_settled_vote_back_in_the_curators_name(
    annolog: Service, door: Door
) -> None:
    await annolog.set_entry(Alias(name="carla@summit", leads_to="carla"))
    await annolog.say(key(1), flag="junk", by="carla", settle=True)
    (old,) = await door.find()
    await door.add(1, exposure_flag="questionable", user_id="carla")
    await door.add(1, exposure_flag="questionable", user_id="carla@summit")
    await door.edit(old, exposure_flag="questionable", user_id="carla")
    other = await door.add(1, exposure_flag="junk", user_id="bob")
    await door.edit(other, exposure_flag="questionable", user_id="carla")
    votes = await votes_on(annolog, 1)
    assert votes["carla"] == ("junk", "curator")
    assert votes["carla#exposurelog"] == ("questionable", "human")
    state = await annolog.state(key(1))
    assert (state["flag"], state["disputed"]) == ("junk", False)


async def test_a_curators_own_call_weighs_as_a_persons(annolog: Service) -> None:
    carla = Door(annolog, x_annolog_user="carla", x_annolog_settle="true")
    said = await carla.add(1, exposure_flag="junk", user_id="carla")
    assert await votes_on(annolog, 1) == {"carla": ("junk", "human")}
    await carla.edit(said, exposure_flag="questionable")
    assert await votes_on(annolog, 1) == {"carla": ("questionable", "human")}


async def test_a_settled_flag_that_was_taken_back_is_not_settled_again(
    annolog: Service, door: Door
) -> None:
    said = await annolog.say(key(1), flag="junk", by="carla", settle=True)
    (old,) = await door.find()
    await annolog.retract(said)
    await door.edit(old, message_text="after all")
    assert await votes_on(annolog, 1) == {"carla": ("junk", "human")}


# ------------------------------------------------------------------ what else is said


async def test_what_clients_do_not_know_stays_with_the_statement(
    annolog: Service, door: Door
) -> None:
    said = await annolog.say(
        key(1),
        key(2),
        by="ann",
        flag="follow_up",
        text="look",
        assignee="bea",
        observed_at={"begin": "2025-11-20T02:00:00Z"},
    )
    reply = await annolog.say(
        key(3), by="bob", text="this one too", reply_to=said["annotation_id"]
    )
    before = await door.find()
    for message in before:
        await door.edit(message, level=30)
    for seq in (1, 2):
        (note,) = await notes_on(annolog, seq)
        assert (note["flag"], note["assignee"]) == ("follow_up", "bea")
        assert note["observed_at"]["begin"] == "2025-11-20T02:00:00.000000Z"
    shown = await now(annolog, reply)
    assert (shown["reply_to"], shown["level"]) == (said["annotation_id"], 30)
    first = (await door.find())[0]
    await door.edit(first, exposure_flag="junk", user_id="bob")
    (note,) = await notes_on(annolog, 1)
    assert (note["flag"], note["assignee"]) == ("junk", None)


async def test_a_gaps_words_stay_with_the_gap(annolog: Service, door: Door) -> None:
    gap = f"gap:{INSTRUMENT}/{DAY}/after={DAY}00001"
    said = await annolog.say(
        key(1), gap, by="ann", text="fault", cause="fault", seconds_lost=600
    )
    (message,) = await door.find()
    await door.edit(message, message_text="image is fine")
    assert (await now(annolog, said))["cause"] == "fault"
    (note,) = await notes_on(annolog, 1)
    assert (note["cause"], note["seconds_lost"]) == (None, None)


async def test_a_bots_check_is_its_own(annolog: Service, door: Door) -> None:
    await annolog.say(
        key(1), by="bot:sweep", flag="junk", check="trails", agent={"name": "sweep"}
    )
    (message,) = await door.find()
    new = await door.edit(message, message_text="mended")
    assert await votes_on(annolog, 1) == {"sweep#trails": ("junk", "bot")}
    await door.edit(new, exposure_flag="questionable", user_id="ann", is_human=True)
    assert await votes_on(annolog, 1) == {"ann": ("questionable", "human")}
    (note,) = await notes_on(annolog, 1)
    assert (note["check"], note["agent"]) == (None, None)
