"""Tables of data IDs: order, digest, difference."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.dataids import (
    DataIdTable,
    Value,
    as_text,
    difference,
    digest,
    dimension_order,
    split_columns,
    table,
    target_of,
)
from annolog.domain.errors import InvalidError
from tests.support.dataids import tables

Said = dict[str, Value]


def a_table(
    *exposures: int, comment: Value = None, instrument: str = "LSSTCam"
) -> DataIdTable:
    return table(
        ["exposure", "instrument"],
        ["comment"],
        [
            ({"instrument": instrument, "exposure": one}, {"comment": comment})
            for one in exposures
        ],
    )


def rows_of(content: DataIdTable) -> list[tuple[dict[str, int | str], Said]]:
    return [
        (data_id, dict(zip(content.columns, row.values, strict=True)))
        for data_id, row in zip(content.data_ids(), content.rows, strict=True)
    ]


def test_rows_are_sorted_by_instrument_then_by_number() -> None:
    content = table(
        ["detector", "exposure", "instrument"],
        [],
        [
            ({"instrument": "LSSTCam", "exposure": 10, "detector": 2}, {}),
            ({"instrument": "LSSTCam", "exposure": 9, "detector": 10}, {}),
            ({"instrument": "LSSTCam", "exposure": 9}, {}),
            ({"instrument": "LATISS", "exposure": 11, "detector": 0}, {}),
        ],
    )
    assert content.dimensions == ("instrument", "exposure", "detector")
    assert [row.data_id for row in content.rows] == [
        ("LATISS", 11, 0),
        ("LSSTCam", 9, None),
        ("LSSTCam", 9, 10),
        ("LSSTCam", 10, 2),
    ]


def test_dimension_that_no_row_names_is_none_of_the_table() -> None:
    plain = a_table(1)
    wider = table(
        ["exposure", "instrument", "detector"],
        ["comment"],
        [({"instrument": "LSSTCam", "exposure": 1, "detector": None}, {})],
    )
    assert wider == plain
    assert digest(wider) == digest(plain)


def test_band_is_a_dimension_alone_and_a_further_column_beside_an_exposure() -> None:
    assert split_columns(["band", "subfilter"]) == (("band", "subfilter"), ())
    assert split_columns(["band", "exposure", "group"]) == (
        ("exposure",),
        ("band", "group"),
    )


def test_dimensions_have_one_order() -> None:
    assert dimension_order(["patch", "tract", "skymap", "htm7", "patch"]) == (
        "skymap",
        "tract",
        "patch",
        "htm7",
    )


def test_column_with_numbers_beside_text_becomes_text() -> None:
    said: list[Value] = [1, "n/a", 2.5, True, None]
    content = table(
        ["tract"], ["w"], [({"tract": n}, {"w": one}) for n, one in enumerate(said)]
    )
    assert [row.values[0] for row in content.rows] == ["1", "n/a", "2.5", "true", None]


def test_integers_that_no_float_holds_keep_their_digits() -> None:
    content = table(
        ["tract"],
        ["w"],
        [({"tract": 1}, {"w": 2**53 + 1}), ({"tract": 2}, {"w": 0.5})],
    )
    assert [row.values[0] for row in content.rows] == ["9007199254740993", "0.5"]


def test_empty_text_and_not_a_number_are_no_value() -> None:
    content = table(
        ["tract"],
        ["a", "b"],
        [({"tract": 1}, {"a": "", "b": float("nan")})],
    )
    assert content.rows[0].values == (None, None)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("inf"), "invalid_value"),
        (2**63, "invalid_value"),
        ("a\0b", "invalid_value"),
        ("\ud800", "invalid_value"),
    ],
)
def test_value_that_cannot_be_stored_is_refused(value: Value, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        a_table(1, comment=value)
    assert caught.value.reason_code == code


@pytest.mark.parametrize("exposure", [-1, 2**63, True, "5"])
def test_data_id_that_does_not_fit_is_refused(exposure: int) -> None:
    with pytest.raises(InvalidError, match="exposure"):
        a_table(exposure)


def test_data_id_comes_once() -> None:
    with pytest.raises(InvalidError, match="LSSTCam exposure 7 is there twice"):
        a_table(7, 7)


def test_row_names_a_target_where_an_element_has_its_dimensions() -> None:
    target = target_of({"instrument": "LSSTCam", "exposure": 7, "detector": 94})
    assert target is not None
    assert target.key == "detector:LSSTCam/7/94"
    assert target_of({"instrument": "LSSTCam", "exposure": 7, "tract": 1}) is None


def test_difference_names_rows_and_values() -> None:
    found = difference(
        a_table(1, 2, comment="x"),
        table(
            ["instrument", "exposure", "detector"],
            ["comment", "weight"],
            [
                ({"instrument": "LSSTCam", "exposure": 2}, {"comment": "y"}),
                ({"instrument": "LSSTCam", "exposure": 2, "detector": 3}, {}),
            ],
        ),
    )
    assert [dict(one.data_id) for one in found.added] == [
        {"instrument": "LSSTCam", "exposure": 2, "detector": 3}
    ]
    assert [one.data_id["exposure"] for one in found.dropped] == [1]
    (changed,) = found.changed
    assert (changed.old, changed.new) == ({"comment": "x"}, {"comment": "y"})
    assert (found.columns_added, found.columns_dropped) == (("weight",), ())


@given(tables(), st.randoms())
def test_digest_does_not_depend_on_the_order_of_rows_and_columns(
    content: DataIdTable, chance: random.Random
) -> None:
    rows, columns = rows_of(content), list(content.columns)
    chance.shuffle(rows)
    chance.shuffle(columns)
    again = table(content.dimensions, columns, rows)
    assert digest(again) == digest(content)


@given(tables(), tables())
def test_digests_are_the_same_just_where_nothing_differs(
    one: DataIdTable, other: DataIdTable
) -> None:
    assert not difference(one, one)
    if one.rows or other.rows:
        assert (digest(one) == digest(other)) == (not difference(one, other))


@given(tables(), tables())
def test_difference_leads_from_one_table_to_the_other(
    old: DataIdTable, new: DataIdTable
) -> None:
    found = difference(old, new)
    rows = {tuple(data_id.items()): values for data_id, values in rows_of(old)}
    for entry in found.dropped:
        del rows[tuple(entry.data_id.items())]
    for entry in found.added:
        assert rows.setdefault(tuple(entry.data_id.items()), dict(entry.values)) == (
            entry.values
        )
    for change in found.changed:
        rows[tuple(change.data_id.items())].update(change.new)
    made = table(
        {*old.dimensions, *new.dimensions},
        new.columns,
        [(dict(data_id), values) for data_id, values in rows.items()],
    )
    assert digest(made) == digest(new)


@given(tables())
def test_rows_are_sorted_and_columns_have_one_type(content: DataIdTable) -> None:
    keys = [tuple((v is not None, v or 0) for v in r.data_id[1:]) for r in content.rows]
    names = [row.data_id[0] for row in content.rows]
    assert names == sorted(names, key=str)
    if len(set(names)) == 1:
        assert keys == sorted(keys)
    for place in range(len(content.columns)):
        types = {type(row.values[place]) for row in content.rows} - {type(None)}
        assert len(types) <= 1


def test_values_are_written_as_json_writes_them() -> None:
    assert [as_text(value) for value in (True, 1.0, -3, "x", None)] == [
        "true",
        "1.0",
        "-3",
        "x",
        "",
    ]
