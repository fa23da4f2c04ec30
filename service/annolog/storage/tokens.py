"""The table of annolog's own tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from typing_extensions import override

from annolog.storage.database import Connection

_COLUMNS = (
    "token_id, secret_hash, owner, kind, role, instruments, delegate, note,"
    " created_at, expires_at, revoked_at, last_used_at"
)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as the database keeps it: everything but the secret.

    Attributes
    ----------
    token_id
        16 hexadecimal digits.
    secret_hash
        SHA-256 of the secret.
    owner
        The user whose token it is.
    kind
        "human" or "bot".
    role
        The role of whoever shows it.
    instruments
        The only instruments that it may write about; None means all.
    delegate
        Whether it may speak for a named user.
    note
        What it is for, in its maker's words.
    created_at, expires_at, revoked_at, last_used_at
        Moments; None for never (`last_used_at`: to within a minute).
    """

    token_id: str
    secret_hash: bytes
    owner: str
    kind: str
    role: str
    instruments: tuple[str, ...] | None
    delegate: bool
    note: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Say whether it is taken at a moment: the moment of its expiry is too late.

        Parameters
        ----------
        now
            The moment (UTC).

        Returns
        -------
        bool
            Whether it is neither revoked nor expired then.
        """
        return self.revoked_at is None and (
            self.expires_at is None or now < self.expires_at
        )

    @override
    def __repr__(self) -> str:
        return f"StoredToken({self.token_id!r}, owner={self.owner!r})"


async def insert(connection: Connection, token: StoredToken) -> None:
    """Keep a new token.

    Parameters
    ----------
    connection
        One that may write.
    token
        The token; its id is new.
    """
    await connection.execute(
        f"insert into token ({_COLUMNS})"  # noqa: S608 - a constant
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        token.token_id,
        token.secret_hash,
        token.owner,
        token.kind,
        token.role,
        None if token.instruments is None else list(token.instruments),
        token.delegate,
        token.note,
        token.created_at,
        token.expires_at,
        token.revoked_at,
        token.last_used_at,
    )


async def find(connection: Connection, token_id: str) -> StoredToken | None:
    """Read one token; None if there is none of that id.

    Parameters
    ----------
    connection
        Any connection.
    token_id
        16 hexadecimal digits.

    Returns
    -------
    StoredToken or None
        Whether in force or not.
    """
    row = await connection.fetchrow(
        f"select {_COLUMNS} from token where token_id = $1",  # noqa: S608 - a constant
        token_id,
    )
    return None if row is None else _token(row)


async def everyone(connection: Connection) -> list[StoredToken]:
    """Read all tokens, the newest first, revoked and expired ones included.

    Parameters
    ----------
    connection
        Any connection.

    Returns
    -------
    list of StoredToken
        By the moment they were made, latest first; empty where there is none.
    """
    rows = await connection.fetch(
        f"select {_COLUMNS} from token"  # noqa: S608 - a constant
        " order by created_at desc, token_id"
    )
    return [_token(row) for row in rows]


async def revoke(connection: Connection, token_id: str, now: datetime) -> bool:
    """End a token for good; False if there is none of that id.

    A token that was revoked before keeps its first moment.

    Parameters
    ----------
    connection
        One that may write.
    token_id
        16 hexadecimal digits.
    now
        The moment (UTC) from which on it is refused.

    Returns
    -------
    bool
        Whether there is such a token.
    """
    done = await connection.fetchval(
        "update token set revoked_at = coalesce(revoked_at, $2) where token_id = $1"
        " returning token_id",
        token_id,
        now,
    )
    return done is not None


async def touch(
    connection: Connection, token_ids: Sequence[str], now: datetime
) -> None:
    """Write down that tokens were used; never back in time.

    Parameters
    ----------
    connection
        One that may write.
    token_ids
        Tokens that were used; unknown ids do nothing.
    now
        When (UTC).
    """
    await connection.execute(
        "update token set last_used_at = $2 where token_id = any($1)"
        " and (last_used_at is null or last_used_at < $2)",
        list(token_ids),
        now,
    )


def _token(row: asyncpg.Record) -> StoredToken:
    values = dict(row)
    if values["instruments"] is not None:
        values["instruments"] = tuple(values["instruments"])
    return StoredToken(**values)
