"""The latest part of the log, held once for all who read there."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from annolog.domain.events import LoggedChange, change_event
from annolog.domain.records import REDACTION_KINDS, canonical
from annolog.stream.tail import Bounds, Entry, Selection, Tail

ALL = Selection()
MANY = Bounds(1000, 10_000_000)
NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)


def a_change(
    number: int,
    *,
    kind: str = "revision",
    instruments: tuple[str, ...] = ("LSSTCam",),
    text: str = "wind",
) -> LoggedChange:
    return LoggedChange(
        number=number,
        record_id=UUID(int=number),
        kind=kind,
        operation="create",
        subject=str(UUID(int=number)),
        instruments=instruments,
        detail=None,
        body=canonical({"text": text}),
        committed_at=NOON,
        site_id="summit",
        incarnation="0a1b2c3d",
    )


def a_tail(*changes: LoggedChange, most: int = 100, most_bytes: int = 10**7) -> Tail:
    tail = Tail(most, most_bytes)
    tail.start(changes[0].number - 1 if changes else 0)
    tail.append(changes)
    return tail


def numbers(tail: Tail, after: int, wanted: Selection = ALL) -> list[int]:
    return [entry.number for entry in tail.page(after, wanted, MANY).entries]


def test_an_event_is_one_block_with_its_number_and_one_line_of_data() -> None:
    change = a_change(7, text="two\nlines, a \r and \u2028")
    entry = Entry(change)
    name, event, data, *rest = entry.frame.split(b"\n")
    assert (name, event, rest) == (b"id: 7", b"event: change", [b"", b""])
    assert data == b"data: " + change_event(change).structured()
    assert entry.event == change_event(change).structured()
    assert entry.brief.startswith(b"id: 7\nevent: change\ndata: {")
    assert entry.brief.count(b"\n") == 4


def test_a_reader_is_a_position() -> None:
    tail = a_tail(*(a_change(number) for number in range(11, 15)))
    assert numbers(tail, 10) == [11, 12, 13, 14]
    assert numbers(tail, 12) == [13, 14]
    assert numbers(tail, 14) == []
    assert tail.page(14, ALL, MANY).next_after == 14
    assert tail.covers(10)
    assert not tail.covers(9)


def test_a_position_above_all_stays_where_it_is() -> None:
    tail = a_tail(a_change(1))
    page = tail.page(99, ALL, MANY)
    assert (page.entries, page.next_after, page.more) == ((), 99, False)


def test_numbers_may_jump_where_a_life_of_the_database_began() -> None:
    tail = a_tail(a_change(5), a_change(1000))
    assert numbers(tail, 5) == numbers(tail, 700) == [1000]


def test_all_who_ask_the_same_get_the_same_bytes() -> None:
    tail = a_tail(a_change(1), a_change(2))
    page = tail.page(0, Selection(kind="revision"), MANY)
    assert tail.page(0, Selection(kind="revision"), MANY) is page
    assert page.frames is page.frames
    assert msgspec.json.decode(b"[" + page.items + b"]")[1]["sequence"][-1] == "2"
    tail.append([a_change(3)])
    assert numbers(tail, 0, Selection(kind="revision")) == [1, 2, 3]


def test_a_filter_leaves_out_and_still_goes_on() -> None:
    tail = a_tail(
        a_change(1),
        a_change(2, instruments=("LATISS", "LSSTCam")),
        a_change(3, kind="policy", instruments=()),
    )
    assert numbers(tail, 0, Selection(instrument="LATISS")) == [2]
    assert numbers(tail, 0, Selection(kind="policy")) == [3]
    assert numbers(tail, 0, Selection("policy", "LATISS")) == []
    assert tail.page(0, Selection("policy", "LATISS"), MANY).next_after == 3


def test_a_page_ends_at_its_bounds_and_one_change_always_fits() -> None:
    tail = a_tail(*(a_change(number) for number in range(1, 6)))
    size = len(Entry(a_change(1)).frame)
    for bounds, taken in (
        (Bounds(2, 10_000_000), 2),
        (Bounds(100, size * 3), 3),
        (Bounds(100, 1), 1),
    ):
        page = tail.page(0, ALL, bounds)
        assert (len(page.entries), page.next_after, page.more) == (taken, taken, True)
    assert not tail.page(3, ALL, Bounds(2, 10_000_000)).more


def test_the_oldest_are_let_go() -> None:
    tail = a_tail(*(a_change(number) for number in range(1, 11)), most=4)
    assert (tail.low, tail.high) == (6, 10)
    assert not tail.covers(5)
    assert numbers(tail, 6) == [7, 8, 9, 10]
    size = Entry(a_change(1)).size
    small = a_tail(*(a_change(n) for n in range(1, 10)), most_bytes=size * 3)
    assert numbers(small, small.low) == [7, 8, 9]
    # Even of one that is too large itself, so nothing grows without end.
    tiny = a_tail(a_change(1), most_bytes=10)
    assert (tiny.low, tiny.high, numbers(tiny, 1)) == (1, 1, [])


@pytest.mark.parametrize("kind", sorted(REDACTION_KINDS))
def test_words_that_were_redacted_are_not_held_any_longer(kind: str) -> None:
    tail = a_tail(a_change(1, text="secret"), a_change(2))
    tail.append([a_change(3), a_change(4, kind=kind), a_change(5)])
    assert not tail.covers(1)
    assert tail.covers(2)
    assert numbers(tail, 2) == [3, 4, 5]


def test_nothing_is_known_before_the_first_read() -> None:
    tail = Tail()
    assert not tail.started
    assert not tail.covers(10**9)
    tail.start(0)
    assert tail.covers(0)
