"""Who is calling: every request gets its `Actor` here, or is refused.

`CallerMiddleware` stands before every route that does not say `anyone=True` in its
options; a route that forgets to ask is therefore closed, not open. Handlers take the
actor by the dependency `actor` (`provide_actor`).

Mode `none` (loopback only): whom `X-Annolog-User` names; without it, somebody who
may read. Mode `tokens`: the owner of the token in `Authorization: Bearer`; where it is
a delegate's, the owner on behalf of whom `X-Annolog-User` names.

In mode `tokens` all other `X-Annolog-*` headers of a caller mean nothing, but for
`X-Annolog-Settle`, which asks and gives no right.

Beside either, `NetworkCallers` lets callers from trusted networks in to the routes
below one path without anything shown: of those nothing is known but their address.
"""

import ipaddress
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Protocol, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Receive, Scope, Send

from annolog.auth import headers
from annolog.auth.tokens import PREFIX, TokenBook
from annolog.domain.errors import (
    InvalidError,
    MalformedError,
    UnauthenticatedError,
)
from annolog.domain.roles import NOBODY, Actor, Kind, Role, roles_of, user_name

USER = "X-Annolog-User"
"""Header: who calls (`none`), or for whom a delegate calls (`tokens`)."""

KIND = "X-Annolog-Kind"
"""Header, mode `none`: human (the default) or bot."""

SETTLE = "X-Annolog-Settle"
"""Header: `true` asks that the flags of this request settle."""

ANYONE = "anyone"
"""Key of a route's options: True opens it to callers who are not known."""

Network: TypeAlias = IPv4Network | IPv6Network
"""Addresses from which callers are trusted."""

_ON_LOOPBACK = frozenset(Role) - {Role.BOT}
_BOT_ON_LOOPBACK = frozenset({Role.VIEWER, Role.BOT, Role.IMPORTER})

_Connection = ASGIConnection[Any, Any, Any, Any]


class Callers(Protocol):
    """Finds out who calls."""

    async def identify(self, connection: _Connection) -> Actor:
        """Give the caller of a request.

        Parameters
        ----------
        connection
            The request, of which only headers are read.

        Returns
        -------
        Actor
            The caller.

        Raises
        ------
        UnauthenticatedError
            Who calls is not known, or what was shown is not taken.
        """
        ...


class NamedCallers:
    """Mode `none`: callers say who they are. Safe on loopback alone.

    A person has every role, since whoever reaches this port runs programs on this
    machine; a bot is kept to a bot's, so that a program is tried as it will run.
    """

    async def identify(self, connection: _Connection) -> Actor:
        """Give whom the headers name; `NOBODY` where there are none.

        Parameters
        ----------
        connection
            The request, of which only headers are read.

        Returns
        -------
        Actor
            The caller, as it describes itself.
        """
        name = _one(connection, USER)
        kind = _kind(connection)
        settle = _settle(connection)
        if name is None:
            return NOBODY
        roles = _ON_LOOPBACK if kind == "human" else _BOT_ON_LOOPBACK
        return Actor(
            user_name(name, "#" + USER),
            kind,
            roles,
            authenticated_by="none",
            settle=settle,
        )


class TokenCallers:
    """Mode `tokens`: callers show a token of ours.

    Parameters
    ----------
    book
        Knows the tokens.
    """

    def __init__(self, book: TokenBook) -> None:
        self._book = book

    async def identify(self, connection: _Connection) -> Actor:
        """Give the token's owner, or for whom the delegate speaks.

        Parameters
        ----------
        connection
            The request, of which only headers are read.

        Returns
        -------
        Actor
            The caller, with the roles that the token gives.
        """
        token = await self._book.verify(_bearer(connection))
        kind: Kind = "bot" if token.kind == "bot" else "human"
        roles = roles_of(Role(token.role), kind)
        behalf: str | None = None
        if token.delegate:
            named = _one(connection, USER)
            if named is not None and named != token.owner:
                behalf = user_name(named, "#" + USER)
                # Whoever a delegate speaks for is a person; the delegate may be none.
                kind = "human"
                roles = roles_of(Role.AUTHOR, kind)
        return Actor(
            token.owner,
            kind,
            roles,
            None if token.instruments is None else frozenset(token.instruments),
            f"token:{PREFIX}{token.token_id}",
            behalf,
            _settle(connection),
        )


class NetworkCallers:
    """Trusted networks, before another way of finding out who calls.

    A token that is shown counts, wherever it comes from. Who shows none is let in as a
    person of whom no name is known.

    Parameters
    ----------
    networks
        Networks that are trusted.
    under
        Path of the routes that they are let in to.
    others
        Finds out who calls in all other cases.
    """

    def __init__(
        self, networks: Sequence[Network], under: str, others: Callers
    ) -> None:
        self._networks = tuple(networks)
        self._under = under
        self._others = others

    async def identify(self, connection: _Connection) -> Actor:
        """Give the caller: unverified, or as others find out.

        Parameters
        ----------
        connection
            The request, of which headers, route and the peer's address are read.

        Returns
        -------
        Actor
            The caller.
        """
        address = _peer(connection)
        if (
            address is not None
            and any(address in network for network in self._networks)
            and self._leads_there(connection)
            and not _shows_token(connection)
        ):
            return Actor(
                "unverified",
                "human",
                frozenset({Role.VIEWER}),
                authenticated_by=f"network:{address}",
                named=False,
            )
        return await self._others.identify(connection)

    def _leads_there(self, connection: _Connection) -> bool:
        # The route's own path: what was sent may lead elsewhere than it looks.
        path: str = connection.scope["path_template"]
        return path == self._under or path.startswith(f"{self._under}/")


class CallerMiddleware:
    """Puts the `Actor` into each request before its handler runs.

    Parameters
    ----------
    callers
        Gives whoever finds out; asked at each request, since the parts of a process
        open after its middlewares are made.
    """

    def __init__(self, callers: Callable[[], Callers]) -> None:
        self._callers = callers

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Stand before a route.

        Parameters
        ----------
        app
            What is behind.

        Returns
        -------
        ASGIApp
            Finds out who calls, or raises the error to answer with.
        """

        async def identified(scope: Scope, receive: Receive, send: Send) -> None:
            if not scope["route_handler"].opt.get(ANYONE):
                connection: _Connection = ASGIConnection(scope)
                scope["user"] = await self._callers().identify(connection)
                scope["auth"] = None
            await app(scope, receive, send)

        return identified


def provide_actor(request: Request[Actor, None, Any]) -> Actor:
    """Give a handler its caller (dependency `actor`).

    Parameters
    ----------
    request
        The request, past the middleware.

    Returns
    -------
    Actor
        The caller.

    Raises
    ------
    UnauthenticatedError
        The route is open to anyone, so that nobody asked who it is.
    """
    actor = request.scope.get("user")
    if not isinstance(actor, Actor):
        raise UnauthenticatedError("This route does not know its callers.")
    return actor


def _peer(connection: _Connection) -> IPv4Address | IPv6Address | None:
    """Give the address at the other end; None for a socket that has none."""
    if connection.client is None:
        return None
    try:
        address = ipaddress.ip_address(connection.client.host)
    except ValueError:
        return None
    # A socket of both protocols shows 10.0.0.1 as ::ffff:10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def _shows_token(connection: _Connection) -> bool:
    """Tell whether one of our tokens is shown, a right one or not.

    What others ask for in this header, a proxy's own password say, is not for us.
    """
    shown = headers.all_of(connection, "authorization")
    return any(
        value.partition(" ")[2].strip().startswith(PREFIX)
        and value.partition(" ")[0].lower() == "bearer"
        for value in shown
    )


def _bearer(connection: _Connection) -> str:
    value = _one(connection, "Authorization")
    if value is None:
        raise UnauthenticatedError(
            "Show a token: Authorization: Bearer al_....", code="token_missing"
        )
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError(
            "Only tokens are taken here: Authorization: Bearer al_....",
            code="token_missing",
        )
    return token.strip()


def _kind(connection: _Connection) -> Kind:
    value = _one(connection, KIND)
    match value:
        case None | "human":
            return "human"
        case "bot":
            return "bot"
        case _:
            raise InvalidError.at(
                "#" + KIND, value, f"{KIND} is human or bot.", "author_kind"
            )


def _settle(connection: _Connection) -> bool:
    value = _one(connection, SETTLE)
    match value.lower() if value is not None else None:
        case None | "false":
            return False
        case "true":
            return True
        case _:
            raise InvalidError.at(
                "#" + SETTLE, value, f"{SETTLE} is true or false.", "settle"
            )


def _one(connection: _Connection, name: str) -> str | None:
    # Two values would let a proxy check one and us believe the other.
    values = headers.all_of(connection, name.lower())
    if len(values) > 1:
        raise MalformedError(
            f"The header {name} was sent {len(values)} times; send it once.",
            code="header_repeated",
        )
    if not values:
        return None
    try:
        # Names outside of ASCII are sent as UTF-8.
        return values[0].encode("latin-1").decode()
    except UnicodeError:
        raise InvalidError.at(
            "#" + name, None, f"The header {name} is not UTF-8.", "encoding"
        ) from None
