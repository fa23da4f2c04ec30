"""The policy of flags: by hand-written cases, and by what must hold for all."""

import re
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from annolog.domain.entries import Alias, AnyEntry, FlagEntry, Policy, fields_of
from annolog.domain.errors import InvalidError
from annolog.domain.flags import (
    NOTHING_SAID,
    WITHDRAW,
    Effective,
    Part,
    Rank,
    Said,
    accept_flag,
    effective,
    explain,
    most_severe,
    voter_of,
)
from annolog.domain.shipped import shipped_entries
from annolog.domain.vocabulary import Entry, Vocabulary

CAMERA = "LSSTCam"
CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "flag_cases.yaml").read_text()
)
LINE = re.compile(
    r"(?P<id>[a-z]): (?P<rank>bot|human|curator) (?P<voter>\S+) says (?P<flag>\w+) "
    r"at (?P<clock>\d+)(, rejected by (?P<by>human|curator))?"
)


def an_id(name: str | int) -> UUID:
    return UUID(int=name if isinstance(name, int) else ord(name))


def said(
    number: str | int,
    flag: str | None,
    *,
    voter: str = "anna",
    rank: Rank = Rank.HUMAN,
    clock: int = 1,
    contested: Rank | None = None,
) -> Said:
    one = an_id(number)
    author = voter.partition("#")[0]
    return Said(one, one, one, author, voter, rank, flag, one, clock, contested)


def from_line(line: str) -> Said:
    found = LINE.fullmatch(line)
    assert found, line
    return said(
        found["id"],
        None if found["flag"] == "nothing" else found["flag"],
        voter=found["voter"],
        rank=Rank.from_word(found["rank"]),
        clock=int(found["clock"]),
        contested=Rank.from_word(found["by"]) if found["by"] else None,
    )


def a_vocabulary(
    *,
    policy: str | dict[str, str] | None = None,
    aliases: dict[str, str] | None = None,
    flags: dict[str, dict[str, Any]] | None = None,
) -> Vocabulary:
    said_too: list[tuple[str, AnyEntry]] = [
        *(
            ("policy", Policy.model_validate({"instrument": of, "rule": rule}))
            for of, rule in (
                policy if isinstance(policy, dict) else {CAMERA: policy}
            ).items()
            if rule
        ),
        *(
            ("alias", Alias(name=name, leads_to=to))
            for name, to in (aliases or {}).items()
        ),
        *(
            ("flag", FlagEntry.model_validate({"name": name, **rest}))
            for name, rest in (flags or {}).items()
        ),
    ]
    entries = [
        *shipped_entries(),
        *((kind, model.key, fields_of(model)) for kind, model in said_too),
    ]
    return Vocabulary.from_entries(
        Entry(kind, key, UUID(int=i), i, i, fields)
        for i, (kind, key, fields) in enumerate(entries)
    )


SHIPPED = a_vocabulary()
LATEST = a_vocabulary(policy="latest")


def vocabulary_of(case: dict[str, Any]) -> Vocabulary:
    return a_vocabulary(
        policy=case.get("policy"),
        aliases=case.get("aliases"),
        flags=case.get("flags"),
    )


def ids(names: list[str]) -> tuple[UUID, ...]:
    return tuple(an_id(name) for name in names)


# --------------------------------------------------------------------------- cases


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_case_holds_in_any_order(case: dict[str, Any]) -> None:
    rows = [from_line(line) for line in case["said"]]
    expected = Effective(
        flag=case["flag"],
        decided_by=ids(case.get("decided_by", [])),
        outvoted=ids(case.get("outvoted", [])),
        disputed=case.get("disputed", False),
        bots_differ=case.get("bots_differ", False),
        follow_ups=ids(case.get("follow_ups", [])),
    )
    for order in permutations(rows):
        assert effective(order, vocabulary_of(case), CAMERA) == expected


def test_cases_are_many_and_each_has_a_title_of_its_own() -> None:
    assert len({case["title"] for case in CASES}) == len(CASES) >= 40


def test_cases_use_no_word_that_nothing_reads() -> None:
    known = {"title", "said", "policy", "aliases", "flags"} | set(
        Effective.__struct_fields__
    )
    assert {word for case in CASES for word in case} <= known


# ---------------------------------------------------------------------- properties

PEOPLE = ["anna", "bela", "anna@summit"]
BOTS = ["qa#psf", "qa#donuts", "anna#"]
FLAGS = [None, "good", "questionable", "junk", "follow_up", WITHDRAW, "cursed"]


@st.composite
def statements(draw: st.DrawFn, *, most: int = 6, contested: bool = True) -> list[Said]:
    rows = []
    for number in range(draw(st.integers(0, most))):
        rank = draw(st.sampled_from(Rank))
        rows.append(
            said(
                number,
                draw(st.sampled_from(FLAGS)),
                voter=draw(st.sampled_from(PEOPLE if rank else BOTS)),
                rank=rank,
                clock=draw(st.integers(1, 4)),
                contested=rank if rank and contested and draw(st.booleans()) else None,
            )
        )
    return rows


VOCABULARIES = st.sampled_from(
    [SHIPPED, LATEST, a_vocabulary(aliases={"anna@summit": "anna"})]
)


def later(
    flag: str | None, *, voter: str | None = None, rank: Rank = Rank.HUMAN
) -> Said:
    """Say something after all that `statements` gives, by default as a new voter."""
    newcomer = "zoe" if rank else "zoe#"
    return said(99, flag, voter=voter or newcomer, rank=rank, clock=9)


@given(statements(), VOCABULARIES, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(
    rows: list[Said], vocabulary: Vocabulary, random: Random
) -> None:
    again = rows + [one for one in rows if random.random() < 0.5]
    random.shuffle(again)
    assert effective(again, vocabulary, CAMERA) == effective(rows, vocabulary, CAMERA)


@given(statements(most=1), VOCABULARIES)
def test_the_short_way_for_one_statement_agrees_with_the_long_one(
    rows: list[Said], vocabulary: Vocabulary
) -> None:
    # A note beside it says nothing about flags, but makes two statements of it.
    note = said(50, None, voter="zoe")
    assert effective(rows, vocabulary, CAMERA) == effective(
        [*rows, note], vocabulary, CAMERA
    )


@given(statements(), VOCABULARIES, st.sampled_from(["good", "junk", "cursed"]))
def test_a_bot_changes_nothing_where_a_person_voted(
    rows: list[Said], vocabulary: Vocabulary, flag: str
) -> None:
    before = effective(rows, vocabulary, CAMERA)
    people = {one.vote_id for one in rows if one.rank > Rank.BOT}
    if not people & set(before.decided_by):
        return
    bot = later(flag, voter="new#bot", rank=Rank.BOT)
    after = effective([*rows, bot], vocabulary, CAMERA)
    outvoted = set(before.outvoted) | ({bot.vote_id} if flag != before.flag else set())
    assert after == replace(before, outvoted=tuple(sorted(outvoted)))


@given(statements(), VOCABULARIES)
def test_a_new_voter_who_agrees_at_the_deciding_rank_disputes_nothing(
    rows: list[Said], vocabulary: Vocabulary
) -> None:
    before = effective(rows, vocabulary, CAMERA)
    if not before.decided_by:
        return
    rank = next(one.rank for one in rows if one.vote_id == before.decided_by[0])
    also = later(before.flag, rank=rank)
    after = effective([*rows, also], vocabulary, CAMERA)
    assert (after.flag, after.disputed, after.bots_differ, after.outvoted) == (
        before.flag,
        before.disputed,
        before.bots_differ,
        before.outvoted,
    )


@given(statements(), st.sampled_from(["good", "questionable", "junk"]))
def test_a_new_voter_of_the_deciding_rank_never_lowers_severity(
    rows: list[Said], flag: str
) -> None:
    before = effective(rows, SHIPPED, CAMERA)
    if not before.decided_by or before.flag is None:
        return
    rank = next(one.rank for one in rows if one.vote_id == before.decided_by[0])
    new = later(flag, rank=rank)
    after = effective([*rows, new], SHIPPED, CAMERA)
    assert after.flag is not None
    assert SHIPPED.severity(after.flag) >= SHIPPED.severity(before.flag)


@given(statements(), VOCABULARIES, st.sampled_from(FLAGS[1:4]))
def test_a_vote_below_the_deciding_rank_changes_no_flag_and_no_dispute(
    rows: list[Said], vocabulary: Vocabulary, flag: str
) -> None:
    before = effective(rows, vocabulary, CAMERA)
    if not before.decided_by:
        return
    rank = next(one.rank for one in rows if one.vote_id == before.decided_by[0])
    for lower in (one for one in Rank if one < rank):
        new = later(flag, rank=lower)
        after = effective([*rows, new], vocabulary, CAMERA)
        assert replace(after, outvoted=()) == replace(before, outvoted=())


@given(statements(), VOCABULARIES, st.sampled_from([*PEOPLE, *BOTS]))
def test_to_withdraw_is_never_to_have_voted(
    rows: list[Said], vocabulary: Vocabulary, voter: str
) -> None:
    rank = Rank.BOT if voter in BOTS else Rank.HUMAN
    # A withdrawal that an equal rejects is itself disputed: not what is meant here.
    rows = [
        replace(one, contested=None) if one.flag == WITHDRAW else one for one in rows
    ]
    withdrawal = later(WITHDRAW, voter=voter, rank=rank)
    me = vocabulary.voter(voter)
    others = [
        one
        for one in rows
        if vocabulary.voter(one.voter) != me or one.flag in {None, "follow_up"}
    ]
    assert effective([*rows, withdrawal], vocabulary, CAMERA) == effective(
        others, vocabulary, CAMERA
    )


@given(statements())
def test_an_alias_is_as_if_the_voter_had_been_renamed(rows: list[Said]) -> None:
    aliases = a_vocabulary(aliases={"anna@summit": "anna"})
    renamed = [
        replace(one, voter=one.voter.replace("anna@summit", "anna")) for one in rows
    ]
    assert effective(rows, aliases, CAMERA) == effective(renamed, SHIPPED, CAMERA)


@given(statements(contested=False))
def test_under_latest_nothing_is_disputed_by_difference(rows: list[Said]) -> None:
    result = effective(rows, LATEST, CAMERA)
    assert not result.disputed
    assert not result.bots_differ
    assert len(result.decided_by) <= 1


@given(statements(contested=False), VOCABULARIES)
def test_one_above_all_settles(rows: list[Said], vocabulary: Vocabulary) -> None:
    people = [replace(one, rank=min(one.rank, Rank.HUMAN)) for one in rows]
    settled = later("good", voter="cora", rank=Rank.CURATOR)
    result = effective([*people, settled], vocabulary, CAMERA)
    assert (result.flag, result.disputed, result.bots_differ) == ("good", False, False)
    assert result.decided_by == (settled.vote_id,)


@given(statements(), VOCABULARIES)
def test_the_answer_is_consistent_in_itself(
    rows: list[Said], vocabulary: Vocabulary
) -> None:
    result = effective(rows, vocabulary, CAMERA)
    flag_of = {one.vote_id: one.flag for one in rows}
    assert {flag_of[one] for one in result.decided_by} <= {result.flag}
    assert all(flag_of[one] not in {result.flag, None} for one in result.outvoted)
    assert result.flag != WITHDRAW
    assert not (result.disputed and result.bots_differ and not _contested(rows))
    assert bool(result.decided_by) == (result.flag not in {None, "follow_up"})
    assert set(result.follow_ups) == {
        one.annotation_id for one in rows if one.flag == "follow_up"
    }


def _contested(rows: list[Said]) -> bool:
    return any(one.contested is not None for one in rows)


@given(statements(), VOCABULARIES)
def test_the_explanation_agrees_with_the_answer(
    rows: list[Said], vocabulary: Vocabulary
) -> None:
    result = effective(rows, vocabulary, CAMERA)
    votes = explain(iter(rows), vocabulary, CAMERA)

    def in_part(part: Part) -> tuple[UUID, ...]:
        return tuple(sorted(one.said.vote_id for one in votes if one.part is part))

    assert in_part(Part.DECIDED) == result.decided_by
    assert in_part(Part.OUTVOTED) == result.outvoted
    assert len({one.voter for one in votes}) == len(votes)
    assert all(one.said.flag == result.flag for one in votes if one.part is Part.AGREES)
    clocks = [one.said.vote_clock for one in votes]
    assert clocks == sorted(clocks, reverse=True)


# ------------------------------------------------------------------ the small parts


def test_nothing_said_is_one_value() -> None:
    assert effective([], SHIPPED, None) is NOTHING_SAID
    assert effective(iter([said(1, None)]), SHIPPED, None) is NOTHING_SAID


def test_only_a_person_can_dispute_by_rejecting() -> None:
    bot = said("a", "junk", voter="qa#", rank=Rank.BOT, contested=Rank.BOT)
    other = said("b", "junk", voter="trails#", rank=Rank.BOT)
    assert not effective([bot], SHIPPED, CAMERA).disputed
    assert not effective([bot, other], SHIPPED, CAMERA).disputed


def test_explain_tells_the_part_of_each_vote() -> None:
    rows = [
        said("a", "junk", voter="anna", clock=1),
        said("b", "good", voter="bela", clock=2),
        said("c", "junk", voter="qa#psf", rank=Rank.BOT, clock=3),
        said("d", "follow_up", voter="dora", clock=4),
    ]
    assert [(one.voter, one.part) for one in explain(rows, SHIPPED, CAMERA)] == [
        ("qa#psf", "agrees"),
        ("bela", "outvoted"),
        ("anna", "decided"),
    ]


def test_explain_names_the_person_behind_an_alias() -> None:
    aliases = a_vocabulary(aliases={"anna@summit": "anna"})
    (vote,) = explain([said("a", "junk", voter="anna@summit")], aliases, CAMERA)
    assert vote.voter == "anna"
    assert vote.said.voter == "anna@summit"


def test_a_person_and_a_bot_of_one_name_are_two_voters() -> None:
    assert voter_of("anna", "human", None) == "anna"
    assert voter_of("anna", "human", "psf") == "anna"
    assert voter_of("anna", "bot", None) == "anna#"
    assert voter_of("anna", "bot", "psf") == "anna#psf"
    assert voter_of("a#b", "human", None) == "a##b"


_NAMES = st.text("a#%2", min_size=1, max_size=6)


@given(st.lists(st.tuples(_NAMES, st.sampled_from(["human", "bot"]), _NAMES)))
def test_no_two_voters_share_a_name(who: list[tuple[str, Any, str]]) -> None:
    voters = {
        (author, kind, check if kind == "bot" else "") for author, kind, check in who
    }
    assert len({voter_of(*one) for one in voters}) == len(voters)


@given(_NAMES, _NAMES)
def test_an_alias_finds_the_author_whatever_signs_are_in_it(
    author: str, check: str
) -> None:
    if author == "zoe#":
        return
    aliases = a_vocabulary(aliases={author: "zoe#"})
    assert aliases.voter(voter_of(author, "human", None)) == "zoe##"
    assert aliases.voter(voter_of(author, "bot", check)) == voter_of(
        "zoe#", "bot", check
    )


def test_ranks_go_by_weight_and_by_word() -> None:
    assert Rank.BOT < Rank.HUMAN < Rank.CURATOR
    assert [one.word for one in Rank] == ["bot", "human", "curator"]
    assert all(Rank.from_word(one.word) is one for one in Rank)
    with pytest.raises(InvalidError, match="bot, human or curator"):
        Rank.from_word("HUMAN")


def test_most_severe_of_none_is_none() -> None:
    assert most_severe([], SHIPPED) is None
    assert most_severe([None, "good"], SHIPPED) == "good"


def test_an_unknown_flag_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InvalidError, match="questionable") as caught:
        accept_flag("questionnable", SHIPPED, [CAMERA])
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.value) == ("/flag", "questionnable")
    assert caught.value.reason_code == "unknown_flag"


def test_withdraw_and_known_flags_are_accepted() -> None:
    assert accept_flag(WITHDRAW, SHIPPED, [CAMERA]) == WITHDRAW
    assert accept_flag("junk", SHIPPED, []) == "junk"


def test_a_flag_of_another_instrument_is_refused() -> None:
    own = a_vocabulary(flags={"fringed": {"severity": 1, "instruments": ["LATISS"]}})
    assert accept_flag("fringed", own, ["LATISS"]) == "fringed"
    with pytest.raises(InvalidError, match="only for LATISS, not for LSSTCam"):
        accept_flag("fringed", own, ["LATISS", CAMERA])
