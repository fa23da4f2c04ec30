"""Misspelt members of a body are told with the one that may have been meant."""

import pytest

from annolog.actions.dataids import ReleaseDraft
from annolog.api import requests
from annolog.api.dataid_builds import BuildDraft
from annolog.domain.annotations import AnnotationDraft
from annolog.domain.errors import InvalidError


@pytest.mark.parametrize(
    ("model", "body", "pointer", "hint"),
    [
        (ReleaseDraft, '{"label": "a", "lable": 1}', "/lable", "label"),
        (BuildDraft, '{"reciep": {}}', "/reciep", "recipe"),
        (
            BuildDraft,
            '{"recipe": {"parts": [{"name": "a", "query": {"flag": ["junk"]}}]}}',
            "/recipe/parts/0/query/flag",
            "flags",
        ),
        (
            BuildDraft,
            '{"recipe": {"keep": [{"reason": "r", "data_id": {}, "value": {}}]}}',
            "/recipe/keep/0/value",
            "values",
        ),
        (
            AnnotationDraft,
            '{"targets": ["a"], "text": "", "agent": {"nmae": "x"}}',
            "/agent/nmae",
            "name",
        ),
    ],
)
def test_a_misspelt_member_is_told_with_the_one_that_is_near(
    model: type[ReleaseDraft | BuildDraft | AnnotationDraft],
    body: str,
    pointer: str,
    hint: str,
) -> None:
    with pytest.raises(InvalidError) as caught:
        requests.parse_json(model, body.encode())
    told = {one.pointer: one.reason for one in caught.value.problems}
    name = pointer.rpartition("/")[2]
    said = f"there is no member {name!r} here; did you mean {hint}"
    assert told[pointer].startswith(said)


def test_a_member_that_is_like_none_is_merely_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        requests.parse_json(ReleaseDraft, b'{"label": "a", "zzz": 1}')
    (problem,) = caught.value.problems
    assert problem.reason == "there is no member 'zzz' here"
