"""Rows of any exposurelog database become records that show them as they were."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annolog.domain import tai, views
from annolog.domain.records import Record
from annolog.domain.targets import MAX_KEY_BYTES, ExposureTarget, parse_key
from annolog.exposurelog.lines import Found, Lines
from annolog.exposurelog.rows import (
    Line,
    Row,
    invalidation,
    invalidation_id,
    line_of,
    statement,
    target_key,
)
from tests.support.memory import Memory

NIGHT = datetime(2025, 11, 20, 3, 12, 0, 123)  # noqa: DTZ001 - TAI has no zone
FIRST, LAST = datetime.min, datetime.max  # noqa: DTZ901 - TAI has no zone
ALONE = Line(UUID(int=1), 0)


T = TypeVar("T")


def pieces(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def a_row(**given: Any) -> Row:  # noqa: ANN401 - any column
    whole = {
        "message_id": UUID(int=1),
        "site_id": "summit",
        "obs_id": "MC_O_20251119_000123",
        "instrument": "LSSTCam",
        "day_obs": 20251119,
        "seq_num": 123,
        "message_text": "guider lost lock",
        "level": 20,
        "tags": (),
        "urls": (),
        "user_id": "jdoe",
        "user_agent": "LOVE",
        "is_human": True,
        "exposure_flag": "none",
        "date_added": NIGHT,
        "date_invalidated": None,
        "parent_id": None,
    }
    return Row(**{**whole, **given})


def fields_of(row: Row) -> Mapping[str, Any]:
    return statement(row, line_of(row, None, continues=False)).fields()


# -------------------------------------------------------------------- single rows


def test_a_row_is_a_revision_with_its_own_id_words_and_date() -> None:
    row = a_row(
        tags=("vignetting", "no tag"),
        urls=("https://example.org",),
        exposure_flag="junk",
        level=200,
    )

    record = statement(row, line_of(row, None, continues=False))
    fields = record.fields()

    assert record.record_id == row.message_id
    assert (record.site_id, record.incarnation, record.origin_number) == (
        "exposurelog",
        "00000000",
        0,
    )
    assert fields["annotation_id"] == fields["revision_id"] == str(row.message_id)
    assert (fields["operation"], fields["parent_id"]) == ("create", None)
    assert (fields["text"], fields["level"]) == ("guider lost lock", 200)
    assert fields["tags"] == ["vignetting", "no tag"]
    assert fields["uncurated"] == ["no tag"]
    assert fields["flag"] == "junk"
    assert fields["targets"] == ["exposure:LSSTCam/2025111900123"]
    assert fields["created_at"] == "2025-11-20T03:11:23.000123Z"
    assert (fields["author"], fields["voter"], fields["rank"]) == (
        "jdoe",
        "jdoe",
        "human",
    )
    assert (fields["actor"], fields["authenticated_by"]) == (None, "import")
    assert fields["exposurelog"] == {
        "site_id": "summit",
        "obs_id": "MC_O_20251119_000123",
        "instrument": "LSSTCam",
        "day_obs": 20251119,
        "seq_num": 123,
        "date_added": "2025-11-20T03:12:00.000123",
    }


def test_a_program_has_the_rank_of_a_bot() -> None:
    fields = fields_of(a_row(user_id="a#b", is_human=False))

    assert (fields["author_kind"], fields["rank"]) == ("bot", "bot")
    assert fields["voter"] == "a##b#"


def test_what_is_unknown_is_left_out_of_the_old_names() -> None:
    names = fields_of(a_row(day_obs=None, seq_num=None))["exposurelog"]

    assert names.keys() == {"site_id", "obs_id", "instrument", "date_added"}


def test_a_valid_row_has_no_end() -> None:
    assert invalidation(a_row(), ALONE) is None


def test_the_end_of_a_row_is_a_retraction_just_behind_it() -> None:
    row = a_row(date_invalidated=NIGHT + timedelta(hours=1))
    line = line_of(row, None, continues=False)

    end = invalidation(row, line)

    assert end is not None
    fields = end.fields()
    assert (fields["operation"], fields["parent_id"]) == (
        "retract",
        str(row.message_id),
    )
    assert fields["annotation_id"] == str(line.annotation_id)
    assert fields["clock"] == line.clock + 1
    assert fields["created_at"] == "2025-11-20T04:11:23.000123Z"
    assert fields["exposurelog"]["date_invalidated"] == "2025-11-20T04:12:00.000123"


@given(st.uuids(), st.datetimes(), st.datetimes())
def test_of_two_ends_the_later_one_has_the_lesser_id(
    message_id: UUID, one: datetime, other: datetime
) -> None:
    ids = [invalidation_id(message_id, moment) for moment in sorted((one, other))]

    assert ids[0] == ids[1] if one == other else ids[0] > ids[1]
    assert ids[0].version == 8
    assert ids[0].variant == UUID(int=0x8 << 60).variant


# ------------------------------------------------------------------------ targets


@pytest.mark.parametrize(
    ("instrument", "obs_id", "key"),
    [
        ("LSSTCam", "MC_O_20251119_000123", "exposure:LSSTCam/2025111900123"),
        ("LATISS", "AT_O_20251119_000007", "exposure:LATISS/2025111900007"),
        (
            "LATISS",
            "MC_O_20251119_000123",
            "exposure:LATISS/obs_id=MC_O_20251119_000123",
        ),
        ("lsstcam", "MC_O_20251119_000123", None),
        ("LSSTCam", "2025111900123", "exposure:LSSTCam/obs_id=2025111900123"),
        ("my cam", "a/b", "exposure:my%20cam/obs_id=a%2Fb"),
    ],
)
def test_a_shipped_rule_that_fits_gives_the_integer_id(
    instrument: str, obs_id: str, key: str | None
) -> None:
    assert target_key(instrument, obs_id) == (
        key or f"exposure:{instrument}/obs_id={obs_id}"
    )


NAMES = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="\x01\x1f\x85aé天\U0010ffff/%=", max_size=200),
    st.sampled_from(["", "LSSTCam", "x" * 500, "é" * 500, "MC_O_20251119_000123"]),
)
"""Names with any characters."""


@given(NAMES, NAMES)
def test_any_names_have_a_key_of_their_own(instrument: str, obs_id: str) -> None:
    key = target_key(instrument, obs_id)

    target = parse_key(key)
    assert isinstance(target, ExposureTarget)
    assert len(key) <= MAX_KEY_BYTES
    assert key != target_key(instrument, obs_id + "x")
    assert key != target_key(instrument + "x", obs_id)
    assert key == target_key(instrument, obs_id)


# ----------------------------------------------------------------------- families

DATES = st.one_of(
    st.sampled_from([NIGHT + timedelta(hours=n) for n in range(4)]),
    st.sampled_from([FIRST, FIRST + timedelta(seconds=9), LAST]),
    st.datetimes(),
)


@st.composite
def families(draw: st.DrawFn) -> list[Row]:
    """Draw rows that descend from each other in any shape, rings included."""
    ids = draw(st.lists(st.uuids(), min_size=1, max_size=9, unique=True))
    words = st.tuples(*[st.text(max_size=5)] * 2) | st.just(())
    numbers = st.none() | st.integers(-(2**31), 2**31 - 1)
    unknown = UUID(int=0)
    return [
        a_row(
            message_id=message_id,
            site_id=draw(st.sampled_from(["summit", "base"])),
            obs_id=draw(st.sampled_from(["a", "b", "MC_O_20251119_000123"])),
            instrument=draw(st.sampled_from(["LSSTCam", "x"])),
            day_obs=draw(numbers),
            seq_num=draw(numbers),
            tags=draw(words),
            urls=draw(words),
            user_id=draw(st.text(max_size=3)),
            level=draw(st.integers(-(2**31), 2**31 - 1)),
            is_human=draw(st.booleans()),
            exposure_flag=draw(st.sampled_from(["none", "junk", "questionable"])),
            date_added=draw(DATES),
            date_invalidated=draw(st.none() | DATES),
            parent_id=draw(st.none() | st.sampled_from([*ids, *ids, unknown])),
        )
        for message_id in ids
        if message_id != unknown
    ]


def found(rows: Sequence[Row]) -> list[Found]:
    """Give rows as a source does: by date, with what it says of each one's place."""
    known = {row.message_id: row for row in rows}
    ordered = sorted(rows, key=lambda row: (row.date_added, row.message_id))
    children: dict[UUID | None, list[Row]] = {}
    for row in ordered:
        children.setdefault(row.parent_id, []).append(row)
    given = []
    for row in ordered:
        parent = known.get(row.parent_id) if row.parent_id else None
        first = children[row.parent_id][0] is row
        may_continue = first and parent is not None and parent.date_invalidated
        given.append(
            Found(
                row,
                has_children=row.message_id in children,
                parent_is_here=parent is not None,
                may_continue=bool(may_continue),
            )
        )
    return given


def records_of(rows: Sequence[Row], piece: int = 1) -> list[Record]:
    """Make all records, as an import that reads so many rows at a time."""
    lines = Lines()
    made: list[Record] = []
    ordered = [
        one for taken in pieces(found(rows), piece) for one in lines.ordered(taken)
    ]
    for one in (*ordered, *lines.rest()):
        line = lines.place(one)
        made.append(statement(one.row, line))
        end = invalidation(one.row, line)
        made += [end] if end is not None else []
    return made


def wanted(row: Row) -> dict[str, Any]:
    """Say what is to be shown of a row, where nobody knows more of its exposure."""
    until = row.date_invalidated
    return {
        "site_id": row.site_id,
        "instrument": row.instrument,
        "obs_id": row.obs_id,
        "date_added": tai.format(row.date_added),
        "date_invalidated": None if until is None else tai.format(until),
        "parent_id": None if row.parent_id is None else str(row.parent_id),
        "kept": True,
        **({} if row.day_obs is None else {"day_obs": row.day_obs}),
        **({} if row.seq_num is None else {"seq_num": row.seq_num}),
    }


def of(shown: views.Row, names: dict[str, Any]) -> dict[str, Any]:
    return {name: shown[name] for name in names}


@settings(max_examples=300)
@given(families())
def test_every_row_of_any_family_is_shown_as_it_was(rows: list[Row]) -> None:
    made = records_of(rows)

    shown = views.views(made).messages
    bodies = {record.record_id: record.fields() for record in made}

    assert shown.keys() == {str(row.message_id) for row in rows}
    for row in rows:
        names = wanted(row)
        assert of(shown[str(row.message_id)], names) == names
        body = bodies[row.message_id]
        assert (body["text"], body["level"]) == (row.message_text, row.level)
        assert (body["tags"], body["urls"]) == (list(row.tags), list(row.urls))
        assert (body["author"], body["user_agent"]) == (row.user_id, row.user_agent)


@given(families(), st.integers(2, 5), st.randoms(use_true_random=False))
def test_neither_pieces_nor_the_order_of_rows_change_a_record(
    rows: list[Row], piece: int, chance: Random
) -> None:
    first = {record.record_id: record.hash for record in records_of(rows)}
    chance.shuffle(rows)
    again = {record.record_id: record.hash for record in records_of(rows, piece)}

    assert first == again


@settings(max_examples=50)
@given(families(), st.randoms(use_true_random=False))
def test_records_that_come_in_any_order_show_the_same(
    rows: list[Row], chance: Random
) -> None:
    made = records_of(rows)
    shuffled = [*made, *made[::2]]
    chance.shuffle(shuffled)
    storage = Memory()
    for taken in pieces(shuffled, 3):
        storage.receive(taken)

    assert storage.stored().messages == views.views(made).messages


@given(families())
def test_parents_come_first_unless_they_form_rings(rows: list[Row]) -> None:
    lines = Lines()
    ordered = lines.ordered(found(rows))
    ids = [one.row.message_id for one in ordered]
    known = {row.message_id for row in rows}

    for at, one in enumerate(ordered):
        parent = one.row.parent_id
        assert parent not in known or parent in ids[:at]
    rest = [one.row.message_id for one in lines.rest()]
    assert sorted(ids + rest) == sorted(known)


@given(families())
def test_an_annotation_has_one_create_and_clocks_that_grow(rows: list[Row]) -> None:
    made = {record.record_id: record for record in records_of(rows)}
    creates: dict[str, int] = {}
    for record in made.values():
        fields = record.fields()
        if fields["operation"] == "create":
            at = fields["annotation_id"]
            creates[at] = creates.get(at, 0) + 1
        else:
            parent = made[UUID(fields["parent_id"])]
            assert parent.fields()["annotation_id"] == fields["annotation_id"]
            assert parent.clock < record.clock

    assert set(creates.values()) == {1}
    assert {record.fields()["annotation_id"] for record in made.values()} == set(
        creates
    )


def test_a_long_chain_of_edits_is_one_annotation() -> None:
    rows = [
        a_row(
            message_id=UUID(int=n),
            date_added=NIGHT - timedelta(hours=n),
            date_invalidated=NIGHT if n < 2000 else None,
            parent_id=UUID(int=n - 1) if n > 1 else None,
        )
        for n in range(1, 2001)
    ]

    made = records_of(rows, 100)

    assert {record.fields()["annotation_id"] for record in made} == {str(UUID(int=1))}
    assert len(made) == 3999


def test_an_edit_that_moves_the_end_of_its_parent_moves_what_is_shown() -> None:
    hours = [NIGHT + timedelta(hours=n) for n in range(3)]
    first = a_row(date_invalidated=hours[1])
    edit = a_row(
        message_id=UUID(int=2), parent_id=first.message_id, date_added=hours[1]
    )
    later = a_row(date_invalidated=hours[2])
    fork = a_row(
        message_id=UUID(int=3), parent_id=first.message_id, date_added=hours[2]
    )

    made = records_of([first, edit]) + records_of([later, edit, fork])

    shown = views.views(made).messages
    for row in (later, edit, fork):
        assert of(shown[str(row.message_id)], wanted(row)) == wanted(row)


def test_the_first_seconds_of_the_calendar_have_a_moment_in_utc() -> None:
    fields = fields_of(a_row(date_added=FIRST))

    assert fields["created_at"] == "0001-01-01T00:00:00.000001Z"
    assert fields["exposurelog"]["date_added"] == "0001-01-01T00:00:00"


def test_a_leap_second_is_kept_in_tai() -> None:
    moment = tai.from_utc(datetime(2017, 1, 1, tzinfo=UTC)) - timedelta(seconds=1)

    fields = fields_of(a_row(date_added=moment))

    assert fields["exposurelog"]["date_added"] == tai.format(moment)
