"""Small logs, written straight into the tables, for those who only follow logs."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from annolog.domain.events import change_detail
from annolog.domain.records import canonical
from annolog.storage import changes

SITE_ID = "summit"
INCARNATION = "0a1b2c3d"
NIGHT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)


def annotation_id(number: int) -> UUID:
    """Give the annotation that a change speaks of: each has three revisions."""
    return UUID(int=0x019A5C00_0000_7000_8000_000000000000 + number // 3)


def revision_id(number: int) -> UUID:
    return UUID(int=0x019A5C00_1111_7000_8000_000000000000 + (number << 14))


def exposure_key(number: int, *, instrument: str = "LSSTCam") -> str:
    return f"exposure:{instrument}/{2026111900000 + number}"


async def begin_site(
    conn: "asyncpg.Connection[asyncpg.Record]",
    *,
    first_number: int = 1,
    incarnation: str = INCARNATION,
    site_id: str = SITE_ID,
) -> None:
    """Say whose database it is."""
    await conn.execute(
        "insert into site (incarnation, site_id, first_number, system_identifier,"
        " timeline, started_at)"
        " select $1, $2, $3, system_identifier::text, 1, $4 from pg_control_system()",
        incarnation,
        site_id,
        first_number,
        NIGHT,
    )


async def append(
    conn: "asyncpg.Connection[asyncpg.Record]",
    *,
    flag: str | None = "junk",
    text: str = "vignetted",
    keys: Sequence[str] = (),
    empty: bool = False,
    kind: str = "revision",
    operation: str = "create",
    instrument: str = "LSSTCam",
    record: UUID | None = None,
    tags: Sequence[str] = (),
) -> int:
    """Write one change with its record and the states of its targets; notify."""
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock(1)")
        number = await changes.head(conn) + 1
        shown = list(keys) or [exposure_key(number % 50, instrument=instrument)]
        body = canonical({"flag": flag, "text": text, "n": number})
        record_id = record or revision_id(number)
        await conn.execute(
            "insert into record (record_id, kind, clock, site_id, incarnation,"
            " origin_number, hash, body) values ($1, $2, $3, $4, $5, $3, $6, $7)"
            " on conflict do nothing",
            record_id,
            kind,
            number,
            SITE_ID,
            INCARNATION,
            hashlib.sha256(body).digest(),
            body,
        )
        detail = change_detail(
            number=number,
            body_bytes=len(body),
            annotation_id=annotation_id(number),
            revision_id=record_id,
            added=shown,
            count=len(shown),
            actor={"id": "jdoe", "kind": "human"},
        )
        await conn.execute(
            "insert into change (number, record_id, kind, operation, subject,"
            " instruments, days, detail, committed_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, now())",
            number,
            record_id,
            kind,
            operation,
            str(annotation_id(number)),
            [instrument],
            [20261119],
            detail,
        )
        await _write_states(conn, number, shown, instrument, flag, tags, empty=empty)
        await changes.notify(conn, number)
    return number


async def _write_states(
    conn: "asyncpg.Connection[asyncpg.Record]",
    number: int,
    keys: Sequence[str],
    instrument: str,
    flag: str | None,
    tags: Sequence[str],
    *,
    empty: bool,
) -> None:
    await conn.execute(
        "insert into target (key, class_id, kind, instrument)"
        " select k, 0, 'exposure', $2 from unnest($1::text[]) k on conflict do nothing",
        list(keys),
        instrument,
    )
    await conn.execute(
        "update target set class_id = target_id where key = any($1) and class_id = 0",
        list(keys),
    )
    await conn.execute(
        """
        insert into target_state (target_id, kind, flag, decided_by, outvoted, disputed,
          bots_differ, follow_ups, tags, notes, empty, number, basis, instrument)
        select target_id, kind, $2, '{}', '{}', false, false, '{}', $3, 1, $4, $5, 0,
          instrument
        from target where key = any($1)
        on conflict (target_id) do update set flag = excluded.flag,
          tags = excluded.tags, empty = excluded.empty, number = excluded.number
        """,
        list(keys),
        flag,
        list(tags),
        empty,
        number,
    )


async def append_many(
    conn: "asyncpg.Connection[asyncpg.Record]",
    count: int,
    **given: Any,  # noqa: ANN401 - what `append` takes
) -> int:
    """Write many changes, each in a transaction of its own; give the last number."""
    number = 0
    for _ in range(count):
        number = await append(conn, **given)
    return number
