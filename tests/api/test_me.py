"""Who is calling, and tokens over HTTP."""

from annolog.auth import tokens as forms
from annolog.storage import tokens
from annolog.storage.database import reading
from tests.support.service import caller, service


async def test_me_tells_what_the_caller_may_do(database_url: str) -> None:
    async with service(database_url) as annolog:
        url = "/annolog/v1/me"
        person = (await annolog.client.get(url, headers=caller("jdoe"))).json()
        bot = (await annolog.client.get(url, headers=caller("bot:robot"))).json()
        nobody = (await annolog.client.get(url)).json()

        assert person["author"] == "jdoe"
        assert person["permissions"]["settle"] is True
        assert bot["kind"] == "bot"
        assert bot["permissions"]["review"] is False
        assert nobody["user"] is None
        assert nobody["permissions"]["create"] is False


async def test_an_admin_makes_lists_and_revokes_tokens(database_url: str) -> None:
    async with service(database_url) as annolog:
        made = await annolog.post(
            "/tokens", {"owner": "ann", "instruments": ["LSSTCam"], "note": "laptop"}
        )
        shown = made.json()
        listed = await annolog.client.get("/annolog/v1/tokens", headers=caller("jdoe"))
        gone = await annolog.client.delete(
            f"/annolog/v1/tokens/{shown['token_id']}", headers=caller("jdoe")
        )
        missing = await annolog.client.delete(
            "/annolog/v1/tokens/0123456789abcdef", headers=caller("jdoe")
        )
        identifier, secret_hash = forms.take_apart(shown["token"])
        async with reading(annolog.runtime.reads) as connection:
            kept = await tokens.find(connection, identifier)

        assert made.status_code == 201
        assert kept is not None
        assert kept.secret_hash == secret_hash
        assert kept.revoked_at is not None
        assert [one["owner"] for one in listed.json()["items"]] == ["ann"]
        assert "token" not in listed.json()["items"][0]
        assert (gone.status_code, missing.status_code) == (200, 404)


async def test_tokens_are_closed_to_bots_and_roles_must_fit(database_url: str) -> None:
    async with service(database_url) as annolog:
        bot = await annolog.post("/tokens", {"owner": "x"}, by="bot:robot")
        role = await annolog.post(
            "/tokens", {"owner": "robot", "kind": "bot", "role": "curator"}
        )

        assert bot.status_code == 403
        assert role.status_code == 422
