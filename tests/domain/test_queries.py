"""Filters, orders, stretches and cursors."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from annolog.domain.entries import Alias, AnyEntry, Entry, TagEntry
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Instruments
from annolog.domain.orders import (
    CURRENT_ORDERS,
    REVISION_ORDERS,
    TARGET_ORDERS,
    Beyond,
    Condition,
    Equal,
    IsNull,
    Key,
    NotNull,
    Order,
    SortColumn,
    Stretch,
    ranges_after,
)
from annolog.domain.queries import AnnotationFilter, TargetFilter, meant
from annolog.domain.vocabulary import Vocabulary

SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)

few = settings(max_examples=30)

ORDERS = [
    Order(name, columns, descending=descending)
    for orders in (CURRENT_ORDERS, REVISION_ORDERS, TARGET_ORDERS)
    for name, columns in orders.items()
    for descending in (False, True)
]


def value_of(column: SortColumn) -> st.SearchStrategy[Any]:
    # Few different values, so that ties are the rule.
    few = st.integers(0, 3)
    found: st.SearchStrategy[Any] = {
        "int": few,
        "text": few.map(lambda n: "abcd"[n]),
        "uuid": few.map(lambda n: UUID(int=n)),
        "time": few.map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n)),
    }[column.kind]
    return st.none() | found if column.nullable else found


def rows_of(order: Order, most: int = 15) -> st.SearchStrategy[list[Key]]:
    row = st.tuples(*map(value_of, order.columns))
    return st.lists(row, unique=True, max_size=most)


def compare(order: Order, a: Key, b: Key) -> int:
    for place, (x, y) in enumerate(zip(a, b, strict=True)):
        if x == y:
            continue
        if x is None or y is None:
            last = 1 if place == 0 or not order.descending else -1
            return last if x is None else -last
        return (-1 if x < y else 1) * (-1 if order.descending else 1)  # type: ignore[operator]
    return 0


def sorting(order: Order) -> Callable[[Key], Any]:
    def both(a: Key, b: Key) -> int:
        return compare(order, a, b)

    return cmp_to_key(both)


def fits(order: Order, row: Key, stretch: Stretch) -> bool:
    """Read the conditions as PostgreSQL does: a comparison with null is not true."""
    values = dict(zip([c.name for c in order.columns], row, strict=True))

    def holds(condition: Condition) -> bool:
        match condition:
            case Equal(column, value):
                return values[column] == value
            case IsNull(column):
                return values[column] is None
            case NotNull(column):
                return values[column] is not None
            case Beyond(columns, bound):
                # The first columns that differ decide, whatever is behind them.
                for mine, theirs in zip(map(values.get, columns), bound, strict=True):
                    if mine is None or theirs is None:
                        return False
                    if mine != theirs:
                        return bool(mine < theirs) is order.descending  # type: ignore[operator]
                return False

    return all(map(holds, stretch))


def read(order: Order, rows: list[Key], after: Key | None, limit: int) -> list[Key]:
    found: list[Key] = []
    for group in ranges_after(order, after):
        behind = [r for stretch in group for r in rows if fits(order, r, stretch)]
        found += sorted(behind, key=sorting(order))
    return found[:limit]


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o.word}{len(o.columns)}")
@few
@given(data=st.data())
def test_pages_one_after_the_other_are_the_whole_list(
    order: Order, data: st.DataObject
) -> None:
    rows = data.draw(rows_of(order))
    limit = data.draw(st.integers(1, 5))
    pages: list[Key] = []
    while page := read(order, rows, pages[-1] if pages else None, limit):
        pages += page
    assert pages == sorted(rows, key=sorting(order))


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o.word}{len(o.columns)}")
@few
@given(data=st.data())
def test_rows_inserted_between_pages_repeat_and_hide_no_other(
    order: Order, data: st.DataObject
) -> None:
    before = data.draw(rows_of(order))
    rows, pages = list(before), list[Key]()
    while page := read(order, rows, pages[-1] if pages else None, 3):
        pages += page
        rows += [r for r in data.draw(rows_of(order, 2)) if r not in rows]
        if len(rows) > 40:
            break
    else:
        assert len(set(pages)) == len(pages)
        assert set(before) <= set(pages)


@pytest.mark.parametrize(
    "asked",
    [
        AnnotationFilter(order=o)
        for o in ("night", "-night", "created", "-changed", "id")
    ]
    + [AnnotationFilter(revisions="all", order="id")]
    + [TargetFilter(order="night"), TargetFilter(order="-number")],
    ids=lambda asked: asked.ordering.word,
)
@few
@given(data=st.data())
def test_a_cursor_brings_back_its_place(
    asked: AnnotationFilter | TargetFilter, data: st.DataObject
) -> None:
    key = data.draw(st.tuples(*map(value_of, asked.ordering.columns)))
    cursor = asked.cursor_after(key)
    assert asked.model_copy(update={"cursor": cursor, "limit": 7}).after() == key


def test_a_cursor_of_other_filters_is_refused_and_says_so() -> None:
    cursor = AnnotationFilter(flag=("junk",)).cursor_after((SOME_TIME, UUID(int=1)))
    for other in (
        AnnotationFilter(flag=("good",), cursor=cursor),
        AnnotationFilter(flag=("junk",), order="created", cursor=cursor),
    ):
        with pytest.raises(InvalidError, match="other filters") as caught:
            other.after()
        assert caught.value.problems[0].pointer == "?cursor"


@pytest.mark.parametrize("order", sorted(CURRENT_ORDERS.keys() & TARGET_ORDERS.keys()))
def test_lists_of_the_same_filters_and_order_know_their_cursors_apart(
    order: str,
) -> None:
    asked = {"order": order, "flag": ("junk",)}
    annotations = AnnotationFilter.model_validate(asked)
    assert annotations.digest() != TargetFilter.model_validate(asked).digest()


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_changed_cursor_is_refused(place: int, bit: int) -> None:
    asked = AnnotationFilter()
    raw = bytearray(
        asked.cursor_after((datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1))).encode()
    )
    raw[place % len(raw)] ^= 1 << bit
    with pytest.raises(InvalidError):
        asked.model_copy(update={"cursor": raw.decode("latin-1")}).after()


@given(raw=st.binary(max_size=60))
def test_any_bytes_as_cursor_are_refused(raw: bytes) -> None:
    cursor = base64.urlsafe_b64encode(raw).decode()
    with pytest.raises(InvalidError):
        AnnotationFilter(cursor=cursor).after()


def test_the_order_of_repeated_values_changes_no_cursor() -> None:
    one = AnnotationFilter(author=("ada", "bob"))
    assert one.digest() == AnnotationFilter(author=("bob", "ada")).digest()


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 1001},
        {"day_obs": 20261119, "day_obs_min": 20261101},
        {"day_obs_min": 20261119, "day_obs_max": 20261101},
        {"created_from": "1763500000"},
        {"created_from": "2026-11-19T00:00:00Z", "created_to": "2026-11-19T00:00:00Z"},
        {"revisions": "all", "order": "night"},
        {"level_min": 40, "level_max": 10},
        {"words": "a\x00b"},
        {"contains": "a"},
        {"contains": "abc", "count": "true"},
        {"seq_nums": "9-1"},
    ],
)
def test_filters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnnotationFilter.model_validate(wrong)


def test_all_revisions_are_listed_by_change_unless_asked_otherwise() -> None:
    assert (
        AnnotationFilter.model_validate({"revisions": "all"}).ordering.word
        == "-changed"
    )


def vocabulary(**said: AnyEntry) -> Vocabulary:
    return Vocabulary.from_entries(
        Entry(kind, one.key, UUID(int=1), 1, 1, one.model_dump(mode="json"))
        for kind, one in said.items()
    )


def test_a_filter_means_every_name_under_which_something_may_be_stored() -> None:
    known = vocabulary(
        tag=TagEntry(name="vignetting", aliases=("shadow",)),
        alias=Alias(name="ada", leads_to="alovelace"),
    )
    asked = AnnotationFilter(
        tags_any=("shadow", "fog"),
        tags_all=("vignetting", "wind"),
        author=("alovelace", "bob"),
        instrument=("lsstcam",),
    )
    found = meant(asked, known, Instruments.from_entries({}))
    assert found.tags_any == ("fog", "shadow", "vignetting")
    assert found.tags_each == (("shadow", "vignetting"), ("wind",))
    assert found.author == ("ada", "alovelace", "bob")
    assert found.instrument == ("LSSTCam",)


def test_an_unknown_instrument_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InvalidError, match="LSSTCam") as caught:
        meant(
            TargetFilter(instrument=("LSTCam",)),
            vocabulary(),
            Instruments.from_entries({}),
        )
    assert caught.value.problems[0].pointer == "?instrument"
