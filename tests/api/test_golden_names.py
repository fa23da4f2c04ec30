"""The golden table of names through the API: every pair, and every kind of key."""

import json
from pathlib import Path
from typing import Any

from annolog.domain.instruments import Instrument
from annolog.domain.targets import kind_of
from tests.support.service import Service, service

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "names.json").read_text(encoding="utf-8")
)


async def test_every_name_of_the_golden_table_is_answered_with_its_key(
    database_url: str,
) -> None:
    pairs = [
        (f"exposure:{one['instrument']}/{one['obs_id']}", _key(one))
        for one in GOLDEN["obs_ids"]
    ]
    pairs += [(_key(one), _key(one)) for one in GOLDEN["ids_of_unknown_obs_id"]]
    pairs += [
        (one["name"], one["key"])
        for one in GOLDEN["names"]
        if kind_of(one["key"]) != "set"
    ]
    async with service(database_url) as annolog:
        await _know_others(annolog)
        for name, key in pairs:
            answer = await annolog.post("/targets/resolve", {"names": [name]})
            found = answer.json()
            assert answer.status_code == 200, (name, found)
            assert [one["key"] for one in found["targets"]] == [key], (name, found)


async def test_all_keys_can_be_spoken_of_but_those_of_sets_that_are_not_there(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        await _know_others(annolog)
        for key in GOLDEN["keys"]:
            draft = {"targets": [key], "text": "words"}
            answer = await annolog.post("/annotations", draft)
            if kind_of(key) == "set":
                assert answer.status_code == 422
                assert answer.json()["errors"][0]["code"] == "unknown"
                continue
            if "Odd%20Cam" in key:  # such a name comes by imports alone
                assert answer.json()["errors"][0]["code"] == "unknown_instrument"
                continue
            assert answer.status_code == 201, answer.text
            assert answer.json()["targets"] == [key]
            state = await annolog.state(key)
            assert (state["key"], state["notes"]) == (key, 1)


async def test_ids_that_no_controller_gives_are_refused(database_url: str) -> None:
    async with service(database_url) as annolog:
        for one in GOLDEN["misfits"]:
            draft = {"targets": [one["name"]], "text": "words"}
            answer = await annolog.post("/annotations", draft)
            assert answer.status_code == 422, one
            assert answer.json()["errors"][0]["pointer"] == "/targets/0"


def _key(one: dict[str, Any]) -> str:
    return f"exposure:{one['instrument']}/{one['exposure_id']}"


async def _know_others(annolog: Service) -> None:
    """Make the instrument of the table that has no rule known here."""
    await annolog.set_entry(Instrument(name="HSC", detector_max=112))
