"""Tags: what is taken, what is refused and how, what a filter matches."""

from uuid import UUID

import pytest

from annolog.domain.entries import (
    AnyEntry,
    TagEntry,
    TagVocabulary,
    fields_of,
)
from annolog.domain.errors import InvalidError
from annolog.domain.tags import accept_tags, expand_tag, is_well_formed, keep_tags
from annolog.domain.vocabulary import Entry, Vocabulary

CAMERA = ["LSSTCam"]


def a_vocabulary(*models: AnyEntry) -> Vocabulary:
    return Vocabulary.from_entries(
        Entry(
            "tag" if isinstance(model, TagEntry) else "tag_vocabulary",
            model.key,
            UUID(int=i),
            1,
            i,
            fields_of(model),
        )
        for i, model in enumerate(models)
    )


def a_tag(
    name: str,
    *aliases: str,
    archived: bool = False,
    instrument: str | None = None,
) -> TagEntry:
    return TagEntry(
        name=name, aliases=aliases, archived=archived, instrument=instrument
    )


OPEN = a_vocabulary(
    a_tag("donuts", "rings", "bagels"),
    a_tag("vignetting"),
    a_tag("old_word", archived=True),
)
CURATED = a_vocabulary(
    TagVocabulary(mode="curated"),
    a_tag("donuts", "rings"),
    a_tag("vignetting"),
    a_tag("old_word", archived=True),
)


def refused(
    words: list[str], vocabulary: Vocabulary, instruments: list[str]
) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        accept_tags(words, vocabulary, instruments)
    return caught.value


@pytest.mark.parametrize("word", ["ab", "a1", "bad_focus", "x" * 64])
def test_a_letter_then_letters_digits_and_underscores_is_a_tag(word: str) -> None:
    assert is_well_formed(word)
    assert accept_tags([word], OPEN, CAMERA) == (word,)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "a",
        "1a",
        "_a",
        "a-b",
        "a b",
        "é_a",
        "ab\n",
        "a\0b",
        "x" * 65,
        "a\u212a",
        "\ud800x",
    ],
)
def test_any_other_word_is_refused_with_the_form(word: str) -> None:
    assert not is_well_formed(word)
    error = refused([word], OPEN, CAMERA)
    assert error.reason_code == "malformed_tag"
    assert "2 to 64 characters" in error.detail


def test_upper_case_is_made_lower_case() -> None:
    assert accept_tags(["Donuts", "BAD_focus"], OPEN, CAMERA) == ("donuts", "bad_focus")


def test_an_alias_is_written_as_the_tag_it_stands_for() -> None:
    assert accept_tags(["Rings"], OPEN, CAMERA) == ("donuts",)
    assert accept_tags(["rings"], CURATED, CAMERA) == ("donuts",)


def test_order_is_kept_and_doubles_go() -> None:
    words = ["trailed", "rings", "slew", "donuts", "TRAILED"]
    assert accept_tags(words, OPEN, CAMERA) == ("trailed", "donuts", "slew")


def test_an_open_vocabulary_takes_unknown_words() -> None:
    assert accept_tags(["brand_new"], OPEN, []) == ("brand_new",)
    assert accept_tags([], OPEN, []) == ()


def test_a_curated_vocabulary_refuses_unknown_words_with_the_nearest() -> None:
    error = refused(["donuts", "vignettting"], CURATED, CAMERA)
    (problem,) = error.problems
    assert (problem.pointer, problem.value) == ("/tags/1", "vignettting")
    assert problem.code == error.reason_code == "unknown_tag"
    assert "did you mean vignetting?" in problem.reason


def test_the_nearest_word_is_the_tag_also_where_its_alias_is_nearer() -> None:
    assert "did you mean donuts?" in refused(["ringz"], CURATED, CAMERA).detail


def test_an_archived_tag_is_never_proposed() -> None:
    assert "did you mean" not in refused(["old_words"], CURATED, CAMERA).detail


def test_an_archived_tag_is_refused_in_either_mode() -> None:
    for vocabulary in (OPEN, CURATED):
        assert refused(["old_word"], vocabulary, CAMERA).reason_code == "archived_tag"


def test_an_edit_may_leave_the_tags_that_it_found() -> None:
    words = ["old_word", "Odd Word", "rings"]
    kept = ["old_word", "Odd Word"]
    assert accept_tags(words, CURATED, CAMERA, kept=kept) == (
        "old_word",
        "Odd Word",
        "donuts",
    )


def test_all_that_is_wrong_is_named_at_once() -> None:
    error = refused(["old_word", "donuts", "x", "unheard"], CURATED, CAMERA)
    assert [(one.pointer, one.code) for one in error.problems] == [
        ("/tags/0", "archived_tag"),
        ("/tags/2", "malformed_tag"),
        ("/tags/3", "unknown_tag"),
    ]


def test_a_tag_must_be_right_for_each_instrument() -> None:
    vocabulary = a_vocabulary(
        TagVocabulary(instrument="LATISS", mode="curated"),
        a_tag("grating_stuck", instrument="LATISS"),
    )
    assert accept_tags(["anything"], vocabulary, CAMERA) == ("anything",)
    assert accept_tags(["grating_stuck"], vocabulary, ["LATISS"]) == ("grating_stuck",)
    assert "for LATISS" in refused(["anything"], vocabulary, ["LATISS", *CAMERA]).detail


def test_an_instruments_own_entry_archives_a_tag_there_only() -> None:
    vocabulary = a_vocabulary(
        a_tag("donuts"), a_tag("donuts", archived=True, instrument="LATISS")
    )
    assert accept_tags(["donuts"], vocabulary, CAMERA) == ("donuts",)
    assert refused(["donuts"], vocabulary, ["LATISS"]).reason_code == "archived_tag"


def test_a_word_that_means_two_tags_must_be_said_plainly() -> None:
    vocabulary = a_vocabulary(
        a_tag("donuts", "rings"), a_tag("ghost", "rings", instrument="LATISS")
    )
    assert accept_tags(["rings"], vocabulary, CAMERA) == ("donuts",)
    assert accept_tags(["rings"], vocabulary, ["LATISS"]) == ("ghost",)
    assert (
        refused(["rings"], vocabulary, ["LATISS", *CAMERA]).reason_code
        == "ambiguous_tag"
    )


def test_a_merged_tag_leads_through_to_the_last_one() -> None:
    merged = a_vocabulary(
        a_tag("donuts", "rings"), a_tag("rings", "bagels", archived=True)
    )
    assert accept_tags(["bagels", "rings"], merged, []) == ("donuts",)


def test_tags_that_sites_merged_into_each_other_are_refused_as_archived() -> None:
    circle = a_vocabulary(
        a_tag("rings", "bagels", archived=True), a_tag("bagels", "rings", archived=True)
    )
    assert circle.tag_name("rings", None) == circle.tag_name("bagels", None) == "bagels"
    assert refused(["rings"], circle, []).reason_code == "archived_tag"


def test_a_tag_in_use_stands_for_itself_whoever_claims_it() -> None:
    both = a_vocabulary(a_tag("donuts", "rings"), a_tag("rings"))
    assert accept_tags(["rings"], both, []) == ("rings",)


# --------------------------------------------------------------- what imports bring


def test_an_import_keeps_every_word_and_tells_the_uncurated() -> None:
    words = ["rings", "unheard", "old_word", "Odd Word", "donuts", "unheard"]
    kept = keep_tags(words, CURATED, CAMERA)
    assert kept.tags == ("rings", "unheard", "old_word", "Odd Word", "donuts")
    assert kept.uncurated == ("unheard", "old_word", "Odd Word")


def test_where_the_vocabulary_is_open_an_unknown_word_is_nothing_special() -> None:
    assert keep_tags(["unheard", "old_word"], OPEN, []).uncurated == ("old_word",)


# --------------------------------------------------------------------------- filters


@pytest.mark.parametrize("word", ["donuts", "rings", "BAGELS"])
def test_a_filter_by_any_word_of_a_tag_matches_all_of_them(word: str) -> None:
    assert expand_tag(word, OPEN, "LSSTCam") == {"donuts", "rings", "bagels"}


def test_a_filter_by_an_unknown_or_archived_word_matches_it() -> None:
    assert expand_tag("unheard", OPEN) == {"unheard"}
    assert expand_tag("old_word", OPEN) == {"old_word"}


def test_a_filter_for_all_instruments_takes_each_ones_meaning() -> None:
    vocabulary = a_vocabulary(
        a_tag("donuts", "rings"), a_tag("ghost", "rings", instrument="LATISS")
    )
    assert expand_tag("rings", vocabulary) == {"rings", "donuts", "ghost"}
    assert expand_tag("rings", vocabulary, "LATISS") == {"rings", "ghost"}
    assert expand_tag("donuts", vocabulary, "LATISS") == {"donuts"}
