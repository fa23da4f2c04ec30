"""Flags and tags that recipes ask for and nobody knows."""

from typing import Any

import pytest

from annolog.domain.dataid_recipes import Recipe
from annolog.domain.dataid_words import check_flags, check_tags, new_tags
from annolog.domain.entries import TagEntry, TagVocabulary, fields_of
from annolog.domain.errors import InvalidError
from annolog.domain.shipped import shipped_entries
from tests.support.dataids import vocabulary_of

RINGS = TagEntry(name="rings", aliases=("halo",))
CURATED = TagVocabulary(instrument="LATISS", mode="curated")
VOCABULARY = vocabulary_of(
    [
        *shipped_entries(),
        ("tag", RINGS.key, fields_of(RINGS)),
        ("tag_vocabulary", CURATED.key, fields_of(CURATED)),
    ]
)


def a_recipe(*queries: dict[str, Any], instrument: str = "LSSTCam") -> Recipe:
    parts = [{"name": f"p{n}", "query": one} for n, one in enumerate(queries)]
    return Recipe.model_validate({"instrument": instrument, "parts": parts})


def test_mistyped_flags_are_refused_with_their_places_and_the_nearest() -> None:
    recipe = a_recipe({"flags": ["junk"]}, {"flags": ["good", "jnuk", "Junk", "zz"]})
    with pytest.raises(InvalidError) as caught:
        check_flags(recipe, VOCABULARY)
    problems = caught.value.problems
    assert [(one.pointer, one.value) for one in problems] == [
        ("/parts/1/query/flags/1", "jnuk"),
        ("/parts/1/query/flags/2", "Junk"),
        ("/parts/1/query/flags/3", "zz"),
    ]
    assert "did you mean junk?" in problems[0].reason
    assert "did you mean junk?" in problems[1].reason
    assert "known are follow_up, good, junk" in problems[2].reason
    check_flags(a_recipe({"flags": ["junk", "follow_up"], "tags": ["x"]}), VOCABULARY)


def test_tags_of_the_vocabulary_are_known_by_any_of_their_words() -> None:
    tags = ["donuts", "Donuts", "halo", "rings"]
    assert new_tags(a_recipe({"tags": tags}), VOCABULARY) == []


def test_tags_that_the_vocabulary_lacks_are_told_with_the_nearest() -> None:
    (one,) = new_tags(a_recipe({"tags": ["donuts"]}, {"tags": ["donut"]}), VOCABULARY)
    assert (one.pointer, one.words) == ("/parts/1/query/tags/0", frozenset({"donut"}))
    assert one.told == (
        "part 'p1': no statement has the tag 'donut'; "
        "did you mean donuts or minidonuts?"
    )
    (other,) = new_tags(a_recipe({"tags": ["haloo"]}), VOCABULARY)
    assert other.told.endswith("did you mean rings?")
    check_tags([one, other])


def test_where_the_vocabulary_is_curated_such_tags_are_refused() -> None:
    found = new_tags(a_recipe({"tags": ["donut"]}, instrument="LATISS"), VOCABULARY)
    with pytest.raises(InvalidError, match="did you mean donuts") as caught:
        check_tags(found)
    assert caught.value.reason_code == "unknown_tag"
    assert caught.value.problems[0].pointer == "/parts/0/query/tags/0"
