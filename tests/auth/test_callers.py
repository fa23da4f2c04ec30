from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.testing import create_test_client

from annolog.api.problems import HANDLERS
from annolog.auth import tokens
from annolog.auth.callers import (
    CallerMiddleware,
    Callers,
    NamedCallers,
    NetworkCallers,
    TokenCallers,
    provide_actor,
)
from annolog.domain.errors import (
    InvalidError,
    MalformedError,
    UnauthenticatedError,
)
from annolog.domain.roles import Actor
from annolog.storage.tokens import StoredToken

NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)
EVERY_ROLE = ["admin", "author", "curator", "importer", "viewer"]


@get("/who", sync_to_thread=False)
def who(actor: NamedDependency[Actor]) -> dict[str, Any]:
    return {
        "user": actor.user,
        "author": actor.author,
        "sent_by": actor.sent_by,
        "kind": actor.kind,
        "roles": sorted(actor.roles),
        "instruments": sorted(actor.instruments or []),
        "by": actor.authenticated_by,
        "settle": actor.settle,
        "named": actor.named,
    }


@get("/open", opt={"anyone": True}, sync_to_thread=False)
def open_() -> str:
    return "come in"


def ask(
    callers: Callers, headers: dict[str, Any] | None = None, path: str = "/who"
) -> tuple[int, Mapping[str, Any]]:
    with create_test_client(
        [who, open_],
        middleware=[CallerMiddleware(lambda: callers)],
        dependencies={"actor": Provide(provide_actor, sync_to_thread=False)},
        exception_handlers=HANDLERS,
    ) as client:
        assert isinstance(client.app, Litestar)
        answer = client.get(path, headers=headers or {})
        if path == "/open":
            return answer.status_code, {}
        return answer.status_code, answer.json()


def a_book(
    new: tokens.NewToken,
    *,
    role: str = "author",
    kind: str = "human",
    delegate: bool = False,
    instruments: tuple[str, ...] | None = None,
) -> TokenCallers:
    row = StoredToken(
        token_id=new.token_id,
        secret_hash=new.secret_hash,
        owner="love",
        kind=kind,
        role=role,
        instruments=instruments,
        delegate=delegate,
        note="",
        created_at=NOON,
        expires_at=None,
        revoked_at=None,
    )

    async def find(token_id: str) -> StoredToken | None:
        return row if token_id == new.token_id else None

    async def touch(_: list[str], __: datetime) -> None:
        return

    book = tokens.TokenBook(find, touch, monotonic=lambda: 0.0, now=lambda: NOON)
    return TokenCallers(book)


# ------------------------------------------------------------------------ none


def test_on_loopback_callers_name_themselves() -> None:
    status, actor = ask(NamedCallers(), {"X-Annolog-User": "ada"})
    assert status == 200
    assert (actor["user"], actor["kind"], actor["by"]) == ("ada", "human", "none")
    assert actor["roles"] == EVERY_ROLE
    assert not actor["settle"]


def test_on_loopback_somebody_without_a_name_may_read() -> None:
    status, actor = ask(NamedCallers())
    assert status == 200
    assert (actor["named"], actor["roles"]) == (False, ["viewer"])


def test_on_loopback_a_bot_has_a_bots_roles() -> None:
    _, actor = ask(
        NamedCallers(), {"X-Annolog-User": "donuts", "X-Annolog-Kind": "bot"}
    )
    assert actor["roles"] == ["bot", "importer", "viewer"]


def test_settling_is_asked_for_by_a_header() -> None:
    for value, settle in (("true", True), ("True", True), ("false", False)):
        headers = {"X-Annolog-User": "ada", "X-Annolog-Settle": value}
        assert ask(NamedCallers(), headers)[1]["settle"] is settle


def test_names_of_all_the_world_travel_as_utf8() -> None:
    headers = {"X-Annolog-User": "Müller".encode()}
    assert ask(NamedCallers(), headers)[1]["user"] == "Müller"


@pytest.mark.parametrize(
    ("headers", "status", "pointer"),
    [
        ({"X-Annolog-User": "x" * 129}, 422, "#X-Annolog-User"),
        ({"X-Annolog-User": "ada", "X-Annolog-Kind": "robot"}, 422, "#X-Annolog-Kind"),
        ({"X-Annolog-User": "ada", "X-Annolog-Settle": "1"}, 422, "#X-Annolog-Settle"),
        ({"X-Annolog-User": "a\u0085b".encode("latin-1")}, 422, "#X-Annolog-User"),
    ],
)
def test_wrong_headers_are_named(
    headers: dict[str, Any], status: int, pointer: str
) -> None:
    found, problem = ask(NamedCallers(), headers)
    assert found == status
    assert problem["errors"][0]["pointer"] == pointer


def a_connection(*headers: tuple[bytes, bytes]) -> ASGIConnection[Any, Any, Any, Any]:
    # The test client makes such headers harmless before they are sent.
    scope: Any = {"type": "http", "headers": headers}
    return ASGIConnection(scope)


async def test_a_header_sent_twice_is_refused() -> None:
    twice = a_connection((b"x-annolog-user", b"ada"), (b"x-annolog-user", b"eve"))
    with pytest.raises(MalformedError, match="2 times"):
        await NamedCallers().identify(twice)


async def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidError, match="UTF-8"):
        await NamedCallers().identify(a_connection((b"x-annolog-user", b"\xff\xfe")))


# ---------------------------------------------------------------------- tokens


def bearing(new: tokens.NewToken, **headers: str) -> dict[str, str]:
    named = {f"X-Annolog-{name.title()}": value for name, value in headers.items()}
    return {"Authorization": f"Bearer {new.shown}", **named}


def test_a_token_names_its_owner() -> None:
    new = tokens.make()
    status, actor = ask(a_book(new, instruments=("LATISS",)), bearing(new))
    assert status == 200
    assert actor == {
        "user": "love",
        "author": "love",
        "sent_by": None,
        "kind": "human",
        "roles": ["author", "viewer"],
        "instruments": ["LATISS"],
        "by": f"token:al_{new.token_id}",
        "settle": False,
        "named": True,
    }


def test_forged_headers_mean_nothing_beside_a_token() -> None:
    new = tokens.make()
    _, actor = ask(a_book(new), bearing(new, user="boss", kind="bot"))
    assert (actor["user"], actor["author"], actor["kind"]) == ("love", "love", "human")


def test_asking_to_settle_gives_no_right_to() -> None:
    new = tokens.make()
    _, actor = ask(a_book(new), bearing(new, settle="true"))
    assert actor["settle"]
    assert "curator" not in actor["roles"]


@pytest.mark.parametrize("kind", ["human", "bot"])
def test_a_delegate_speaks_for_whom_it_names_and_both_are_known(kind: str) -> None:
    new = tokens.make()
    callers = a_book(
        new, delegate=True, kind=kind, role="bot" if kind == "bot" else "author"
    )
    _, actor = ask(callers, bearing(new, user="bea"))
    assert (actor["author"], actor["sent_by"]) == ("bea", "love")
    assert (actor["kind"], actor["roles"]) == ("human", ["author", "viewer"])
    _, actor = ask(callers, bearing(new))
    assert (actor["author"], actor["sent_by"], actor["kind"]) == ("love", None, kind)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("Basic YTpi", "token_missing"),
        ("Bearer", "token_refused"),
        ("Bearer al_0.x", "token_refused"),
        (f"Bearer al_{'0' * 16}.{'A' * 43}", "token_refused"),
    ],
)
def test_without_a_good_token_nobody_comes_in(
    authorization: str | None, code: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    headers["X-Annolog-User"] = "ada"
    status, problem = ask(a_book(tokens.make()), headers)
    assert (status, problem["code"]) == (401, code)


def test_a_route_is_closed_unless_it_says_otherwise() -> None:
    callers = a_book(tokens.make())
    assert ask(callers)[0] == 401
    assert ask(callers, path="/open")[0] == 200


# -------------------------------------------------------------------- networks

SUMMIT = NetworkCallers(
    [ip_network("10.0.0.0/8"), ip_network("192.0.2.7"), ip_network("2001:db8::/32")],
    "/exposurelog",
    a_book(tokens.make()),
)


async def from_address(
    address: str | None,
    path: str = "/exposurelog/messages",
    callers: Callers = SUMMIT,
    *headers: tuple[bytes, bytes],
) -> Actor:
    scope: Any = {
        "type": "http",
        "headers": headers,
        "path": path,
        "path_template": path,
        "client": None if address is None else (address, 40000),
    }
    return await callers.identify(ASGIConnection(scope))


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8::5", "2001:db8::5"),
    ],
)
async def test_a_trusted_network_is_let_in_as_nobody_known(
    address: str, known_as: str
) -> None:
    actor = await from_address(address)
    assert (actor.named, actor.kind, actor.settle) == (False, "human", False)
    assert actor.authenticated_by == f"network:{known_as}"
    assert actor.roles == {"viewer"}


@pytest.mark.parametrize(
    "address",
    ["11.1.2.3", "192.0.2.8", "::ffff:11.1.2.3", "::1", "2001:db9::5", "", "x", None],
)
async def test_other_addresses_show_a_token(address: str | None) -> None:
    with pytest.raises(UnauthenticatedError):
        await from_address(address)


@pytest.mark.parametrize(
    "path",
    ["/annolog/v1/annotations", "/exposurelogs/messages", "/", "/annolog/exposurelog"],
)
async def test_a_trusted_network_is_let_in_nowhere_else(path: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await from_address("10.1.2.3", path)


async def test_a_token_shown_counts_wherever_it_comes_from() -> None:
    new = tokens.make()
    callers = NetworkCallers([ip_network("10.0.0.0/8")], "/exposurelog", a_book(new))
    shown = (b"authorization", f"Bearer {new.shown}".encode())
    actor = await from_address("10.1.2.3", "/exposurelog", callers, shown)
    assert (actor.user, actor.named) == ("love", True)
    wrong = (b"authorization", b"bearer  al_0123456789abcdef.x")
    with pytest.raises(UnauthenticatedError):
        await from_address("10.1.2.3", "/exposurelog", callers, wrong)


@pytest.mark.parametrize("value", [b"Basic YTpi", b"Bearer eyJhbGciOi.x.y", b""])
async def test_what_others_ask_for_in_that_header_is_not_for_us(value: bytes) -> None:
    shown = (b"authorization", value)
    actor = await from_address("10.1.2.3", "/exposurelog", SUMMIT, shown)
    assert actor.authenticated_by == "network:10.1.2.3"


async def test_nobody_names_himself_from_a_trusted_network() -> None:
    named = (b"x-annolog-user", b"boss"), (b"x-annolog-settle", b"true")
    actor = await from_address("10.1.2.3", "/exposurelog", SUMMIT, *named)
    assert (actor.user, actor.settle, actor.named) == ("unverified", False, False)
