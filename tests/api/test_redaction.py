"""Redaction: words are gone from every row, view and answer; the fact remains."""

import asyncpg

from tests.support.service import service

KEY = "exposure:LSSTCam/2026111900123"
SECRET = "swordfish"
LINK = "https://example.org/swordfish"


async def test_redacted_words_are_gone_from_every_answer(database_url: str) -> None:
    async with service(database_url) as annolog:
        first = await annolog.say(
            KEY, text=f"the password is {SECRET}", urls=[LINK], tags=["donuts"]
        )
        second = await annolog.edit(first, text="never mind", urls=[])
        path = f"/annotations/{first['annotation_id']}"
        done = await annolog.post(f"{path}/redact", {"reason": "a secret"}, by="carla")
        assert done.status_code == 201
        answers = [
            await annolog.get(path),
            await annolog.get(f"{path}/revisions"),
            await annolog.get("/annotations", revisions="all"),
            await annolog.get("/annotations", revisions="all", format="csv"),
            await annolog.get("/target", key=KEY),
            await annolog.get("/target", key=KEY, as_of=first["number"]),
            await annolog.get("/target/flag-history", key=KEY),
            await annolog.get("/changes", limit=1000),
        ]
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert not any(SECRET in answer.text for answer in answers)
        assert "never mind" not in answers[0].text
        now = answers[0].json()
        assert (now["text"], now["urls"], now["tags"]) == ("", [], ["donuts"])
        assert now["revision_id"] == second["revision_id"]
        found = await annolog.get("/annotations", words=SECRET, revisions="all")
        assert found.json()["items"] == []


async def test_redaction_leaves_hashes_and_no_row_with_the_words(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(KEY, text=SECRET)
        connection = await asyncpg.connect(database_url)
        hashes = "select record_id, hash from record order by record_id"
        before = await connection.fetch(hashes)
        path = f"/annotations/{said['annotation_id']}/redact"
        await annolog.post(path, {"reason": "a secret"}, by="carla")
        after = {
            row["record_id"]: row["hash"] for row in await connection.fetch(hashes)
        }
        assert all(after[row["record_id"]] == row["hash"] for row in before)
        for query in (
            "select body from record where position($1::bytea in body) > 0",
            "select detail from change where position($1::bytea in detail) > 0",
        ):
            assert await connection.fetch(query, SECRET.encode()) == []
        words = "select words::text from revision where words @@ plainto_tsquery($1)"
        assert await connection.fetch(words, SECRET) == []
        await connection.close()


async def test_only_an_admin_redacts_and_unknown_revisions_are_refused(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(KEY, text="words")
        path = f"/annotations/{said['annotation_id']}/redact"
        refused = await annolog.post(path, {"reason": "x"}, by="bot:sweeper")
        assert refused.status_code == 403
        other = {"reason": "x", "revisions": ["018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f"]}
        wrong = await annolog.post(path, other, by="carla")
        assert wrong.status_code == 422
        assert (await annolog.get(f"/annotations/{said['annotation_id']}")).json()[
            "text"
        ] == "words"
