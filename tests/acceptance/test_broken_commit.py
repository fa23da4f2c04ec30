"""A commit that nobody answers: its outcome is looked up before anything is said."""

from uuid import UUID

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
