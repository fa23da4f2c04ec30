"""Our own tokens: what one looks like, and who shows it.

A token is `al_<id>.<secret>`: the id names a row, the secret is 32 random bytes. Only
the SHA-256 of the secret is stored (so much randomness needs no slow hash), and the
token is shown once. The prefix lets scanners find leaked ones.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import override

from annolog.domain.errors import InvalidError, UnauthenticatedError
from annolog.domain.roles import Kind, Role
from annolog.storage.tokens import StoredToken

PREFIX = "al_"
"""What every token of ours begins with."""

SECRET_BYTES = 32
"""Random bytes of a secret."""

REMEMBERED = 5.0
"""Seconds for which a token is trusted without asking the database again: so long a
revoked token may still be taken by a process."""

MOST_REMEMBERED = 4096
"""Tokens, good and bad ones, that a process remembers."""

TOUCHED_EVERY = 60.0
"""Seconds after which another use of a token is written down."""

_ID = re.compile(r"[0-9a-f]{16}")
_FORM = re.compile(r"al_([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")

# Compared with where there is no row, so that both cases take the same time.
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is made: what is shown, and what is kept.

    Attributes
    ----------
    token_id
        16 hexadecimal digits.
    shown
        The whole token; it cannot be had again.
    secret_hash
        SHA-256 of the secret, 32 bytes.
    """

    token_id: str
    shown: str
    secret_hash: bytes

    @override
    def __repr__(self) -> str:
        return f"NewToken({self.token_id!r})"


def make() -> NewToken:
    """Make a new token out of the system's randomness.

    Returns
    -------
    NewToken
        Never the same twice.
    """
    token_id = secrets.token_hex(8)
    secret = secrets.token_bytes(SECRET_BYTES)
    text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    return NewToken(
        token_id, f"{PREFIX}{token_id}.{text}", hashlib.sha256(secret).digest()
    )


def take_apart(shown: str) -> tuple[str, bytes]:
    """Split a token into its id and the SHA-256 of its secret.

    Parameters
    ----------
    shown
        The token as its owner holds it.

    Returns
    -------
    tuple of str and bytes
        Id and hash.

    Raises
    ------
    UnauthenticatedError
        It is no token of ours.
    """
    found = _FORM.fullmatch(shown)
    if found is None:
        raise refused()
    try:
        secret = base64.urlsafe_b64decode(found[2] + "=")
    except (binascii.Error, ValueError):
        raise refused() from None
    return found[1], hashlib.sha256(secret).digest()


def refused() -> UnauthenticatedError:
    """Make the one error for every token that is not taken.

    It never says whether the token was wrong, old or revoked.

    Returns
    -------
    UnauthenticatedError
        The same words each time.
    """
    return UnauthenticatedError(
        "This token is not known, has expired or was revoked.", code="token_refused"
    )


def token_id(text: str) -> str:
    """Read the id of a token, as an operator may write it.

    Parameters
    ----------
    text
        The id, with the prefix or without.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    InvalidError
        It is no id of a token.
    """
    found = text.removeprefix(PREFIX)
    if not _ID.fullmatch(found):
        raise InvalidError.at(
            "/token_id",
            None,
            "A token's id has 16 hexadecimal digits, as `annologd token list` shows.",
            "token_id",
        )
    return found


def check_role(role: Role, kind: Kind, *, delegate: bool) -> None:
    """Refuse a token that could not be used.

    Parameters
    ----------
    role
        What it would let its owner do.
    kind
        What its owner is.
    delegate
        Whether it would speak for others.

    Raises
    ------
    InvalidError
        The role is for people and the owner a bot, or the other way round, or a
        bot's token is to speak for others with more than an author's role.
    """
    if kind == "bot" and role in {Role.AUTHOR, Role.CURATOR, Role.ADMIN}:
        reason = f"A bot has the role bot, importer or viewer, not {role.value}."
    elif kind == "human" and role is Role.BOT:
        reason = "The role bot needs --kind bot; a person is author or curator."
    elif delegate and role not in {Role.AUTHOR, Role.BOT}:
        reason = (
            "A delegate speaks for people as their author: its role is author or bot,"
            f" not {role.value}."
        )
    else:
        return
    raise InvalidError.at("/role", role.value, reason, "role")


class TokenBook:
    """Knows for a few seconds whose token it was, so a request costs no query.

    Parameters
    ----------
    find
        Reads a token's row by id; None if there is none.
    touch
        Writes down that tokens were used.
    monotonic
        Seconds of a clock that never steps back.
    now
        Wall time, for expiry.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[StoredToken | None]],
        touch: Callable[[list[str], datetime], Awaitable[None]],
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._find = find
        self._touch = touch
        self._monotonic = monotonic
        self._now = now
        # By the hash of the whole token: a secret is never kept, and a wrong secret
        # can neither use nor spoil the entry of the right one.
        self._known: OrderedDict[bytes, tuple[float, StoredToken | None]] = (
            OrderedDict()
        )
        self._used: dict[str, datetime] = {}
        self._touched: dict[str, float] = {}

    async def verify(self, shown: str) -> StoredToken:
        """Say whose token this is.

        Parameters
        ----------
        shown
            The token as it was sent.

        Returns
        -------
        StoredToken
            Its row; in force at this moment.

        Raises
        ------
        UnauthenticatedError
            It is no token, unknown, expired or revoked.
        UnavailableError
            The database had to be asked and is away.
        """
        whole = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(whole)
        if known is not None and known[0] > self._monotonic():
            row = known[1]
        else:
            row = await self._ask(shown)
            self._remember(whole, row)
        if row is None or not row.in_force(self._now()):
            raise refused()
        self._note_use(row.token_id)
        return row

    async def flush(self) -> None:
        """Write down which tokens were used; a failure loses nothing but that."""
        used, self._used = self._used, {}
        for moment in sorted(set(used.values())):
            await self._touch([i for i, at in used.items() if at == moment], moment)

    def forget(self) -> None:
        """Ask the database again for every token (one was revoked here)."""
        self._known.clear()

    async def _ask(self, shown: str) -> StoredToken | None:
        identifier, secret_hash = take_apart(shown)
        row = await self._find(identifier)
        same = hmac.compare_digest(
            row.secret_hash if row is not None else _NO_HASH, secret_hash
        )
        return row if same else None

    def _remember(self, whole: bytes, row: StoredToken | None) -> None:
        self._known[whole] = (self._monotonic() + REMEMBERED, row)
        self._known.move_to_end(whole)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)

    def _note_use(self, identifier: str) -> None:
        moment = self._monotonic()
        if moment - self._touched.get(identifier, -TOUCHED_EVERY) >= TOUCHED_EVERY:
            self._touched[identifier] = moment
            self._used[identifier] = self._now()
