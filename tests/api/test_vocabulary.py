"""Vocabularies over HTTP."""

import httpx

from tests.support.service import Service, caller, service

ONE = "exposure:LSSTCam/2026111900001"
TWO = "exposure:LSSTCam/2026111900002"


async def put(
    annolog: Service, path: str, body: object, by: str = "jdoe", **query: str
) -> httpx.Response:
    return await annolog.client.put(
        "/annolog/v1" + path, json=body, params=query, headers=caller(by)
    )


async def test_a_new_flag_can_be_used_at_once(database_url: str) -> None:
    async with service(database_url) as annolog:
        made = await put(annolog, "/flags/trailed", {"severity": 70, "reason": "new"})
        again = await put(annolog, "/flags/trailed", {"severity": 70})
        changed = await put(annolog, "/flags/trailed", {"severity": 71})
        await annolog.say(ONE, flag="trailed")

        assert (made.status_code, again.status_code) == (201, 200)
        assert changed.status_code == 409
        assert (await annolog.get("/flags/trailed")).json()["severity"] == 70
        listed = (await annolog.get("/flags")).json()["items"]
        assert [one["name"] for one in listed] == [
            "follow_up",
            "good",
            "junk",
            "questionable",
            "trailed",
        ]


async def test_an_unknown_word_is_answered_with_the_nearest(database_url: str) -> None:
    async with service(database_url) as annolog:
        flag = await annolog.get("/flags/jnuk")
        instrument = await annolog.get("/instruments/LSSTCamm")
        policy = await put(annolog, "/policies", {"instrument": "LSSTCan", "rule": "x"})
        home = await put(
            annolog, "/policies", {"instrument": "LSSTCan", "rule": "latest"}
        )

        assert (flag.status_code, flag.json()["nearest"]) == (404, ["junk"])
        assert "LSSTCam" in instrument.json()["nearest"]
        assert policy.status_code == 422
        assert policy.json()["errors"][0]["pointer"] == "/rule"
        assert "LSSTCam" in home.json()["detail"]


async def test_an_archived_tag_is_refused_in_new_statements(database_url: str) -> None:
    async with service(database_url) as annolog:
        await put(annolog, "/tags/odd_glow", {"description": "a glow"})
        own = await put(annolog, "/tags/odd_glow", {}, instrument="LSSTCam")
        await annolog.say(ONE, tags=["odd_glow"])
        for query in ({}, {"instrument": "LSSTCam"}):
            await put(annolog, "/tags/odd_glow", {"archived": True}, **query)
        refused = await annolog.post(
            "/annotations", {"targets": [ONE], "tags": ["odd_glow"]}
        )
        bad = await put(annolog, "/tags/9", {})

        assert own.json()["instrument"] == "LSSTCam"
        assert refused.status_code == 422
        assert bad.status_code == 422
        assert bad.json()["errors"][0]["pointer"] == "/name"
        found = await annolog.get("/tags/odd_glow")
        assert found.json()["archived"] is True
        assert (await annolog.state(ONE))["tags"] == ["odd_glow"]


async def test_joined_targets_are_one_until_they_are_parted(database_url: str) -> None:
    async with service(database_url) as annolog:
        await annolog.say(ONE, text="looked at")
        await annolog.say(TWO, flag="junk")
        body = {"key_a": "exposure:LSSTCam/MC_O_20261119_000001", "key_b": TWO}
        joined = await put(annolog, "/same-as", body | {"reason": "one thing"})
        as_one = (await annolog.state(ONE))["flag"]
        parted = await put(annolog, "/same-as", body | {"revoked": True})

        assert joined.json()["key_a"] == ONE
        assert parted.status_code == 201
        assert as_one == "junk"
        assert (await annolog.state(ONE))["flag"] is None
        listed = (await annolog.get("/same-as")).json()["items"]
        assert [one["revoked"] for one in listed] == [True]


async def test_aliases_lead_to_one_vote_and_vocabularies_close(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        alias = {"name": "jdoe@host", "leads_to": "jdoe"}
        assert (await put(annolog, "/aliases", alias)).status_code == 201
        ended = await put(annolog, "/aliases", alias | {"leads_to": None})
        mode = {"instrument": "LSSTCam", "mode": "curated"}
        closed = await put(annolog, "/tag-vocabularies", mode)
        refused = await annolog.post(
            "/annotations", {"targets": [ONE], "tags": ["never_seen"]}
        )

        assert ended.json()["leads_to"] is None
        assert closed.status_code == 201
        assert refused.status_code == 422
        listed = (await annolog.get("/tag-vocabularies")).json()["items"]
        assert [one["record_id"] for one in listed] == [closed.json()["record_id"]]


async def test_bots_may_not_define(database_url: str) -> None:
    async with service(database_url) as annolog:
        refused = await put(annolog, "/flags/odd", {"severity": 1}, by="bot:robot")

        assert refused.status_code == 403
