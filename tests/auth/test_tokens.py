import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from annolog.auth import tokens
from annolog.domain.errors import (
    InvalidError,
    UnauthenticatedError,
    UnavailableError,
)
from annolog.domain.roles import Kind, Role
from annolog.storage import database
from annolog.storage import tokens as stored
from annolog.storage.tokens import StoredToken

NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)


class Shelf:
    """Rows in memory, and clocks that a test moves."""

    def __init__(self, *rows: StoredToken) -> None:
        self.rows = {row.token_id: row for row in rows}
        self.asked = 0
        self.away = False
        self.touched: list[tuple[list[str], datetime]] = []
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    async def find(self, token_id: str) -> StoredToken | None:
        self.asked += 1
        if self.away:
            raise UnavailableError("away")
        return self.rows.get(token_id)

    async def touch(self, token_ids: list[str], moment: datetime) -> None:
        self.touched.append((token_ids, moment))

    def book(self) -> tokens.TokenBook:
        return tokens.TokenBook(
            self.find, self.touch, monotonic=lambda: self.seconds, now=self.now
        )


def a_token(
    new: tokens.NewToken,
    *,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
    instruments: tuple[str, ...] | None = None,
    created_at: datetime = NOON,
) -> StoredToken:
    return StoredToken(
        token_id=new.token_id,
        secret_hash=new.secret_hash,
        owner="ada",
        kind="human",
        role="author",
        instruments=instruments,
        delegate=False,
        note="a test",
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )


def test_a_token_can_be_found_by_scanners_and_its_secret_is_not_kept() -> None:
    new = tokens.make()
    assert re.fullmatch(r"al_[0-9a-f]{16}\.[A-Za-z0-9_-]{43}", new.shown)
    assert tokens.take_apart(new.shown) == (new.token_id, new.secret_hash)
    assert len(new.secret_hash) == hashlib.sha256().digest_size
    secret = new.shown.partition(".")[2]
    assert secret not in repr(new)
    assert secret not in repr(a_token(new))
    assert tokens.make().shown != new.shown


async def test_the_owner_of_a_token_is_known() -> None:
    new = tokens.make()
    row = a_token(new)
    assert await Shelf(row).book().verify(new.shown) == row


async def test_a_remembered_token_costs_no_query() -> None:
    new = tokens.make()
    shelf = Shelf(a_token(new))
    book = shelf.book()
    for _ in range(100):
        await book.verify(new.shown)
    assert shelf.asked == 1
    shelf.away = True
    await book.verify(new.shown)
    shelf.seconds = tokens.REMEMBERED
    with pytest.raises(UnavailableError):
        await book.verify(new.shown)


async def test_a_revoked_token_is_refused_after_a_few_seconds() -> None:
    new = tokens.make()
    shelf = Shelf(a_token(new))
    book = shelf.book()
    await book.verify(new.shown)
    shelf.rows[new.token_id] = a_token(new, revoked_at=NOON)
    shelf.seconds = tokens.REMEMBERED
    with pytest.raises(UnauthenticatedError):
        await book.verify(new.shown)


async def test_expiry_is_seen_at_once_even_while_remembered() -> None:
    new = tokens.make()
    shelf = Shelf(a_token(new, expires_at=NOON + timedelta(seconds=2)))
    book = shelf.book()
    shelf.seconds = 1.999
    await book.verify(new.shown)
    shelf.seconds = 2.0
    with pytest.raises(UnauthenticatedError):
        await book.verify(new.shown)


async def test_every_refusal_says_the_same() -> None:
    good, other = tokens.make(), tokens.make()
    shelf = Shelf(a_token(good), a_token(other, revoked_at=NOON))
    wrong = f"{good.shown.partition('.')[0]}.{other.shown.partition('.')[2]}"
    said = set()
    for shown in (wrong, other.shown, tokens.make().shown, "", "al_", "é", "\ud800"):
        with pytest.raises(UnauthenticatedError) as refused:
            await shelf.book().verify(shown)
        said.add((refused.value.detail, refused.value.reason_code))
    assert len(said) == 1


async def test_a_wrong_secret_neither_uses_nor_spoils_a_remembered_token() -> None:
    good = tokens.make()
    shelf = Shelf(a_token(good))
    book = shelf.book()
    await book.verify(good.shown)
    wrong = good.shown[:-2] + ("AA" if good.shown[-2:] != "AA" else "BA")
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await book.verify(wrong)
        await book.verify(good.shown)
    assert shelf.asked == 2


async def test_use_is_written_down_at_most_once_a_minute() -> None:
    new = tokens.make()
    shelf = Shelf(a_token(new))
    book = shelf.book()
    await book.verify(new.shown)
    await book.flush()
    assert shelf.touched == [([new.token_id], NOON)]
    shelf.seconds = 30.0
    await book.verify(new.shown)
    await book.flush()
    assert len(shelf.touched) == 1
    shelf.seconds = 61.0
    await book.verify(new.shown)
    await book.flush()
    assert len(shelf.touched) == 2


async def test_a_flood_of_false_tokens_does_not_fill_the_memory() -> None:
    book = Shelf().book()
    for _ in range(tokens.MOST_REMEMBERED + 10):
        with pytest.raises(UnauthenticatedError):
            await book.verify(tokens.make().shown)
    assert len(book._known) == tokens.MOST_REMEMBERED


@pytest.mark.parametrize(
    ("role", "kind", "delegate", "fits"),
    [
        (Role.AUTHOR, "human", False, True),
        (Role.CURATOR, "human", False, True),
        (Role.BOT, "bot", False, True),
        (Role.IMPORTER, "bot", False, True),
        (Role.VIEWER, "bot", False, True),
        (Role.AUTHOR, "human", True, True),
        (Role.BOT, "bot", True, True),
        (Role.BOT, "human", False, False),
        (Role.AUTHOR, "bot", False, False),
        (Role.CURATOR, "bot", False, False),
        (Role.ADMIN, "bot", False, False),
        (Role.CURATOR, "human", True, False),
        (Role.ADMIN, "human", True, False),
    ],
)
def test_roles_that_make_no_sense_are_refused(
    *, role: Role, kind: Kind, delegate: bool, fits: bool
) -> None:
    if fits:
        tokens.check_role(role, kind, delegate=delegate)
    else:
        with pytest.raises(InvalidError):
            tokens.check_role(role, kind, delegate=delegate)


async def test_rows_are_kept_found_used_and_revoked(database_url: str) -> None:
    pool = await database.pool(database_url, database.WORK)
    first = a_token(tokens.make(), instruments=("LATISS",))
    second = a_token(tokens.make(), created_at=NOON + timedelta(hours=1))
    async with database.begin(pool) as connection:
        for row in (first, second):
            await stored.insert(connection, row)
        assert await stored.find(connection, first.token_id) == first
        assert await stored.find(connection, "0" * 16) is None
        assert await stored.everyone(connection) == [second, first]

        await stored.touch(connection, [first.token_id], NOON)
        await stored.touch(connection, [first.token_id], NOON - timedelta(hours=1))
        assert await stored.revoke(connection, first.token_id, NOON)
        assert await stored.revoke(
            connection, first.token_id, NOON + timedelta(hours=1)
        )
        assert not await stored.revoke(connection, "0" * 16, NOON)
        found = await stored.find(connection, first.token_id)
        assert found is not None
        assert (found.last_used_at, found.revoked_at) == (NOON, NOON)
        assert not found.in_force(NOON)
    await pool.close()
