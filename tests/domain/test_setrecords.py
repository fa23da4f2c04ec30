"""What is known of a set follows from its records, in whatever order they come."""

import random
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from annolog.domain import dataids
from annolog.domain.dataids import DataIdTable
from annolog.domain.errors import InvalidError
from annolog.domain.setrecords import (
    Access,
    Drifted,
    Held,
    HeldSet,
    Released,
    list_of,
    member_key,
    set_name,
    table_of,
    version_key,
)
from annolog.domain.targets import parse_key

IDS = some.integers(0, 2**32).map(lambda n: UUID(int=n))
CLOCKS = some.integers(0, 5)
KEYS = some.sampled_from([version_key("bad", n, b"\x1f" * 32) for n in (1, 2)])
WORDS = some.sampled_from(["ada", "bob"])
SAID = some.one_of(
    some.builds(
        Held,
        IDS,
        CLOCKS,
        some.integers(1, 3),
        KEYS,
        some.just(b"\x1f" * 32),
        WORDS,
        some.just("human"),
        IDS,
    ),
    some.builds(Access, IDS, CLOCKS, WORDS, some.lists(WORDS).map(tuple)),
    some.builds(Released, IDS, CLOCKS, KEYS, WORDS, some.booleans()),
    some.builds(Drifted, IDS, CLOCKS, KEYS, some.booleans()),
)


def folded(said: list[Held | Access | Released | Drifted]) -> HeldSet:
    held = HeldSet("bad")
    for one in said:
        held = held.plus(one)
    return held


@given(
    said=some.lists(SAID, max_size=12, unique_by=lambda one: one.record_id),
    rng=some.randoms(use_true_random=False),
)
def test_the_order_of_records_and_doubles_do_not_matter(
    said: list[Held | Access | Released | Drifted],
    rng: random.Random,
) -> None:
    other = [*said, *said[:3]]
    rng.shuffle(other)
    assert folded(other) == folded(said)


ROWS: list[tuple[dict[str, int | str | None], dict[str, dataids.Value]]] = [
    ({"instrument": "LSSTCam", "exposure": n, "detector": d}, {"comment": str(n)})
    for n, d in [(5, 1), (3, None), (5, 0)]
]


def a_table(*order: int) -> DataIdTable:
    names = ["instrument", "exposure", "detector"]
    return dataids.table(names, ["comment"], [ROWS[n] for n in order])


def test_rows_are_named_by_their_content_and_read_back_as_they_were() -> None:
    table = a_table(0, 1, 2)
    own, body = list_of(table)
    assert list_of(a_table(2, 0, 1)) == (own, body)
    assert list_of(a_table(0, 1))[0] != own
    decoded = msgspec.json.decode(body)
    assert table_of(decoded, None) == table
    assert decoded["list_id"] == str(own)


def test_rows_are_found_by_the_targets_that_they_name() -> None:
    assert [member_key(one) for one in a_table(0, 1).data_ids()] == [
        "exposure:LSSTCam/3",
        "detector:LSSTCam/5/1",
    ]
    assert member_key({"tract": 3, "detector": 94}) == "data_id:detector=94/tract=3"


def test_the_key_of_a_version_is_that_of_a_target() -> None:
    key = version_key("DRP1-bad", 3, bytes.fromhex("1f0a77c2") * 8)
    assert key == "set:DRP1-bad@3-1F0A77C2"
    assert parse_key(key).key == key


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a@3", "ä", "a" * 101])
def test_odd_names_of_sets_are_refused(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        set_name(name)
    assert refused.value.reason_code == "set_name"
