"""Messages are views of statements."""

from typing import Any

from annolog.domain.entries import FlagEntry
from tests.support.message_log import MESSAGES
from tests.support.messages import Shown
from tests.support.service import Service, service


async def shown(annolog: Service, **asked: Any) -> list[Shown]:  # noqa: ANN401 - any
    answer = await annolog.client.get(MESSAGES, params=asked)
    assert answer.status_code == 200, answer.text
    listed: list[Shown] = answer.json()
    return listed


EXPOSURES = [f"exposure:LSSTCam/MC_O_20261119_{n:06}" for n in (1, 2, 3)]


async def test_a_statement_on_three_exposures_shows_as_three_messages(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        await annolog.say(*EXPOSURES, text="wind", flag="follow_up", tags=["streak"])
        listed = await shown(annolog, order_by="seq_num")
    assert [one["obs_id"] for one in listed] == [
        f"MC_O_20261119_{n:06}" for n in (1, 2, 3)
    ]
    assert {one["exposure_flag"] for one in listed} == {"questionable"}
    assert {one["message_text"] for one in listed} == {"wind"}
    assert {one["user_id"] for one in listed} == {"jdoe"}
    assert {one["day_obs"] for one in listed} == {20261119}


async def test_an_edit_shows_as_new_messages_that_name_their_parents(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(*EXPOSURES, text="wind")
        before = await shown(annolog, order_by="seq_num")
        await annolog.edit(said, text="gusts")
        now = await shown(annolog, order_by="seq_num")
        ended = await shown(annolog, is_valid="false", order_by="seq_num")
    assert [one["parent_id"] for one in now] == [one["id"] for one in before]
    assert [one["id"] for one in ended] == [one["id"] for one in before]
    assert {one["date_invalidated"] for one in ended} == {
        one["date_added"] for one in now
    }


async def test_a_retracted_statement_shows_as_invalid(database_url: str) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(EXPOSURES[0], text="wind", by="bot:donut")
        await annolog.retract(said)
        assert await shown(annolog) == []
        (one,) = await shown(annolog, is_valid="false", is_human="false")
        read = await annolog.client.get(f"{MESSAGES}/{one['id']}")
    assert one["is_valid"] is False
    assert one["id"] == said["revision_id"]
    assert read.json() == one


async def test_redacted_words_are_blank(database_url: str) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(EXPOSURES[0], text="a name", urls=["https://a.b"])
        path = f"/annotations/{said['annotation_id']}/redact"
        answer = await annolog.post(path, {"reason": "private"}, by="admin")
        assert answer.status_code == 201, answer.text
        assert await shown(annolog, message_text="name") == []
        (one,) = await shown(annolog)
    assert (one["message_text"], one["urls"]) == ("", [])


async def test_a_new_flag_is_shown_and_found_as_its_entry_says(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        await annolog.set_entry(
            FlagEntry(name="trailed", severity=700, exposurelog_value="junk")
        )
        await annolog.say(EXPOSURES[0], flag="trailed")
        (one,) = await shown(annolog, exposure_flags="junk", order_by="exposure_flag")
    assert one["exposure_flag"] == "junk"
