"""What the command line tells people of data-ID sets."""

from collections.abc import Mapping
from typing import Any

import pytest

from annolog_client._dataidset_text import (
    ALL,
    NONE,
    describe,
    difference_lines,
    made_lines,
    why_lines,
)


def an_answer(listed: int, count: int) -> Mapping[str, Any]:
    rows = [{"data_id": {"visit": n}, "values": {"a": None}} for n in range(listed)]
    return {
        "unchanged": False,
        "written": False,
        "added": rows,
        "dropped": [],
        "altered": [],
        "added_count": count,
        "dropped_count": 0,
        "altered_count": 0,
        "columns_added": [],
        "columns_dropped": [],
    }


@pytest.mark.parametrize(
    ("listed", "most", "lines", "last"),
    [
        (20, 20, 20, "+ visit 19"),
        (21, 20, 21, "... and 1 more (--all shows them)"),
        (30, ALL, 30, "+ visit 29"),
        (10_000, 20, 21, "... and 99,980 more (--all shows the first 10,000)"),
        (10_000, ALL, 10_001, "... and 90,000 more (the service does not list them)"),
    ],
)
def test_difference_is_told_by_its_first_rows(
    listed: int, most: int, lines: int, last: str
) -> None:
    count = 100_000 if listed == 10_000 else listed
    told = [*difference_lines(an_answer(listed, count), most)]
    assert (len(told), told[-1]) == (lines, last)


def test_quiet_tells_the_numbers_alone() -> None:
    told = [*made_lines("bad", an_answer(30, 30), NONE)]
    assert told == ["bad: would be made, 30 added"]


def test_every_kind_of_line_has_its_own_limit() -> None:
    row = {"data_id": {"exposure": 7, "instrument": "LSSTCam"}, "reason": "r"}
    answer = {
        **an_answer(0, 0),
        "doubled": [{"line": n, "first": 1} for n in range(2, 5)],
        "idle": [{**row, "action": "keep", "flag": None}] * 3,
        "notes": ["units are not kept"],
    }
    assert [*made_lines("bad", answer, 1)][1:] == [
        "line 2: says the same as line 1, left out",
        "... and 2 more (--all shows them)",
        "units are not kept",
        "keep LSSTCam exposure 7: makes no difference (r)",
        "... and 2 more (--all shows them)",
    ]


def test_data_ids_are_told_in_one_order_of_dimensions() -> None:
    data_id: dict[str, int | str] = {"detector": 94, "exposure": 7, "instrument": "X"}
    assert describe(data_id) == "X exposure 7 detector 94"


def test_reasons_say_what_is_part_and_what_is_flag() -> None:
    why = {
        "part": "donuts",
        "flag": None,
        "tags": ["donuts", "wind"],
        "comments": ["out of focus", ""],
        "annotations": ["id"],
        "inherited_from": ["visit:LSSTCam/7"],
        "reason": None,
    }
    kept = {
        **dict.fromkeys(("tags", "comments", "annotations", "inherited_from"), ()),
        "part": "keep",
        "flag": None,
        "reason": "a satellite",
    }
    data_id = {"instrument": "LSSTCam", "exposure": 7}
    answer = {
        "items": [{"data_id": data_id, "why": [why, {**why, "part": "old"}]}],
        "left_out": [{"data_id": data_id, "part": "minus", "why": [kept]}],
        "agrees": True,
    }
    said = 'tag donuts tag wind "out of focus" from visit:LSSTCam/7 (id)'
    assert [*why_lines(answer)] == [
        f"LSSTCam exposure 7: part donuts: {said}; part old: {said}",
        "left out LSSTCam exposure 7 (part minus): keep: a satellite",
    ]
