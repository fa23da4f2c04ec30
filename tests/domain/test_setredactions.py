"""Words of versions go once and for all; whatever else they say stays."""

from itertools import permutations
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from annolog.domain.dataids import DataIdTable, digest
from annolog.domain.records import canonical
from annolog.domain.setrecords import list_of, table_of
from annolog.domain.setredactions import (
    SetRedaction,
    blank,
    blank_table,
    data_id_key,
    words_of,
)
from tests.support.dataids import tables

ALL = SetRedaction(UUID(int=9), (), ())


def an_order(number: int, *data_ids: dict[str, Any]) -> SetRedaction:
    return SetRedaction(
        UUID(int=number), (), (), frozenset(data_id_key(one) for one in data_ids)
    )


def texts_of(content: DataIdTable) -> list[str]:
    return [v for row in content.rows for v in row.values if isinstance(v, str)]


@given(tables(), some.data())
def test_redactions_of_rows_do_the_same_in_any_order_and_any_number_of_times(
    content: DataIdTable, data: some.DataObject
) -> None:
    _, body = list_of(content)
    data_ids = list(content.data_ids())
    chosen = some.lists(some.sampled_from(data_ids)) if data_ids else some.just([])
    orders = [an_order(number, *data.draw(chosen)) for number in (2, 1, 3)]
    once = {blank(body, list(order)) for order in permutations(orders)}

    assert len(once) == 1
    (left,) = once
    assert blank(left, orders[:1]) == left
    assert msgspec.json.decode(left)["redacted_by"] == str(UUID(int=1))
    gone = {key for order in orders for key in order.data_ids or ()}
    after = table_of(msgspec.json.decode(left), content.instrument)
    assert list(after.data_ids()) == data_ids
    for data_id, was, now in zip(data_ids, content.rows, after.rows, strict=True):
        if data_id_key(data_id) in gone:
            assert not any(isinstance(one, str) for one in now.values)
        else:
            assert now == was
    assert digest(after) == digest(blank_table(content, orders))


@given(tables())
def test_a_redaction_of_all_leaves_numbers_and_no_text(content: DataIdTable) -> None:
    _, body = list_of(content)
    after = table_of(msgspec.json.decode(blank(body, [ALL])), content.instrument)

    assert texts_of(after) == []
    assert after == blank_table(content, [ALL])
    for was, now in zip(content.rows, after.rows, strict=True):
        assert [one for one in was.values if not isinstance(one, str)] == [
            new
            for old, new in zip(was.values, now.values, strict=True)
            if not isinstance(old, str)
        ]


def a_version(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    one, two = (
        {"instrument": "LSSTCam", "exposure": number, "detector": None}
        for number in (1, 2)
    )
    named = {"instrument": "LSSTCam", "exposure": 3}
    recipe = {
        "instrument": "LSSTCam",
        "parts": [
            {"name": "odd", "query": {"flags": ["junk"]}, "rows": None},
            {
                "name": "hand",
                "query": None,
                "rows": [
                    {**one, "comment": "secret", "weight": 1.5},
                    {**two, "comment": "other", "weight": None},
                ],
            },
        ],
        "keep": [{"data_id": named, "reason": "secret", "values": {"comment": "hid"}}],
        "drop": [{"data_id": {**named, "exposure": 4}, "reason": "other"}],
    }
    return {"kind": "set_version", "reason": "because", "recipe": recipe, **more}


@pytest.mark.parametrize("recipe", [None, {}])
def test_a_version_without_a_recipe_loses_its_reason(
    recipe: dict[str, Any] | None,
) -> None:
    body = canonical(a_version(recipe=recipe))
    left = msgspec.json.decode(blank(body, [ALL]))
    assert (left["reason"], left["recipe"]) == ("", recipe)
    left = msgspec.json.decode(blank(body, [an_order(1)]))
    assert left["reason"] == "because"


def test_a_recipe_keeps_its_data_ids_and_loses_its_words() -> None:
    left = msgspec.json.decode(blank(canonical(a_version()), [ALL]))["recipe"]
    whole = a_version()["recipe"]
    assert left["parts"][0] == whole["parts"][0]
    assert [row["exposure"] for row in left["parts"][1]["rows"]] == [1, 2]
    assert {row["instrument"] for row in left["parts"][1]["rows"]} == {"LSSTCam"}
    assert [row["comment"] for row in left["parts"][1]["rows"]] == [None, None]
    assert left["parts"][1]["rows"][0]["weight"] == 1.5
    for where in ("keep", "drop"):
        assert left[where][0]["data_id"] == whole[where][0]["data_id"]
        assert left[where][0]["reason"] == "redacted"
    assert left["keep"][0]["values"] == {"comment": None}


def test_only_the_rows_named_lose_their_words_in_a_recipe() -> None:
    order = an_order(1, {"instrument": "LSSTCam", "exposure": 1})
    left = msgspec.json.decode(blank(canonical(a_version()), [order]))
    rows = left["recipe"]["parts"][1]["rows"]
    assert [row["comment"] for row in rows] == [None, "other"]
    assert left["recipe"]["keep"][0]["reason"] == "secret"


def test_versions_that_repeat_words_are_known_by_row_and_column() -> None:
    def rows(*said: tuple[int, str | None]) -> bytes:
        return canonical(
            {
                "dimensions": ["exposure"],
                "columns": ["comment", "weight"],
                "rows": [[number, text, 1.5] for number, text in said],
            }
        )

    bare = a_version(recipe=None)
    own = words_of(bare, rows((1, "secret"), (2, "other")), ALL)
    longer = a_version(recipe=None, reason="another")
    again = own.again_in(words_of(longer, rows((1, "a secret; more"), (2, "x")), ALL))
    assert (again.rows, again.said) == (1, False)
    moved = own.again_in(words_of(longer, rows((2, "secret")), ALL))
    assert not moved
    same = own.again_in(words_of(bare, None, ALL))
    assert (same.rows, same.said) == (0, True)
