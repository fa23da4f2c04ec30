"""Rows put straight into the view tables, for tests of what reads them.

Each builder has a default for everything; a test names only what it is about.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from annolog.domain.records import canonical, list_of
from annolog.storage.database import Connection

SITE_ID = "summit"
BEGINNING = datetime(2026, 11, 19, 22, tzinfo=UTC)


def moment(seconds: float) -> datetime:
    return BEGINNING + timedelta(seconds=seconds)


class Rows:
    """Writes rows with numbers and ids that count up."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.number = 0

    async def begin(self) -> None:
        await self.connection.execute(
            "insert into site values ('0a1b2c3d', $1, 1, '1', 1, $2)",
            SITE_ID,
            BEGINNING,
        )

    async def target(
        self,
        seq_num: int | None = 1,
        *,
        day_obs: int | None = 20261119,
        instrument: str | None = "LSSTCam",
        key: str | None = None,
        same_as: str | None = None,
    ) -> str:
        """Give the key of a target, which is inserted unless it is there."""
        if key is None:
            key = f"exposure:{instrument}/{day_obs}{seq_num:05}"
        await self.connection.execute(
            """
            insert into target (key, class_id, kind, instrument, day_obs, seq_num)
            values ($1, 0, split_part($1, ':', 1), $2, $3, $4)
            on conflict do nothing
            """,
            key,
            instrument,
            day_obs,
            seq_num,
        )
        await self.connection.execute(
            """
            update target set class_id =
              (select target_id from target where key = coalesce($2, $1))
            where key = $1
            """,
            key,
            same_as,
        )
        return key

    async def annotation(
        self,
        *keys: str,
        text: str = "",
        flag: str | None = None,
        tags: Sequence[str] = (),
        author: str = "ada",
        author_kind: str = "human",
        check: str | None = None,
        level: int = 20,
        at: datetime | None = None,
        operation: str = "create",
        annotation_id: UUID | None = None,
        reply_to: UUID | None = None,
        observed: tuple[datetime | None, datetime | None] | None = None,
        rejected: Sequence[str] = (),
    ) -> UUID:
        """Insert a revision that becomes the current one; give the annotation's id."""
        self.number += 1
        number = self.number
        at = at or moment(number)
        revision_id = UUID(int=(0x019A << 112) + (7 << 76) + (2 << 62) + (number << 14))
        annotation_id = annotation_id or revision_id
        created = await self.connection.fetchval(
            "select min(created_at) from revision where annotation_id = $1",
            annotation_id,
        )
        first = await self.connection.fetchrow(
            """
            select instrument, day_obs, seq_num, max(day_obs) over () from target
            where key = any($1)
            order by day_obs nulls last, seq_num nulls last, key limit 1
            """,
            keys,
        )
        counted = operation != "retract" and (not keys or {*keys} > {*rejected})
        list_id = written = None
        if len(keys) > 16:
            list_id, written = list_of(keys)
            await self.connection.execute(
                "insert into target_list values ($1, $2) on conflict do nothing",
                list_id,
                written,
            )
        body: dict[str, Any] = {
            "annotation_id": str(annotation_id),
            "revision_id": str(revision_id),
            "kind": "revision",
            "operation": operation,
            "text": text,
            "flag": flag,
            "tags": list(tags),
            "author": author,
            "level": level,
            "target_count": len(keys),
        }
        if list_id is None:
            body["targets"] = list(keys)
        else:
            body["list_id"] = str(list_id)
        await self._record(revision_id, "revision", body)
        await self.connection.execute(
            """
            update revision set current_to = $2, counted = false
            where annotation_id = $1 and current_to is null
            """,
            annotation_id,
            number,
        )
        begin, end = observed or (None, None)
        await self.connection.execute(
            """
            insert into revision (revision_id, annotation_id, clock, operation, author,
              author_kind, voter, rank, "check", flag, tags, level, reply_to,
              created_at, observed_begin, observed_end, list_id, target_count,
              instrument, day_obs, seq_num, day_last, counted, number, current_from,
              annotation_created_at, words)
            values ($1, $2, $3, $4, $5, $6, $5, 1, $7, $8, $9, $10, $11, $12, $13, $14,
              $15, $16, $17, $18, $19, $20, $21, $3, $3, $22,
              to_tsvector('simple', $23))
            """,
            revision_id,
            annotation_id,
            number,
            operation,
            author,
            author_kind,
            check,
            flag,
            list(tags),
            level,
            reply_to,
            at,
            begin,
            end,
            list_id,
            len(keys),
            *(first or (None, None, None, None)),
            counted,
            created or at,
            text,
        )
        await self.connection.execute(
            """
            update said set to_number = $2
            where source_id = $1 and to_number is null
            """,
            annotation_id,
            number,
        )
        for ordinal, key in enumerate(keys):
            if counted and key not in rejected:
                await self._said(annotation_id, revision_id, key, ordinal, flag, author)
        return annotation_id

    async def _said(
        self,
        annotation_id: UUID,
        revision_id: UUID,
        key: str,
        ordinal: int,
        flag: str | None,
        author: str,
    ) -> None:
        await self.connection.execute(
            """
            insert into said (source_id, target_id, from_number, annotation_id,
              revision_id, ordinal, author, voter, rank, flag, vote_id, vote_clock,
              tags, instrument, day_obs, seq_num)
            select $1, target_id, $2, $1, $3, $4, $5, $5, 1, $6, $3, $2, '{}',
              instrument, day_obs, seq_num
            from target where key = $7
            """,
            annotation_id,
            self.number,
            revision_id,
            ordinal,
            author,
            flag,
            key,
        )

    async def review(self, annotation_id: UUID, *, verdict: str = "reject") -> UUID:
        """Insert a review row; it changes no view."""
        self.number += 1
        review_id = UUID(int=(0x019B << 112) + self.number)
        await self._record(
            review_id, "review", {"review_id": str(review_id), "verdict": verdict}
        )
        await self.connection.execute(
            """
            insert into review (review_id, annotation_id, revision_id, verdict,
              reviewer, rank, clock, number)
            values ($1, $2, $2, $3, 'bob', 1, $4, $4)
            """,
            review_id,
            annotation_id,
            verdict,
            self.number,
        )
        return review_id

    async def state(
        self,
        key: str,
        *,
        flag: str | None = None,
        disputed: bool = False,
        tags: Sequence[str] = (),
        follow_ups: Sequence[UUID] = (),
        empty: bool = False,
    ) -> str:
        """Insert the state of a target that is there."""
        self.number += 1
        await self.connection.execute(
            """
            insert into target_state (target_id, kind, flag, decided_by, outvoted,
              disputed, bots_differ, follow_ups, tags, notes, empty, number, basis,
              instrument, day_obs, seq_num)
            select class_id, kind, $2, '{}', '{}', $3, false, $4, $5, 1, $6, $7, 0,
              instrument, day_obs, seq_num
            from target where key = $1
            """,
            key,
            flag,
            disputed,
            list(follow_ups),
            list(tags),
            empty,
            self.number,
        )
        return key

    async def _record(self, record_id: UUID, kind: str, body: dict[str, Any]) -> None:
        await self.connection.execute(
            """
            insert into record (record_id, kind, clock, site_id, incarnation,
              origin_number, hash, body)
            values ($1, $2, $3, $4, '0a1b2c3d', $3, '\\x00', $5)
            """,
            record_id,
            kind,
            self.number,
            SITE_ID,
            canonical(body),
        )
