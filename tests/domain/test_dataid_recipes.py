"""Recipes as they are sent, and as they are kept."""

from typing import Any

import pytest
from pydantic import ValidationError

from annolog.domain.dataid_recipes import Recipe, names_in, settle
from annolog.domain.dataid_uploads import ExposureName
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import SHIPPED
from tests.support.dataids import UNRULED

JUNK = {"name": "junk", "query": {"instrument": "LSSTCam", "flags": ["junk"]}}
BY_OBS_ID = ExposureName("LSSTCam", "MC_O_20261119_000123")
BY_NUMBER = ExposureName("LSSTCam", None, 20261119, 124)
RESOLVED = {BY_OBS_ID: 2026111900123, BY_NUMBER: 2026111900124}


def a_recipe(**members: object) -> Recipe:
    return Recipe.model_validate({"parts": [JUNK], **members})


def refused(**members: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidError) as caught:
        settle(a_recipe(**members), UNRULED, RESOLVED)
    return [(one.pointer, one.reason) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"parts": []}, "nothing to put into the set"),
        ({"parts": [{**JUNK, "minus": True}]}, "nothing to put into the set"),
        ({"parts": [JUNK, JUNK]}, "two parts of one name"),
        ({"parts": [{"name": "a"}]}, "exactly one of query, rows and version"),
        (
            {"parts": [{**JUNK, "version": "a@1"}]},
            "exactly one of query, rows and version",
        ),
        (
            {"parts": [{"name": "a", "query": {"flags": ["junk"]}}]},
            "names no instrument, nor does the recipe",
        ),
        (
            {"parts": [{"name": "a", "query": {"instrument": "LSSTCam"}}]},
            "asks for neither flags nor tags",
        ),
        (
            {
                "parts": [
                    {
                        "name": "a",
                        "query": {
                            "instrument": "LSSTCam",
                            "flags": ["junk"],
                            "day_obs_min": 20261120,
                            "day_obs_max": 20261119,
                        },
                    }
                ]
            },
            "day_obs_min 20261120 lies after day_obs_max 20261119",
        ),
        (
            {
                "parts": [
                    {
                        "name": "a",
                        "query": {
                            "instrument": "LSSTCam",
                            "flags": ["junk"],
                            "day_obs_min": 20261399,
                        },
                    }
                ]
            },
            "20261399 is no date",
        ),
        ({"drop": [{"data_id": {"exposure": 1}}]}, "Field required"),
        ({"drop": [{"data_id": {"exposure": 1}, "reason": ""}]}, "at least 1"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_recipe_without_sense_is_refused(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        a_recipe(**members)


def test_rows_to_keep_are_enough_for_a_set() -> None:
    keep = [{"data_id": {"exposure": 1}, "reason": "why"}]
    assert a_recipe(parts=[], keep=keep).keep[0].reason == "why"


def test_names_become_primary_keys_once_and_for_all() -> None:
    recipe = a_recipe(
        instrument="lsstcam",
        parts=[
            {"name": "junk", "query": {"flags": ["junk"]}},
            {"name": "other", "query": {"flags": ["junk"], "instrument": "lsstcam"}},
            {
                "name": "by hand",
                "rows": [{"obs_id": "MC_O_20261119_000123", "comment": "a"}],
            },
        ],
        keep=[
            {"data_id": {"visit": 5}, "reason": "k1"},
            {"data_id": {"day_obs": 20261119, "seq_num": 124}, "reason": "k2"},
        ],
        drop=[{"data_id": {"obs_id": BY_OBS_ID.obs_id, "detector": 9}, "reason": "d"}],
    )
    assert set(names_in(recipe, SHIPPED)) == {BY_OBS_ID, BY_NUMBER}
    settled = settle(recipe, SHIPPED, RESOLVED)
    assert settled.instrument == "LSSTCam"
    query = settled.parts[1].query
    assert query is not None
    assert query.instrument == "LSSTCam"
    assert settled.parts[2].rows == [
        {"instrument": "LSSTCam", "exposure": 2026111900123, "comment": "a"}
    ]
    assert [row.data_id for row in settled.keep] == [
        {"instrument": "LSSTCam", "visit": 5},
        {"instrument": "LSSTCam", "exposure": 2026111900124},
    ]
    assert [row.data_id for row in settled.drop] == [
        {"instrument": "LSSTCam", "exposure": 2026111900123, "detector": 9}
    ]
    assert names_in(settled, SHIPPED) == ()
    assert settle(settled, SHIPPED, {}) == settled
    assert Recipe.model_validate(settled.as_json()) == settled


def test_fault_in_a_row_names_its_place() -> None:
    rows = [{"exposure": 1}, {"exposure": "x"}]
    assert refused(instrument="LSSTCam", parts=[{"name": "a", "rows": rows}]) == [
        (
            "/parts/0/rows/1/exposure",
            "object 2 of /parts/0/rows: exposure is an integer, not 'x'",
        )
    ]
    row = {"data_id": {"exposure": 1, "comment": "a"}, "reason": "r"}
    assert refused(instrument="LSSTCam", keep=[row]) == [
        (
            "/keep/0/comment",
            "object 1 of /keep: comment is no dimension, so no part of a data ID",
        )
    ]


def test_row_is_kept_or_dropped_and_once() -> None:
    row = {"data_id": {"exposure": 1}, "reason": "r"}
    named = {**row, "data_id": {"instrument": "LSSTCam", "exposure": 1}}
    both = refused(instrument="LSSTCam", keep=[row], drop=[named])
    assert both == [("/drop/0", "LSSTCam exposure 1 is to be kept and to be dropped")]
    twice = refused(instrument="LSSTCam", keep=[row, named])
    assert twice == [("/keep/1", "LSSTCam exposure 1 is there twice")]


def test_unknown_instruments_are_refused() -> None:
    assert refused(instrument="LSSTCan")[0][0] == "/instrument"
    query = {"instrument": "LSSTCan", "flags": ["junk"]}
    parts = [{"name": "a", "query": query}]
    assert refused(parts=parts)[0][0] == "/parts/0/query/instrument"
