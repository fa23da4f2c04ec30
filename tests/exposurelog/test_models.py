"""Messages as JSON, from what the database gives."""

import json
from datetime import datetime
from random import Random
from uuid import UUID

from annolog.exposurelog import models
from annolog.exposurelog.flags import ShownFlags
from annolog.storage import database

BODY = (
    b'{"author":"ada","author_kind":"human","flag":null,"level":20,"tags":[],'
    b'"text":"","urls":[],"user_agent":null}'
)

CHANCE = Random(20261119)

MOMENTS = [
    datetime(year, 1 + day % 12, 1 + day % 28, hour, 59, second, micro)  # noqa: DTZ001
    for year in (1, 999, 1970, 2026, 9999)
    for micro in (0, 1, 10, 123_456, 500_000, 999_990, CHANCE.randrange(1_000_000))
    for day, hour, second in [(CHANCE.randrange(336), CHANCE.randrange(24), 0)]
]


async def test_moments_are_written_as_python_writes_them(database_url: str) -> None:
    connection = await database.connect(database_url, database.MESSAGES)
    try:
        written = await connection.fetch(
            "select moment::text from unnest($1::timestamp[]) as u(moment)", MOMENTS
        )
    finally:
        await connection.close()

    own = UUID(int=1)
    rows = [
        (own, "s", "o", "i", None, None, row["moment"], row["moment"], None, BODY)
        for row in written
    ]
    found = json.loads(models.list_as_json(rows, ShownFlags({None: "none"})))

    expected = [moment.isoformat() for moment in MOMENTS]
    assert [one["date_added"] for one in found] == expected
    assert [one["date_invalidated"] for one in found] == expected


def test_a_message_that_holds_has_no_end() -> None:
    row = (UUID(int=1), "s", "o", "i", 1, 2, "2026-11-19 03:12:37", None, None, BODY)

    found = json.loads(models.as_json(row, ShownFlags({None: "none"})))

    assert (found["date_added"], found["date_invalidated"], found["is_valid"]) == (
        "2026-11-19T03:12:37",
        None,
        True,
    )
