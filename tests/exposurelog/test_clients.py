"""What the clients of exposurelog send, as they send it, and what they rely on."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.butlers import CAMERA, NIGHT, MadeButler
from tests.support.door import Door, Shown, at_the_door

AGENT = "python-requests/2.32.3"


@pytest.fixture(scope="module")
def butler(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = MadeButler.create(tmp_path_factory.mktemp("butlers") / "repo")
    made.take(range(1, 13))
    return made.uri


def obs_id(seq_num: int) -> str:
    return f"MC_O_{NIGHT}_{seq_num:06d}"


async def asked(door: Door, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    """GET a path below /exposurelog; it has to be answered with 200."""
    answer = await door.send("GET", path, body)
    assert answer.status_code == 200, answer.text
    assert not answer.history
    return answer.json()


async def said(door: Door, seq_num: int, **more: object) -> Shown:
    return await door.add(
        0, **{"obs_id": obs_id(seq_num), "instrument": CAMERA, **more}
    )


def as_love_sends_it(message: Mapping[str, Any]) -> dict[str, Any]:
    """Give a message as a form of LOVE does: all but lists are strings."""
    form = {name: value for name, value in message.items() if value is not None}
    for name, value in form.items():
        if isinstance(value, bool):
            form[name] = str(value).lower()
        elif not isinstance(value, list):
            form[name] = str(value)
    return form


async def test_love_adds_edits_and_deletes(database_url: str, butler: str) -> None:
    async with at_the_door(database_url, [butler]) as door:
        door.headers["user-agent"] = AGENT
        assert (await asked(door, "/instruments"))["butler_instruments_1"] == [CAMERA]
        nights = f"min_day_obs={NIGHT}&max_day_obs={NIGHT + 1}"
        taken = await asked(
            door,
            f"/exposures?instrument={CAMERA}&registry=1&order_by=-obs_id&limit=1500"
            f"&{nights}",
        )
        assert [one["seq_num"] for one in taken] == list(range(12, 0, -1))

        form = {
            "obs_id": taken[0]["obs_id"],
            "instrument": taken[0]["instrument"],
            "day_obs": str(taken[0]["day_obs"]),
            "message_text": "<p>clouds</p>",
            "level": "0",
            "tags": ["clouds"],
            "urls": ["https://example.org/jira/OBS-1", "https://example.org/a.png"],
            "exposure_flag": "questionable",
            "user_id": "admin@love",
            "user_agent": "LOVE",
            "is_human": "true",
            "is_new": "true",
            "jira": "false",
            "request_type": "exposure",
            "date_begin": "2026-01-15T23:00:34",
        }
        answer = await door.send("POST", "/messages", form)
        assert answer.status_code == 200, answer.text
        added = answer.json()
        assert (added["level"], added["is_human"]) == (0, True)
        assert added["urls"] == form["urls"]

        edited_form = as_love_sends_it(added) | {
            "message_text": "<p>thick clouds</p>",
            "exposure_flag": "junk",
            "jira": "false",
            "request_type": "exposure",
        }
        assert edited_form["is_valid"] == "true"
        answer = await door.send("PATCH", f"/messages/{added['id']}", edited_form)
        assert answer.status_code == 200, answer.text
        edited = answer.json()
        assert (edited["parent_id"], edited["exposure_flag"]) == (added["id"], "junk")
        assert (edited["day_obs"], edited["tags"]) == (NIGHT, ["clouds"])

        listed = f"/messages?order_by=-date_added&limit=1000&{nights}"
        assert await asked(door, listed) == [edited]
        of_one = f"/messages?obs_id={added['obs_id']}&order_by=-date_added"
        assert await asked(door, of_one) == [edited]
        body = {"id": edited["id"]}
        assert await asked(door, f"/messages/{edited['id']}", body) == edited
        gone = await door.send("DELETE", f"/messages/{edited['id']}", body)
        assert gone.status_code == 204
        assert await asked(door, listed) == []


async def test_love_is_never_told_that_it_is_not_known(
    database_url: str, butler: str
) -> None:
    # It takes a 401 as the end of its own user's session.
    async with at_the_door(database_url, [butler]) as door:
        for method, path, body in (
            ("GET", "/messages", None),
            ("POST", "/messages", {"obs_id": "x"}),
            ("POST", "/messages", {}),
            ("PATCH", "/messages/x", {}),
            ("DELETE", "/messages/x", {}),
            ("GET", "/nothing", None),
            ("PUT", "/messages", {}),
        ):
            answer = await door.send(method, path, body)
            assert answer.status_code in {200, 404, 405, 422}, answer.text
            assert answer.status_code == 200 or answer.json()["detail"]


async def test_the_nightly_digest_reads_page_by_page(
    database_url: str, butler: str
) -> None:
    async with at_the_door(database_url, [butler]) as door:
        expected = [await said(door, seq) for seq in (1, 2, 3, 4, 5)]
        nights = f"min_day_obs={NIGHT}&max_day_obs={NIGHT + 1}"
        found: list[Shown] = []
        limit = 2
        while True:
            page = await asked(
                door,
                f"/messages?is_human=either&is_valid=true&order_by=-day_obs"
                f"&offset={len(found)}&limit={limit}&instruments={CAMERA}&{nights}",
            )
            found += page
            if len(page) < limit:
                break
        assert sorted(one["id"] for one in found) == sorted(
            one["id"] for one in expected
        )
        whole = await asked(
            door, "/messages?is_human=either&order_by=-day_obs&offset=0&limit=2500"
        )
        assert len(whole) == 5
        taken = await asked(
            door,
            f"/exposures?registry=1&instrument={CAMERA}&order_by=-timespan_end"
            f"&offset=0&limit=2500&{nights}",
        )
        assert [one["seq_num"] for one in taken] == list(range(12, 0, -1))
        assert await asked(door, "/exposures?registry=1&instrument=na") == []


async def test_rubin_nights_reads_by_time_with_a_great_limit(
    database_url: str, butler: str
) -> None:
    async with at_the_door(database_url, [butler]) as door:
        first, second = await said(door, 1), await said(door, 2)
        for begin, end, wanted in (
            ("2020-01-01T00:00:00.000", second["date_added"], [first]),
            (first["date_added"], "2099-01-01 00:00:00", [first, second]),
        ):
            found = await asked(
                door,
                "/messages?is_human=either&is_valid=true"
                f"&min_date_added={begin}&max_date_added={end}&limit=50000",
            )
            assert sorted(one["id"] for one in found) == sorted(
                one["id"] for one in wanted
            )
        told = await asked(door, "/configuration")
        assert (told["site_id"], told["butler_uri_1"]) == ("summit", butler)


async def test_rubintv_reads_a_night_up_to_the_day_after(
    database_url: str, butler: str
) -> None:
    async with at_the_door(database_url, [butler]) as door:
        expected = [await said(door, seq) for seq in (1, 2)]
        gone = await said(door, 3)
        await door.drop(gone)
        for night, wanted in ((NIGHT, expected), (20260131, [])):
            # The day after the 31st is the 32nd to it.
            found = await asked(
                door,
                f"/messages?min_day_obs={night}&max_day_obs={night + 1}"
                "&is_human=either&is_valid=true&offset=0&limit=10000",
            )
            assert sorted(one["id"] for one in found) == sorted(
                one["id"] for one in wanted
            )


async def test_the_bokeh_apps_write_with_slashes_at_the_end(
    database_url: str, butler: str
) -> None:
    async with at_the_door(database_url, [butler]) as door:
        body = {
            "obs_id": obs_id(4),
            "instrument": CAMERA,
            "message_text": "donuts",
            "level": 10,
            "user_id": "bokeh",
            "user_agent": "ts_bokeh_apps",
            "is_human": False,
            "is_new": False,
            "exposure_flag": "none",
        }
        answer = await door.send("POST", "/messages/", body)
        assert answer.status_code == 200
        assert not answer.history
        one = answer.json()["id"]
        answer = await door.send("PATCH", f"/messages/{one}", {"message_text": "fine"})
        assert answer.status_code == 200
        two = answer.json()["id"]
        assert (await door.send("DELETE", f"/messages/{two}")).status_code == 204
        taken = await asked(door, f"/exposures/?instrument={CAMERA}&limit=3")
        assert [taken_one["seq_num"] for taken_one in taken] == [1, 2, 3]
