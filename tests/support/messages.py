"""Messages put into the tables as they are, and found again in plain Python."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any
from uuid import UUID

import asyncpg

from annolog.domain import records
from annolog.storage.database import BULK, connect

SHOWN_AS = {
    None: "none",
    "withdraw": "none",
    "good": "none",
    "junk": "junk",
    "questionable": "questionable",
    "follow_up": "questionable",
    "not_known_here": "questionable",
}
"""What exposurelog's clients see of a flag, with the shipped vocabulary."""

FLAGS = ("none", "junk", "questionable")
"""The order of `exposure_flag`."""

Shown = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AMessage:
    """A message with a default for everything but its number."""

    number: int
    site_id: str = "summit"
    obs_id: str = "MC_O_20261119_000123"
    instrument: str = "LSSTCam"
    day_obs: int | None = 20261119
    seq_num: int | None = 123
    message_text: str = "a streak"
    level: int = 20
    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    user_id: str = "jdoe"
    user_agent: str | None = "LOVE"
    is_human: bool = True
    flag: str | None = None
    date_added: datetime = datetime(2026, 11, 20, 3, 12, 37)  # noqa: DTZ001 - TAI
    date_invalidated: datetime | None = None
    parent: int | None = None

    @property
    def id(self) -> str:
        return str(_id(self.number))

    def shown(self) -> Shown:
        """Give it as the API does."""
        return {
            "id": self.id,
            "site_id": self.site_id,
            "obs_id": self.obs_id,
            "instrument": self.instrument,
            "day_obs": self.day_obs,
            "seq_num": self.seq_num,
            "message_text": self.message_text,
            "level": self.level,
            "tags": list(self.tags),
            "urls": list(self.urls),
            "user_id": self.user_id,
            "user_agent": self.user_agent or "",
            "is_human": self.is_human,
            "is_valid": self.date_invalidated is None,
            "exposure_flag": SHOWN_AS[self.flag],
            "date_added": self.date_added.isoformat(),
            "date_invalidated": self.date_invalidated
            and self.date_invalidated.isoformat(),
            "parent_id": None if self.parent is None else str(_id(self.parent)),
        }


def _id(number: int) -> UUID:
    # Spread, so that ids are not in the order in which messages were made.
    return UUID(int=(number * 0x9E3779B97F4A7C15 % 2**62) << 64 | 0x8 << 60)


async def insert(database_url: str, messages: Sequence[AMessage]) -> None:
    """Put messages into the tables, each with a revision of its own."""
    connection = await connect(database_url, BULK)
    try:
        await connection.copy_records_to_table(
            "record",
            records=[_record(one) for one in messages],
            columns=[
                *("record_id", "kind", "clock", "site_id", "incarnation"),
                *("origin_number", "hash", "body"),
            ],
        )
        await _insert_revisions(connection, messages)
        await connection.copy_records_to_table(
            "message",
            records=[
                (
                    *(_id(one.number), _id(one.number), _id(one.number), one.number),
                    *(one.site_id, one.instrument, one.obs_id, one.day_obs),
                    *(one.seq_num, one.date_added, one.date_invalidated),
                    *(None if one.parent is None else _id(one.parent), False),
                )
                for one in messages
            ],
            columns=[
                *("message_id", "annotation_id", "revision_id", "target_id"),
                *("site_id", "instrument", "obs_id", "day_obs", "seq_num"),
                *("date_added", "date_invalidated", "parent_id", "kept"),
            ],
        )
    finally:
        await connection.close()


async def _insert_revisions(
    connection: "asyncpg.Connection[asyncpg.Record]", messages: Sequence[AMessage]
) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    await connection.executemany(
        """
        insert into revision (revision_id, annotation_id, clock, operation, author,
            author_kind, voter, rank, flag, tags, level, created_at, target_count,
            counted, number, annotation_created_at, words)
        values ($1, $1, 1, 'create', $2, $3, $2, 1, $4, $5, $6, $7, 1, true, 1, $7, '')
        """,
        [
            (
                *(_id(one.number), one.user_id, _kind(one), one.flag),
                *(list(one.tags), one.level, now),
            )
            for one in messages
        ],
    )


def _record(one: AMessage) -> tuple[Any, ...]:
    body = records.canonical(
        {
            "author": one.user_id,
            "author_kind": _kind(one),
            "flag": one.flag,
            "level": one.level,
            "reason": "text: a streak",
            "tags": one.tags,
            "text": one.message_text,
            "urls": one.urls,
            "user_agent": one.user_agent,
        }
    )
    return (_id(one.number), "revision", 1, one.site_id, "0" * 8, 1, b"", body)


def _kind(one: AMessage) -> str:
    return "human" if one.is_human else "bot"


# ------------------------------------------------------------------ in plain Python


def found(messages: Iterable[Shown], asked: Mapping[str, Any]) -> list[Shown]:
    """Find messages as the API should.

    Parameters
    ----------
    messages
        All there are.
    asked
        Query parameters; values as Python has them.
    """
    kept = [one for one in messages if _fits(one, {"is_valid": "true", **asked})]
    order = list(asked.get("order_by", ()))
    if not {"id", "-id"} & set(order):
        order.append("id")
    for name in reversed(order):
        field, down = name.removeprefix("-"), name.startswith("-")
        kept.sort(key=cmp_to_key(_comparing(field)), reverse=down)
    start = asked.get("offset", 0)
    return kept[start : start + asked.get("limit", 50)]


def _comparing(field: str) -> Any:  # noqa: ANN401 - what `cmp_to_key` takes
    def compare(one: Shown, other: Shown) -> int:
        a, b = one[field], other[field]
        if a is None or b is None:
            return (a is None) - (b is None)  # the last ones, when ascending
        if field == "exposure_flag":
            a, b = FLAGS.index(a), FLAGS.index(b)
        return int(a > b) - int(a < b)

    return compare


def _fits(one: Shown, asked: Mapping[str, Any]) -> bool:
    return all(_meets(one, name, value) for name, value in asked.items())


def _meets(one: Shown, name: str, value: Any) -> bool:  # noqa: ANN401, PLR0911 - a rule each
    start, _, field = name.partition("_")
    match start, name:
        case _, "order_by" | "offset" | "limit":
            return True
        case "min", _:
            return one[field] is not None and one[field] >= _plain(value)
        case "max", _:
            return one[field] is not None and one[field] < _plain(value)
        case "has", _:
            return (one[field] is not None) is value
        case _, "is_human" | "is_valid":
            return value == "either" or one[name] is (value == "true")
        case _, "obs_id" | "message_text":
            return value in one[name]
        case _, "tags" | "urls":
            return bool(set(one[name]) & set(value))
        case _, "exclude_tags":
            return not set(one["tags"]) & set(value)
        case _:
            return one[name.removesuffix("s")] in value


def _plain(value: Any) -> Any:  # noqa: ANN401 - a date or a number
    return value.isoformat() if isinstance(value, datetime) else value
