"""A database of exposurelog as observatories have it, with years of messages.

    rows = realistic_rows(1000)
    await create(url)
    await insert(url, rows)
    assert await read(url) == rows

A row is a dictionary with the columns of the table. The random ones have a seed: nights
of three instruments, edits, edits of edited messages, deletions; `odd_rows` has what no
rule of today would take.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

Row = dict[str, Any]
"""A message: values by column; `is_valid` is left to the database."""

LAYOUT = """
create type exposure_flag_enum as enum ('none', 'junk', 'questionable');
create table message (
    id uuid primary key,
    site_id varchar(16),
    obs_id varchar not null,
    instrument varchar not null,
    day_obs integer,
    seq_num integer,
    message_text text not null,
    level integer not null,
    tags text[] not null,
    urls text[] not null,
    user_id varchar not null,
    user_agent varchar not null,
    is_human boolean not null,
    is_valid boolean generated always as (date_invalidated is null) stored,
    exposure_flag exposure_flag_enum not null,
    date_added timestamp not null,
    date_invalidated timestamp,
    parent_id uuid references message
);
create index on message (date_added);
"""
"""The table of exposurelog."""

COLUMNS = (
    "id",
    "site_id",
    "obs_id",
    "instrument",
    "day_obs",
    "seq_num",
    "message_text",
    "level",
    "tags",
    "urls",
    "user_id",
    "user_agent",
    "is_human",
    "exposure_flag",
    "date_added",
    "date_invalidated",
    "parent_id",
)
"""Its columns that somebody writes."""

_FIRST = datetime(2021, 9, 1, 22, 0, 0)  # noqa: DTZ001 - TAI has no zone

_WORDS = (
    "guider lost lock",
    "satellite trail",
    "dome vignetting above 70 degrees",
    "shutter stuck",
    "PSF elongated",
    "seeing jumped to 1.9",
    "clouds in the west",
    "header missing",
    "aborted by the script",
    "good for calibration",
)

_TAGS = ("vignetting", "trail", "donut", "seeing", "clouds", "guiding", "undefined_tag")


def a_row(number: int = 0, **given: Any) -> Row:  # noqa: ANN401 - any column
    """Make a row of LSSTCam with fixed content; columns may be given."""
    date_added = given.get("date_added", _FIRST + timedelta(minutes=number))
    row: Row = {
        "id": UUID(int=(0xA0 << 120) + number),
        "site_id": "summit",
        "obs_id": f"MC_O_20251119_{number % 1000:06d}",
        "instrument": "LSSTCam",
        "day_obs": 20251119,
        "seq_num": number % 1000,
        "message_text": f"message {number}",
        "level": 20,
        "tags": [],
        "urls": [],
        "user_id": "jdoe",
        "user_agent": "LOVE",
        "is_human": True,
        "exposure_flag": "none",
        "date_added": date_added,
        "date_invalidated": None,
        "parent_id": None,
    }
    assert given.keys() <= row.keys()
    return row | given


def realistic_rows(count: int, *, seed: int = 1) -> list[Row]:
    """Make rows as years of nights leave them, parents before their children."""
    chance = Random(seed)
    rows: list[Row] = []
    day, moment = _FIRST, _FIRST
    while len(rows) < count:
        if chance.random() < 0.02:  # the next night
            day += timedelta(days=chance.choice((1, 1, 1, 2, 5)))
            moment = max(moment, day)
        moment += timedelta(seconds=chance.uniform(5, 120))
        kind = chance.random()
        if rows and kind < 0.15:
            near = rows[-min(len(rows), 400) :]
            rows.append(_edited(chance, chance.choice(near), moment))
        elif rows and kind < 0.2:
            row = chance.choice(rows[-min(len(rows), 400) :])
            row["date_invalidated"] = row["date_invalidated"] or moment
        else:
            rows.append(_said(chance, day, moment))
    return rows


def _said(chance: Random, day: datetime, moment: datetime) -> Row:
    instrument, prefix = chance.choice(
        (("LSSTCam", "MC"), ("LSSTCam", "MC"), ("LATISS", "AT"), ("LSSTComCam", "CC"))
    )
    day_obs = int(day.strftime("%Y%m%d"))
    seq_num = chance.randrange(1, 900)
    is_human = chance.random() < 0.8
    return a_row(
        id=_any_id(chance),
        site_id=chance.choice(("summit", "summit", "base", "tucson")),
        obs_id=f"{prefix}_O_{day_obs}_{seq_num:06d}",
        instrument=instrument,
        day_obs=day_obs,
        seq_num=seq_num,
        message_text=_text(chance),
        level=chance.choice((10, 20, 20, 20, 30, 40)),
        tags=chance.sample(_TAGS, chance.choice((0, 0, 1, 2))),
        urls=[f"https://jira.example.org/OBS-{chance.randrange(999)}"]
        * chance.choice((0, 0, 0, 1)),
        user_id=f"observer{chance.randrange(40)}" if is_human else "quality-bot",
        user_agent=chance.choice(("LOVE", "LOVE", "rubintv", "")),
        is_human=is_human,
        exposure_flag=chance.choice(("none",) * 6 + ("questionable", "junk")),
        date_added=moment,
    )


def _edited(chance: Random, old: Row, moment: datetime) -> Row:
    """Edit a row as exposurelog does: also one that was edited or deleted before."""
    old["date_invalidated"] = moment
    change: Row = chance.choice(
        (
            {"message_text": _text(chance)},
            {"exposure_flag": chance.choice(("none", "questionable", "junk"))},
            {"tags": chance.sample(_TAGS, 2), "level": 30},
            {"user_id": f"observer{chance.randrange(40)}", "is_human": True},
        )
    )
    new: Row = {
        "id": _any_id(chance),
        "date_added": moment,
        "date_invalidated": None,
        "parent_id": old["id"],
    }
    return old | change | new


def _text(chance: Random) -> str:
    return ", ".join(chance.choices(_WORDS, k=chance.choice((1, 1, 2, 6))))


def _any_id(chance: Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)


def odd_rows() -> list[Row]:
    """Make rows that exposurelog took and no rule of today would take."""
    chance = Random(7)
    names = (
        "",
        " ",
        "a/b",
        "a%2Fb",
        "tab\tand\nline",
        "\x01\x1f\x7f\x85",
        "\u202e\u200b\ufeff",
        "ÄÖÜ ß 天文台 🔭",
        "e\u0301 and \u00e9",
        "'; drop table message; --",
        '{"a", b\\c}',
        "\U0010ffff\ue000\ufffe",
        "*",
        "null",
        "sha256-x",
        "x" * 600,
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=6_000)),
    )
    rows = [
        a_row(i, instrument=name, obs_id=f"obs {i}", user_id="jdoe")
        for i, name in enumerate(names)
    ]
    rows += [a_row(100 + i, obs_id=name) for i, name in enumerate(names)]
    rows += [a_row(200 + i, user_id=name) for i, name in enumerate(names)]
    rows += [
        a_row(
            300 + i, message_text=name, user_agent=name, tags=[name, name], urls=[name]
        )
        for i, name in enumerate(names)
    ]
    rows += [a_row(400 + i, site_id=name[:16]) for i, name in enumerate(names)]
    rows += [
        a_row(500, level=40_000, day_obs=20250732, seq_num=2**31 - 1),
        a_row(501, level=-(2**31), day_obs=0, seq_num=-5),
        a_row(502, level=2**31 - 1, day_obs=-(2**31)),
        a_row(503, day_obs=None, seq_num=None, obs_id="nobody knows"),
        a_row(504, tags=[], urls=["", "no link", "a b"]),
        a_row(505, tags=["UPPER", "a", "a", "", "tag with blanks"]),
        a_row(506, tags=["\x1f", "a\x1fb", "", "NULL", '"', "\\", "{}", ","]),
        a_row(507, message_text=_many_words(chance, 2_500_000)),
        a_row(508, message_text="one_long_word" * 100_000),
        a_row(509, message_text="天" * 700_000),
        a_row(510, obs_id="MC_O_20251119_7", seq_num=8),
        a_row(511, instrument="lsstcam"),
        a_row(512, instrument="LATISS", obs_id="MC_O_20251119_000001"),
        a_row(513, date_added=datetime.min),  # noqa: DTZ901 - TAI has no zone
        a_row(514, date_added=datetime.max),  # noqa: DTZ901 - TAI has no zone
        a_row(515, user_id="a#b", is_human=False),
        a_row(516, tags=[f"tag_{i}" for i in range(500)]),
    ]
    return rows + _odd_families()


def _odd_families() -> list[Row]:
    """Make rows whose parents and dates no clock of today would give."""
    at = _FIRST
    hour = timedelta(hours=1)
    first, last = datetime.min, datetime.max  # noqa: DTZ901 - TAI has no zone

    def one(number: int, parent: int | None = None, **given: Any) -> Row:  # noqa: ANN401
        parent_id = None if parent is None else a_row(parent)["id"]
        return a_row(number, parent_id=parent_id, **given)

    return [
        # A fork: three edits of one message, two of them still valid.
        one(600, date_added=at, date_invalidated=at + 3 * hour),
        one(601, 600, date_added=at + hour),
        one(602, 600, date_added=at + 2 * hour, date_invalidated=at + 3 * hour),
        one(603, 600, date_added=at + 3 * hour),
        # An edit of the edit that was deleted, which names another exposure.
        one(604, 602, date_added=at + 4 * hour, obs_id="other", instrument="else"),
        # A parent that is valid beside its edit.
        one(610, date_added=at),
        one(611, 610, date_added=at + hour),
        one(612, 610, date_added=at + hour),
        # Children older than their parents, and as old.
        one(620, date_added=at, date_invalidated=at - hour),
        one(621, 620, date_added=at - hour, date_invalidated=at - 2 * hour),
        one(622, 621, date_added=at - 2 * hour),
        one(623, 621, date_added=at - 2 * hour, date_invalidated=first),
        one(624, 620, date_added=first),
        one(630, date_added=at, date_invalidated=at),
        one(631, 630, date_added=at, date_invalidated=at),
        one(632, 631, date_added=at),
        one(633, 630, date_added=at),
        # The ends of all time.
        one(640, date_added=last, date_invalidated=first),
        one(641, 640, date_added=last, date_invalidated=last),
        one(642, 641, date_added=first),
        # Rings.
        one(650, 650, date_added=at),
        one(651, 652, date_added=at + hour, date_invalidated=at),
        one(652, 653, date_added=at, date_invalidated=at),
        one(653, 651, date_added=at, date_invalidated=at),
        one(654, 653, date_added=at - hour),
    ]


def _many_words(chance: Random, size: int) -> str:
    words: list[str] = []
    while size > 0:
        words.append(f"{chance.getrandbits(40):x}-{chance.getrandbits(16):x}")
        size -= len(words[-1]) + 1
    return " ".join(words)


# ------------------------------------------------------------------- the database


async def create(url: str) -> None:
    """Make the table in an empty database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(LAYOUT)
    finally:
        await connection.close()


async def insert(url: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows, in any order; a parent may be among them or there already."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("set constraints all deferred")
            await connection.execute(
                """
                create temp table fresh on commit drop as
                  select * from message with no data;
                alter table fresh alter exposure_flag type text, drop is_valid
                """
            )
            await connection.copy_records_to_table(
                "fresh",
                columns=COLUMNS,
                records=[tuple(row[name] for name in COLUMNS) for row in rows],
            )
            names = ", ".join(COLUMNS)
            typed = names.replace("exposure_flag", "exposure_flag::exposure_flag_enum")
            # One statement: the table's reference to itself is checked at its end.
            await connection.execute(
                f"insert into message ({names}) select {typed} from fresh"
            )
    finally:
        await connection.close()


async def change(url: str, statement: str, *arguments: object) -> None:
    """Change the table as exposurelog or somebody else would."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def read(url: str) -> list[Row]:
    """Read all rows, by id, with `is_valid`."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            f"select {', '.join(COLUMNS)}, is_valid from message order by id"
        )
    finally:
        await connection.close()
    return [dict(row) for row in rows]


def by_id(rows: Sequence[Row]) -> list[Row]:
    """Sort rows and say which are valid, as `read` gives them."""
    return [
        row | {"is_valid": row["date_invalidated"] is None}
        for row in sorted(rows, key=lambda row: row["id"])
    ]
