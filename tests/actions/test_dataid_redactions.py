"""Who may take words out of a version, and which versions are looked through."""

from uuid import UUID

import pytest

from annolog.actions import dataid_redactions as actions
from annolog.actions.requests import Request
from annolog.domain.errors import ForbiddenError
from annolog.domain.roles import Actor, Kind, Role, roles_of
from annolog.domain.setredactions import SetRedaction
from annolog.storage.database import snapshot
from tests.support.nights import held
from tests.support.service import Service

SETS = "/data-id-sets/bad/versions"

running = pytest.fixture(held, name="annolog")


@pytest.mark.parametrize(
    ("role", "kind"),
    [(one, "human") for one in Role if one not in {Role.ADMIN, Role.BOT}]
    + [(Role.BOT, "bot")],
)
def test_nobody_but_an_admin_takes_words_out(role: Role, kind: Kind) -> None:
    actor = Actor("ada", kind, roles_of(role, kind))
    order = SetRedaction(UUID(int=0), (), ())
    with pytest.raises(ForbiddenError):
        actions.redact(Request(actor, b"", None), "bad", "set:bad@1", order, "why")


async def test_what_was_not_looked_through_is_said(
    annolog: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (1, 2, 3):
        rows = [
            {
                "instrument": "LSSTCam",
                "exposure": 2026111900000 + number,
                "comment": "swordfish",
            }
            for number in range(1, count + 1)
        ]
        assert (await annolog.post(SETS, rows)).is_success
    path = f"{SETS}/1/redact?dry_run=true"
    whole = (await annolog.post(path, {"reason": "x"})).json()
    assert ([one["rows"] for one in whole["copies"]], whole["copies_complete"]) == (
        [1, 1],
        True,
    )
    monkeypatch.setattr(actions, "MOST_ROWS", 4)
    part = (await annolog.post(path, {"reason": "x"})).json()
    assert (len(part["copies"]), part["copies_complete"]) == (1, False)
    monkeypatch.setattr(actions, "MOST_VERSIONS", 1)
    part = (await annolog.post(path, {"reason": "x"})).json()
    assert (len(part["copies"]), part["copies_complete"]) == (1, False)
    async with snapshot(annolog.runtime.reads) as connection:
        assert await connection.fetchval("select count(*) from redaction") == 0
