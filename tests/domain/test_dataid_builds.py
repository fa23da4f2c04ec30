"""What a recipe makes of what its parts give."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.dataid_builds import (
    Built,
    Exempt,
    Found,
    Why,
    combine,
    contradictions,
    exempt_keys,
    given_rows,
    table_rows,
    unflagged_keys,
    with_flags,
)
from annolog.domain.dataid_formats import write
from annolog.domain.dataid_recipes import Recipe, settle
from annolog.domain.dataids import difference, digest
from annolog.domain.setredactions import REASON_LEFT
from annolog.domain.shipped import shipped_entries
from tests.support.dataids import UNRULED, vocabulary_of

QUERY = {"flags": ["junk"]}
VOCABULARY = vocabulary_of(shipped_entries())


def a_recipe(*parts: dict[str, Any], **members: object) -> Recipe:
    said = {"instrument": "LSSTCam", "parts": parts, **members}
    return settle(Recipe.model_validate(said), UNRULED, {})


def exempt(
    exposure: int, detector: int | None = None, **members: object
) -> dict[str, object]:
    data_id = {"exposure": exposure}
    if detector is not None:
        data_id["detector"] = detector
    return {"data_id": data_id, "reason": "because", **members}


def an_id(exposure: int, detector: int | None = None) -> dict[str, int | str]:
    found: dict[str, int | str] = {"instrument": "LSSTCam", "exposure": exposure}
    return found if detector is None else {**found, "detector": detector}


def found(
    *exposures: int, part: str = "junk", comment: str = "", detector: int | None = None
) -> list[Found]:
    why = Why(part, "junk", (), (comment,), ("some-id",))
    return [Found(an_id(one, detector), why) for one in exposures]


def members(built: Built) -> list[tuple[int | str, ...]]:
    return [tuple(one.values())[1:] for one in built.table.data_ids()]


JUNK = {"name": "junk", "query": QUERY}
TESTS = {"name": "tests", "query": {"tags": ["test"]}, "minus": True}


def test_parts_are_added_then_taken_away() -> None:
    recipe = a_recipe(TESTS, JUNK)
    given = {"junk": found(1, 2, 3), "tests": found(2, part="tests")}
    built = combine(recipe, given)
    assert members(built) == [(1,), (3,)]
    (out,) = built.left_out
    assert (out.data_id, out.part, out.reason) == (an_id(2), "tests", None)
    assert out.whys[0].part == "junk"


def test_dropped_row_stays_out_and_a_kept_one_in() -> None:
    recipe = a_recipe(
        JUNK,
        TESTS,
        keep=[exempt(2), exempt(9, values={"comment": "by hand"})],
        drop=[exempt(3)],
    )
    built = combine(recipe, {"junk": found(1, 2, 3), "tests": found(2)})
    assert members(built) == [(1,), (2,), (9,)]
    assert [(one.data_id, one.reason) for one in built.left_out] == [
        (an_id(3), "because")
    ]
    assert [why.part for why in built.whys["LSSTCam", 2]] == ["keep", "junk"]
    assert built.whys["LSSTCam", 9] == (Why("keep", reason="because"),)
    assert built.table.rows[2].values == ("by hand",)
    assert built.idle == ()


def test_whole_exposure_takes_its_detectors_and_no_detector_the_whole() -> None:
    given = [*found(1, 2, detector=5), *found(1, detector=6), *found(3)]
    drop = [exempt(1), exempt(3, 7)]
    built = combine(a_recipe(JUNK, drop=drop, keep=[exempt(1, 6)]), {"junk": given})
    assert members(built) == [(1, 6), (2, 5), (3,)]
    assert [one.data_id for one in built.left_out] == [an_id(1, 5)]
    # That detector was never there to be dropped.
    assert [(one.action, one.data_id) for one in built.idle] == [("drop", an_id(3, 7))]


def test_exceptions_without_effect_are_told() -> None:
    recipe = a_recipe(JUNK, keep=[exempt(1)], drop=[exempt(8)])
    built = combine(recipe, {"junk": found(1, 2)})
    assert built.idle == (
        Exempt("keep", an_id(1), "because"),
        Exempt("drop", an_id(8), "because"),
    )


def test_comment_is_the_text_verbatim_and_of_several_all() -> None:
    why = Why("junk", "junk", ("b", "a"), (" i donuts", "x", "", "x"), ("id1", "id2"))
    columns = ["comment", "flag", "tags", "annotations"]
    recipe = a_recipe(JUNK, columns=columns)
    built = combine(
        recipe, {"junk": [*found(2, comment=" i donuts"), Found(an_id(1), why)]}
    )
    assert built.table.columns == tuple(columns)
    assert built.table.rows[0].values == (" i donuts; x", "junk", "a b", "id1 id2")
    assert built.table.rows[1].values == (" i donuts", "junk", None, "some-id")


def test_first_part_that_has_a_value_gives_it() -> None:
    rows = [
        {"exposure": 1, "comment": "by hand", "weight": 2},
        {"exposure": 2, "comment": None, "weight": 3},
    ]
    recipe = a_recipe({"name": "by hand", "rows": rows}, JUNK)
    given = {**given_rows(recipe), "junk": found(1, 2, comment="said")}
    built = combine(recipe, given)
    assert built.table.columns == ("comment", "weight")
    assert [row.values for row in built.table.rows] == [("by hand", 2), ("said", 3)]
    assert [why.part for why in built.whys["LSSTCam", 1]] == ["by hand", "junk"]


def test_version_of_another_set_is_a_part() -> None:
    old = combine(a_recipe(JUNK), {"junk": found(1, 2, comment="old")}).table
    recipe = a_recipe(JUNK, {"name": "before", "version": "bad@1"}, columns=[])
    built = combine(recipe, {"junk": found(2, 3), "before": table_rows("before", old)})
    assert members(built) == [(1,), (2,), (3,)]
    assert [row.values for row in built.table.rows] == [("old",), ("old",), (None,)]


def test_files_leave_out_the_instrument_of_the_recipe() -> None:
    built = combine(a_recipe(JUNK), {"junk": found(2, 1, comment=" x")})
    assert write(built.table, "csv") == b"exposure,comment\n1, x\n2, x\n"
    other = Found({"instrument": "LATISS", "exposure": 1}, Why("junk"))
    built = combine(a_recipe(JUNK), {"junk": [*found(1), other]})
    assert write(built.table, "csv").startswith(b"instrument,exposure,comment\n")


def test_recipe_that_finds_nothing_gives_a_list_of_exposures() -> None:
    built = combine(a_recipe(JUNK), {})
    assert built.table.rows == ()
    assert write(built.table, "csv") == b"exposure,comment\n"


def test_dry_run_is_the_difference_to_what_was() -> None:
    before = combine(a_recipe(JUNK), {"junk": found(1, 2)}).table
    after = combine(a_recipe(JUNK, drop=[exempt(1)]), {"junk": found(1, 2, 3)}).table
    changes = difference(before, after)
    assert [one.data_id for one in changes.added] == [an_id(3)]
    assert [one.data_id for one in changes.dropped] == [an_id(1)]


def test_flags_that_speak_against_exceptions_are_told() -> None:
    recipe = a_recipe(
        JUNK,
        keep=[exempt(1), exempt(2), exempt(3)],
        drop=[exempt(4), exempt(5), exempt(6)],
    )
    keys = exempt_keys(recipe)
    assert keys == tuple(f"exposure:LSSTCam/{n}" for n in range(1, 7))
    held = [("good",), ("junk",), (), ("junk",), ("good",), ()]
    flags = dict(zip(keys, held, strict=True))
    assert contradictions(recipe, flags, VOCABULARY) == (
        Exempt("keep", an_id(1), "because", "good"),
        Exempt("drop", an_id(4), "because", "junk"),
    )


def test_flags_that_hold_through_others_speak_against_exceptions_too() -> None:
    recipe = a_recipe(JUNK, keep=[exempt(1)], drop=[exempt(2)])
    flags = dict.fromkeys(exempt_keys(recipe), ("good", "junk"))
    assert contradictions(recipe, flags, VOCABULARY) == (
        Exempt("drop", an_id(2), "because", "junk"),
    )


def test_recipe_that_asks_for_no_flag_goes_by_those_that_exclude() -> None:
    recipe = a_recipe(
        {"name": "a", "query": {"tags": ["x"]}},
        keep=[exempt(1), exempt(2), exempt(3)],
        drop=[exempt(4), exempt(5)],
    )
    keys = exempt_keys(recipe)
    held = [("good",), ("junk",), ("follow_up",), ("good",), ("junk",)]
    flags = dict(zip(keys, held, strict=True))
    assert contradictions(recipe, flags, VOCABULARY) == (
        Exempt("keep", an_id(1), "because", "good"),
        Exempt("drop", an_id(5), "because", "junk"),
    )


def test_reason_to_keep_a_row_is_its_comment_where_it_has_no_other() -> None:
    recipe = a_recipe(
        JUNK, keep=[exempt(1), exempt(2), exempt(3, values={"comment": "own"})]
    )
    built = combine(recipe, {"junk": found(1, comment="said")})
    assert [row.values for row in built.table.rows] == [
        ("said",),
        ("because",),
        ("own",),
    ]
    plain = combine(a_recipe(JUNK, keep=[exempt(2)], columns=[]), {})
    assert plain.table.columns == ()
    gone = {"data_id": {"exposure": 2}, "reason": REASON_LEFT}
    assert combine(a_recipe(JUNK, keep=[gone]), {}).table.rows[0].values == (None,)


def test_rows_that_came_by_something_else_get_the_flag_that_holds() -> None:
    tagged = [Found(an_id(n), Why("a", tags=("x",))) for n in (1, 2)]
    recipe = a_recipe({"name": "a", "query": {"tags": ["x"]}}, JUNK, columns=["flag"])
    table = combine(recipe, {"a": tagged, "junk": found(3)}).table
    keys = unflagged_keys(table)
    assert keys == ("exposure:LSSTCam/1", "exposure:LSSTCam/2")
    filled = with_flags(table, {keys[0]: ("questionable", "junk")})
    assert [row.values for row in filled.rows] == [
        ("questionable",),
        (None,),
        ("junk",),
    ]
    assert unflagged_keys(combine(a_recipe(JUNK), {"junk": found(1)}).table) == ()


exposures = st.lists(st.integers(1, 9), unique=True)


@given(exposures, exposures, exposures, exposures, st.randoms())
def test_order_in_which_rows_are_found_changes_nothing(
    plus: list[int],
    minus: list[int],
    keep: list[int],
    drop: list[int],
    chance: random.Random,
) -> None:
    drop = [one for one in drop if one not in keep]
    recipe = a_recipe(
        JUNK,
        TESTS,
        keep=[exempt(one) for one in keep],
        drop=[exempt(one) for one in drop],
    )
    built = combine(recipe, {"junk": found(*plus), "tests": found(*minus)})
    assert {one[0] for one in members(built)} == (
        (set(plus) - set(minus) - set(drop)) | set(keep)
    )
    left_out = {one.data_id["exposure"] for one in built.left_out}
    assert left_out == (set(plus) & (set(minus) | set(drop))) - set(keep)
    assert set(built.whys) == {row.data_id for row in built.table.rows}
    chance.shuffle(plus)
    chance.shuffle(minus)
    again = combine(recipe, {"junk": found(*plus), "tests": found(*minus)})
    assert digest(again.table) == digest(built.table)
    assert again == built
