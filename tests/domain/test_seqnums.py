"""Sequence numbers as closed ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.errors import InvalidError
from annolog.domain.instruments import MAX_SEQ_NUM
from annolog.domain.seqnums import SeqNums, format_ranges, holes, parse_ranges

sets = st.sets(st.integers(0, 60))
written = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=8
)


@given(sets)
def test_numbers_make_sorted_ranges_that_do_not_touch(numbers: set[int]) -> None:
    found = SeqNums.of(numbers)
    assert list(found) == sorted(numbers)
    assert len(found) == len(numbers)
    assert all(n in found for n in numbers)
    pairs = zip(found.ranges, found.ranges[1:], strict=False)
    assert all(one[1] + 1 < other[0] for one, other in pairs)


@given(sets.filter(bool))
def test_text_and_numbers_are_inverse(numbers: set[int]) -> None:
    found = SeqNums.of(numbers)
    assert parse_ranges(str(found)) == found
    assert format_ranges(parse_ranges(format_ranges(found))) == format_ranges(found)


@given(written)
def test_ranges_in_any_order_give_their_union(pieces: list[tuple[int, int]]) -> None:
    text = ", ".join(f"{first}-{first + more}" for first, more in pieces)
    wanted = {n for first, more in pieces for n in range(first, first + more + 1)}
    assert set(parse_ranges(text)) == wanted


@given(sets, sets)
def test_sums_and_differences_are_those_of_sets(one: set[int], other: set[int]) -> None:
    a, b = SeqNums.of(one), SeqNums.of(other)
    assert a | b == SeqNums.of(one | other)
    assert a - b == SeqNums.of(one - other)
    assert a & b == SeqNums.of(one & other)
    assert holes(a, other) == SeqNums.of(one - other)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("100-140,150", "100-140,150"),
        (" 5 , 4 ;3, ", "3-5"),
        ("1..3", "1-3"),
        ("1\u20133", "1-3"),
        ("7,8", "7-8"),
        ("000123", "123"),
        ("5-5", "5"),
        (f"0-{MAX_SEQ_NUM}", f"0-{MAX_SEQ_NUM}"),
    ],
)
def test_ranges_are_written_in_the_shortest_way(text: str, canonical: str) -> None:
    assert str(parse_ranges(text)) == canonical


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("1,x,3", "x"),
        ("1,5-3", "5-3"),
        ("1,-3", "-3"),
        ("3-", "3-"),
        ("1-2-3", "1-2-3"),
        ("100000", "100000"),
        ("1.5", "1.5"),
        ("\u0663", "\u0663"),
        ("", ""),
        (" , ", " , "),
    ],
)
def test_wrong_piece_is_named(text: str, piece: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_ranges(text, pointer="/targets/seq_nums")
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.value) == ("/targets/seq_nums", piece)
    assert caught.value.reason_code == "invalid_seq_nums"


def test_more_numbers_than_wanted_are_refused() -> None:
    assert len(parse_ranges("1-10", limit=10)) == 10
    with pytest.raises(InvalidError, match="names 11"):
        parse_ranges("1-11", limit=10)
    with pytest.raises(InvalidError, match="pieces"):
        parse_ranges("1," * 20_000)
    with pytest.raises(InvalidError, match="characters"):
        parse_ranges("1" * 200_000)
