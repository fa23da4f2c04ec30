"""A commit that nobody answers: its outcome is looked up before anything is said."""

import asyncio
from uuid import UUID

import pytest

from annolog.storage import turn
from tests.support.lossy_link import lossy
from tests.support.service import service

TARGET = "exposure:LSSTCam/2026111900123"


async def test_what_was_stored_by_a_commit_without_an_answer_is_acknowledged(
    database_url: str,
) -> None:
    async with lossy(database_url) as (link, url), service(url) as annolog:
        link.cuts_left = 1
        body = {
            "annotation_id": str(UUID(int=1 << 78, version=4)),
            "targets": [TARGET],
            "flag": "junk",
        }
        answer = await annolog.post("/annotations", body)
        assert link.cuts_left == 0
        assert answer.status_code == 201, answer.text
        assert (await annolog.state(TARGET))["flag"] == "junk"
        again = await annolog.post("/annotations", body)
        assert again.status_code == 200
        assert again.json()["revision_id"] == answer.json()["revision_id"]


async def test_what_fails_behind_a_commit_stores_nothing_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(database_url) as annolog:
        # The commit and the beginning of the next turn are one trip to the server.
        monkeypatch.setattr(turn, "ENTER_IF_FREE", "begin; select 1 / 0")

        answers = await asyncio.gather(
            *(
                annolog.post("/annotations", {"targets": [TARGET], "text": f"{n}"})
                for n in range(24)
            )
        )

        assert {answer.status_code for answer in answers} == {201}
        found = await annolog.get(f"/annotations?target={TARGET}&limit=100")
        texts = sorted(one["text"] for one in found.json()["items"])

    assert texts == sorted(f"{n}" for n in range(24))
