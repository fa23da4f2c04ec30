"""Vocabularies: which entries hold, what they mean, what may be said anew."""

from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from annolog.domain.entries import (
    MODELS,
    Alias,
    AnyEntry,
    FlagEntry,
    Policy,
    SameAs,
    TagEntry,
    TagVocabulary,
    UnreadableEntryError,
    fields_of,
    read_entry,
)
from annolog.domain.errors import ConflictError
from annolog.domain.shipped import shipped_entries
from annolog.domain.vocabulary import (
    UNKNOWN_SEVERITY,
    Entry,
    Vocabulary,
    check_entry,
    check_flag,
    nearest,
)

KIND_OF = {model: kind for kind, model in MODELS.items()}
HEAD = {
    "record_id",
    "kind",
    "schema",
    "site_id",
    "incarnation",
    "origin_number",
    "clock",
    "created_at",
    "author",
    "author_kind",
    "rank",
    "voter",
    "actor",
    "authenticated_by",
    "user_agent",
    "check",
    "agent",
    "request_digest",
}


def an_entry(model: AnyEntry, clock: int = 1, number: int = 1, **more: object) -> Entry:
    kind = KIND_OF[type(model)]
    fields = fields_of(model) | more
    return Entry(kind, model.key, UUID(int=number), clock, number, fields)


def of(*models: AnyEntry) -> Vocabulary:
    return Vocabulary.from_entries(
        an_entry(model, number=i) for i, model in enumerate(models)
    )


def a_flag(name: str = "junk", severity: int = 900, **more: object) -> FlagEntry:
    return FlagEntry.model_validate({"name": name, "severity": severity, **more})


def a_tag(name: str = "donuts", **more: object) -> TagEntry:
    return TagEntry.model_validate({"name": name, **more})


# ------------------------------------------------------------------- what holds


def test_the_latest_entry_of_a_key_holds() -> None:
    old = an_entry(a_flag(description="old"), clock=1, number=9)
    new = an_entry(a_flag(description="new"), clock=2, number=3)
    for entries in ([old, new], [new, old]):
        vocabulary = Vocabulary.from_entries(entries)
        assert vocabulary.flags["junk"].description == "new"
        assert vocabulary.entry("flag", "junk") == new


def test_at_one_clock_the_greater_record_id_holds() -> None:
    entries = [
        an_entry(a_flag(description=str(number)), clock=5, number=number)
        for number in (2, 7, 4)
    ]
    assert Vocabulary.from_entries(entries).flags["junk"].description == "7"


def test_entries_of_other_keys_stand_beside_each_other() -> None:
    vocabulary = of(a_flag("junk"), a_flag("good", 1), a_tag())
    assert list(vocabulary.flags) == ["good", "junk"]
    assert [one.key for one in vocabulary.entries()] == ["good", "junk", "donuts"]
    assert [one.key for one in vocabulary.entries("tag")] == ["donuts"]
    assert vocabulary.entry("tag", "junk") is None


def test_members_of_a_later_version_are_passed_over() -> None:
    fields = fields_of(a_flag())
    later = fields | {"sound": "gong", "colour": fields["colour"] | {"red": "#ff0000"}}
    vocabulary = Vocabulary.from_entries(
        [Entry("flag", "junk", UUID(int=1), 1, 1, later)]
    )
    assert vocabulary.flags["junk"] == a_flag()


@pytest.mark.parametrize(
    "broken",
    [
        Entry("flag", "junk", UUID(int=5), 9, 9, {"name": "junk", "severity": "much"}),
        Entry("flag", "junk", UUID(int=5), 9, 9, {}),
        Entry("flag", "junk", UUID(int=5), 9, 9, fields_of(a_flag("other"))),
        Entry("smell", "junk", UUID(int=5), 9, 9, {}),
    ],
    ids=["wrong type", "missing", "other key", "unknown kind"],
)
def test_an_unreadable_entry_is_kept_aside_and_the_readable_one_holds(
    broken: Entry,
) -> None:
    good = an_entry(a_flag())
    with pytest.raises(UnreadableEntryError):
        read_entry(broken)
    for vocabulary in (
        Vocabulary.from_entries([broken, good]),
        Vocabulary.from_entries([good, broken]),
        Vocabulary.from_entries([good]).with_entry(broken),
        Vocabulary.from_entries([broken]).with_entry(good),
    ):
        assert vocabulary.flags["junk"] == a_flag()
        assert vocabulary.unreadable == (broken,)


def test_a_vocabulary_cannot_be_changed() -> None:
    vocabulary = of(a_flag())
    with pytest.raises(TypeError):
        vocabulary.flags["good"] = a_flag("good")  # type: ignore[index]
    with pytest.raises(AttributeError):
        vocabulary.flags = {}  # type: ignore[misc]


def test_an_entry_that_changes_nothing_gives_the_same_vocabulary() -> None:
    new = an_entry(a_flag(description="new"), clock=2, number=2)
    vocabulary = Vocabulary.from_entries([new])
    assert vocabulary.with_entry(new) is vocabulary
    assert vocabulary.with_entry(an_entry(a_flag(), clock=1)) is vocabulary


_MODELS = st.one_of(
    st.builds(
        a_flag,
        st.sampled_from(["good", "junk"]),
        st.integers(0, 3),
        asks=st.booleans(),
    ),
    st.builds(
        a_tag,
        st.sampled_from(["aa", "bb"]),
        aliases=st.lists(st.sampled_from(["cc", "dd"]), max_size=2),
        instrument=st.sampled_from([None, "LATISS"]),
        archived=st.booleans(),
    ),
    st.builds(
        lambda a, b: Alias(name=a, leads_to=None if a == b else b),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
    ),
    st.builds(
        lambda a, b, off: SameAs(key_a=f"k:{a}", key_b=f"l:{b}", revoked=off),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.booleans(),
    ),
    st.builds(
        lambda of, rule: Policy(instrument=of, rule=rule),
        st.sampled_from([None, "LATISS"]),
        st.sampled_from(["severity", "latest"]),
    ),
)


@given(
    st.lists(st.tuples(_MODELS, st.integers(1, 3)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_a_vocabulary_depends_on_the_set_of_entries_only(
    said: list[tuple[AnyEntry, int]], random: Random
) -> None:
    entries = [an_entry(model, clock, i) for i, (model, clock) in enumerate(said)]
    whole = Vocabulary.from_entries(entries)
    random.shuffle(entries)
    assert Vocabulary.from_entries(entries + entries) == whole
    one_by_one = Vocabulary.from_entries([])
    for entry in entries:
        one_by_one = one_by_one.with_entry(entry)
    assert one_by_one == whole
    for word in ("aa", "bb", "cc", "dd"):
        assert one_by_one.tag_name(word, "LATISS") == whole.tag_name(word, "LATISS")


# --------------------------------------------------------------------- look-ups


def test_a_flag_without_an_entry_weighs_more_than_any_with_one() -> None:
    vocabulary = of(a_flag(severity=1_000))
    assert vocabulary.severity("junk") == 1_000
    assert vocabulary.severity("cursed") == UNKNOWN_SEVERITY > 1_000


def test_policies_and_modes_go_from_the_instrument_to_all_to_the_default() -> None:
    empty = of()
    assert (empty.rule("LATISS"), empty.mode("LATISS")) == ("severity", "open")
    vocabulary = of(
        Policy(rule="latest"),
        Policy(instrument="LATISS", rule="severity"),
        TagVocabulary(mode="curated"),
        TagVocabulary(instrument="LATISS", mode="open"),
    )
    assert vocabulary.rule("LATISS") == "severity"
    assert vocabulary.rule("LSSTCam") == vocabulary.rule(None) == "latest"
    assert vocabulary.mode("LATISS") == "open"
    assert vocabulary.mode("LSSTCam") == vocabulary.mode(None) == "curated"


def test_instruments_keep_their_raw_fields() -> None:
    fields = {"name": "LATISS", "rule": {"odd": [1]}}
    entry = Entry("instrument", "LATISS", UUID(int=1), 1, 1, fields)
    vocabulary = Vocabulary.from_entries([entry])
    assert vocabulary.instruments == {"LATISS": fields}
    assert vocabulary.unreadable == ()


def test_aliases_lead_through_others_to_one_author() -> None:
    vocabulary = of(
        Alias(name="jdoe@summit-host", leads_to="jdoe"),
        Alias(name="jdoe", leads_to="jane.doe"),
    )
    assert vocabulary.author("jdoe@summit-host") == "jane.doe"
    assert vocabulary.author("jdoe") == "jane.doe"
    assert vocabulary.author("jane.doe") == "jane.doe"
    assert vocabulary.voter("jdoe") == "jane.doe"
    assert vocabulary.voter("jdoe#psf") == "jane.doe#psf"
    assert vocabulary.voter("jdoe#") == "jane.doe#"
    assert vocabulary.voter("other#jdoe") == "other#jdoe"


def test_an_alias_that_leads_to_null_is_ended() -> None:
    entries = [
        an_entry(Alias(name="jd", leads_to="jdoe"), clock=1, number=1),
        an_entry(Alias(name="jd", leads_to=None), clock=2, number=2),
    ]
    assert Vocabulary.from_entries(entries).author("jd") == "jd"


def test_aliases_that_sites_made_into_a_circle_end_at_its_least_name() -> None:
    vocabulary = of(
        Alias(name="c", leads_to="b"),
        Alias(name="b", leads_to="c"),
        Alias(name="a", leads_to="c"),
    )
    assert [vocabulary.author(name) for name in "abc"] == ["b", "b", "b"]


def test_joined_targets_form_groups() -> None:
    vocabulary = of(
        SameAs(key_a="x:2", key_b="x:1"),
        SameAs(key_a="x:2", key_b="x:3"),
        SameAs(key_a="y:1", key_b="y:2"),
        SameAs(key_a="z:1", key_b="z:2", revoked=True),
    )
    group = ("x:1", "x:2", "x:3")
    assert vocabulary.joined == {
        **dict.fromkeys(group, group),
        "y:1": ("y:1", "y:2"),
        "y:2": ("y:1", "y:2"),
    }


def test_a_pair_has_one_key_whichever_way_it_is_written() -> None:
    assert SameAs(key_a="x:2", key_b="x:1").key == SameAs(key_a="x:1", key_b="x:2").key


def test_an_instruments_own_tag_stands_in_place_of_the_one_for_all() -> None:
    vocabulary = of(
        a_tag("aa", description="for all"),
        a_tag("aa", description="own", instrument="LATISS"),
        a_tag("bb"),
    )
    own = vocabulary.tag("aa", "LATISS")
    other = vocabulary.tag("aa", "LSSTCam")
    assert own is not None
    assert other is not None
    assert (own.description, other.description) == ("own", "for all")
    assert vocabulary.tag("cc", "LATISS") is None
    assert [one.description for one in vocabulary.known_tags("LATISS")] == ["own", ""]
    assert len(vocabulary.known_tags(None)) == 2


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("field", "value"), [("severity", 5), ("excludes", True), ("asks", True)]
)
def test_the_meaning_of_a_flag_never_changes(field: str, value: object) -> None:
    current = a_flag()
    proposed = FlagEntry.model_validate(fields_of(current) | {field: value})
    with pytest.raises(ConflictError, match="new name") as caught:
        check_flag(proposed, current)
    assert [one.pointer for one in caught.value.problems] == [f"/{field}"]
    with pytest.raises(ConflictError):
        check_entry(proposed, of(current))


def test_what_a_flag_looks_like_may_change() -> None:
    check_flag(a_flag(), None)
    check_entry(
        a_flag(description="worse", shape="ring_tick", exposurelog_value="junk"),
        of(a_flag()),
    )


def test_an_alias_in_a_circle_is_refused() -> None:
    vocabulary = of(Alias(name="a", leads_to="b"), Alias(name="b", leads_to="c"))
    for name, leads_to in (("c", "a"), ("c", "b"), ("b", "a")):
        with pytest.raises(ConflictError, match="circle"):
            check_entry(Alias(name=name, leads_to=leads_to), vocabulary)


def test_an_alias_may_be_led_elsewhere_or_ended() -> None:
    vocabulary = of(Alias(name="a", leads_to="b"), Alias(name="b", leads_to="c"))
    check_entry(Alias(name="b", leads_to="d"), vocabulary)
    check_entry(Alias(name="c", leads_to="d"), vocabulary)
    check_entry(Alias(name="a", leads_to=None), vocabulary)


def test_a_tag_in_use_cannot_become_an_alias_before_it_is_archived() -> None:
    proposed = a_tag("donuts", aliases=["rings"])
    with pytest.raises(ConflictError, match="archive it"):
        check_entry(proposed, of(a_tag("rings")))
    check_entry(proposed, of(a_tag("rings", archived=True)))


def test_one_word_cannot_be_the_alias_of_two_tags() -> None:
    with pytest.raises(ConflictError, match="alias of 'donuts' already"):
        check_entry(
            a_tag("minidonuts", aliases=["rings"]), of(a_tag(aliases=["rings"]))
        )


def test_an_alias_cannot_become_a_tag_of_its_own() -> None:
    vocabulary = of(a_tag(aliases=["rings"]))
    with pytest.raises(ConflictError, match="alias of 'donuts'"):
        check_entry(a_tag("rings"), vocabulary)
    check_entry(a_tag("rings", archived=True), vocabulary)
    check_entry(a_tag("donuts", aliases=["rings", "bagels"]), vocabulary)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (FlagEntry, {"name": "Junk", "severity": 1}),
        (FlagEntry, {"name": "withdraw", "severity": 1}),
        (FlagEntry, {"name": "none", "severity": 1}),
        (FlagEntry, {"name": "junk", "severity": 1_001}),
        (FlagEntry, {"name": "junk", "severity": -1}),
        (FlagEntry, {"name": "junk", "severity": 1, "asks": True, "excludes": True}),
        (FlagEntry, {"name": "junk", "severity": 1, "exposurelog_value": "good"}),
        (FlagEntry, {"name": "junk", "severity": 1, "instruments": []}),
        (FlagEntry, {"name": "junk", "severity": 1, "color": "#ffffff"}),
        (FlagEntry, {"name": "junk", "severity": 1, "description": "a\0b"}),
        (FlagEntry, {"name": "junk\n", "severity": 1}),
        (TagEntry, {"name": "a\u212a"}),
        (TagEntry, {"name": "a"}),
        (TagEntry, {"name": "1st"}),
        (TagEntry, {"name": "é_accent"}),
        (TagEntry, {"name": "x" * 65}),
        (TagEntry, {"name": "rings", "aliases": ["Rings"]}),
        (TagEntry, {"name": "rings", "instrument": "*"}),
        (TagEntry, {"name": "rings", "instrument": "a/b"}),
        (TagVocabulary, {"mode": "closed"}),
        (Policy, {"rule": "majority"}),
        (Alias, {"name": "a"}),
        (Alias, {"name": "a", "leads_to": "a"}),
        (Alias, {"name": "a", "leads_to": "b\n"}),
        (SameAs, {"key_a": "x:1", "key_b": "x:1"}),
        (SameAs, {"key_a": "x: 1", "key_b": "x:2"}),
    ],
)
def test_a_draft_of_another_form_is_refused(
    model: type[BaseModel], fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(fields)


def test_tag_names_are_made_lower_case() -> None:
    tag = a_tag("Donuts", aliases=["RINGS"])
    assert (tag.name, tag.aliases) == ("donuts", ("rings",))


def test_no_field_has_the_name_of_a_member_of_a_records_head() -> None:
    for model in MODELS.values():
        assert not HEAD & set(model.model_fields)


def test_every_field_is_described() -> None:
    for model in MODELS.values():
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


@pytest.mark.parametrize(
    "model",
    [
        a_flag(instruments=["LATISS"]),
        a_tag(aliases=["rings"], quick_rank=3),
        TagVocabulary(mode="open"),
        Policy(instrument="LATISS", rule="latest"),
        Alias(name="a", leads_to="b"),
        SameAs(key_a="x:2", key_b="x:1"),
    ],
    ids=lambda model: KIND_OF[type(model)],
)
def test_fields_survive_the_way_through_json(model: AnyEntry) -> None:
    assert read_entry(an_entry(model)) == model


def test_the_nearest_words_come_first() -> None:
    assert nearest("vignettting", ["donuts", "vignetting"]) == ("vignetting",)
    assert nearest("zzz", ["donuts"]) == ()


# ------------------------------------------------------------------------ as shipped


def shipped() -> Vocabulary:
    return Vocabulary.from_entries(
        Entry(kind, key, UUID(int=i), 1, i, fields)
        for i, (kind, key, fields) in enumerate(shipped_entries())
    )


def test_the_shipped_flags_mean_what_the_design_says() -> None:
    flags = shipped().flags
    assert {one.name for one in flags.values() if one.excludes} == {"junk"}
    assert shipped().asking == {"follow_up"}
    by_severity = sorted(flags.values(), key=lambda one: one.severity)
    assert [one.name for one in by_severity] == [
        "good",
        "follow_up",
        "questionable",
        "junk",
    ]
    assert {name: one.exposurelog_value for name, one in flags.items()} == {
        "good": "none",
        "follow_up": "questionable",
        "questionable": "questionable",
        "junk": "junk",
    }
    assert len({one.shape for one in flags.values()}) == 4


def test_the_starter_tags_are_quick_tags_with_descriptions() -> None:
    tags = sorted(shipped().tags.values(), key=lambda one: one.quick_rank or 0)
    assert [one.name for one in tags] == [
        "donuts",
        "trailed",
        "hexapod_jump",
        "vignetting",
        "messy_psf",
        "minidonuts",
        "slew",
        "elongated_psf",
        "tracking_stopped",
        "rotator_motion",
        "mount_fault",
        "lights_on",
    ]
    assert [one.quick_rank for one in tags] == list(range(1, 13))
    assert all(one.description for one in tags)
    assert shipped().unreadable == ()
