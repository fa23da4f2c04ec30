"""Messages: what revisions say about one exposure, as exposurelog's clients see it."""

from collections.abc import Sequence
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from annolog.domain import history
from annolog.domain.annotations import Operation
from annolog.domain.flags import Rank
from annolog.domain.history import Version
from annolog.domain.messages import (
    Message,
    before_and_after,
    content_id,
    kept_names,
    messages,
)

ANNOTATION = UUID("018f0000-0000-7000-8000-00000000a000")
ORDINALS = (1 << 14) - 1


def revision_id(number: int) -> UUID:
    return UUID(int=0x018F0000000070008000000000000000 | number << 14)


def keys(*numbers: int) -> tuple[str, ...]:
    return tuple(f"exposure:LSSTCam/20261119{n:05}" for n in sorted(set(numbers)))


def version(
    number: int,
    targets: tuple[str, ...],
    *,
    parent: int | None = None,
    content: int | None = None,
    operation: Operation = Operation.EDIT,
    continues: UUID | None = None,
) -> Version:
    """A revision; `content` is the number of the one whose words it repeats."""
    return Version(
        revision_id(number),
        ANNOTATION,
        None if parent is None else revision_id(parent),
        number,
        Operation.CREATE if parent is None else operation,
        targets,
        "junk",
        (),
        "jdoe",
        "human",
        "jdoe",
        Rank.HUMAN,
        revision_id(number if content is None else content),
        continues,
    )


def valid(versions: Sequence[Version]) -> dict[str, Message]:
    return {one.key: one for one in messages(versions).values() if one.ended_by is None}


def ended(versions: Sequence[Version]) -> dict[UUID, UUID]:
    return {
        one.message_id: one.ended_by
        for one in messages(versions).values()
        if one.ended_by is not None
    }


def test_the_message_of_one_exposure_has_the_id_of_its_revision() -> None:
    [message] = messages([version(1, keys(7))]).values()

    assert message.message_id == revision_id(1)
    assert message.parent_id is None


def test_58_exposures_are_58_messages_told_apart_by_their_ordinals() -> None:
    found = valid([version(1, keys(*range(58)))])

    assert {one.message_id.int & ORDINALS for one in found.values()} == set(range(58))
    assert {one.message_id.int & ~ORDINALS for one in found.values()} == {
        revision_id(1).int
    }


def test_when_one_of_58_leaves_57_messages_stay_as_they_are() -> None:
    first = version(1, keys(*range(58)))
    before = valid([first])
    left = version(2, keys(*range(1, 58)), parent=1, content=1)
    after = valid([first, left])

    gone = before.pop(keys(0)[0])
    assert after == before
    assert ended([first, left]) == {gone.message_id: left.revision_id}


def test_when_one_of_two_leaves_the_other_message_stays() -> None:
    first, left = version(1, keys(1, 2)), version(2, keys(2), parent=1, content=1)

    assert valid([first, left])[keys(2)[0]] == valid([first])[keys(2)[0]]


def test_an_exposure_that_joins_leaves_the_others_alone() -> None:
    first = version(1, keys(1, 2))
    joined = version(2, keys(0, 1, 2), parent=1, content=1)
    after = valid([first, joined])

    assert after.pop(keys(0)[0]).message_id.int == revision_id(2).int | 2
    assert after == valid([first])


def test_new_words_make_every_message_a_new_one_that_continues_the_old() -> None:
    first, edited = version(1, keys(1, 2)), version(2, keys(1, 2), parent=1)
    before, after = valid([first]), valid([first, edited])

    for key in keys(1, 2):
        assert after[key].parent_id == before[key].message_id
        assert after[key].message_id != before[key].message_id
        assert ended([first, edited])[before[key].message_id] == revision_id(2)


def test_each_revision_about_one_exposure_is_a_message_even_with_the_same_words() -> (
    None
):
    first, again = version(1, keys(1)), version(2, keys(1), parent=1, content=1)

    assert valid([first, again])[keys(1)[0]].message_id == revision_id(2)


def test_a_retraction_ends_messages_and_a_restore_begins_new_ones() -> None:
    first = version(1, keys(1, 2))
    gone = version(2, keys(1, 2), parent=1, content=1, operation=Operation.RETRACT)
    back = version(3, keys(1, 2), parent=2, content=1, operation=Operation.RESTORE)

    assert valid([first, gone]) == {}
    assert set(ended([first, gone]).values()) == {revision_id(2)}
    found = valid([first, gone, back])
    assert found[keys(1)[0]].message_id == revision_id(3)
    assert found[keys(2)[0]].message_id.int == revision_id(3).int | 1
    assert found[keys(1)[0]].parent_id == valid([first])[keys(1)[0]].message_id


def test_an_edit_of_an_older_message_continues_that_one() -> None:
    first, second = version(1, keys(1)), version(2, keys(1), parent=1)
    third = version(3, keys(1), parent=2, continues=revision_id(1))
    found = messages([first, second, third])

    assert found[revision_id(3)].parent_id == revision_id(1)
    assert [one.message_id for one in found.values() if one.ended_by is None] == [
        revision_id(3)
    ]


def test_a_row_that_was_edited_ended_when_its_own_end_says() -> None:
    """The end of an imported row stands beside the edit that followed it."""
    row = version(1, keys(1))
    end = version(2, keys(1), parent=1, content=1, operation=Operation.RETRACT)
    edit = version(3, keys(1), parent=1)
    found = messages([row, end, edit])

    assert found[revision_id(1)].ended_by == revision_id(2)
    assert found[revision_id(3)].ended_by is None
    assert found[revision_id(3)].parent_id == revision_id(1)


def test_only_exposures_have_messages() -> None:
    said = version(1, ("detector:LSSTCam/2026111900001/94", "night:LSSTCam/20261119"))

    assert messages([said]) == {}


def test_of_two_edits_at_once_the_message_of_the_loser_has_ended() -> None:
    first = version(1, keys(1))
    loser, winner = version(2, keys(1), parent=1), version(3, keys(1), parent=1)

    assert valid([first, loser, winner])[keys(1)[0]].message_id == revision_id(3)
    assert ended([first, loser, winner])[revision_id(2)] == revision_id(3)


@st.composite
def lives(draw: st.DrawFn) -> list[Version]:
    """An annotation with edits, forks, retractions and holes."""
    found = [version(1, keys(*draw(st.sets(st.integers(0, 4), min_size=1))))]
    for number in range(2, draw(st.integers(2, 9))):
        parent = draw(st.sampled_from(found))
        operation = draw(
            st.sampled_from([Operation.EDIT, Operation.RETRACT, Operation.RESTORE])
        )
        targets = keys(*draw(st.sets(st.integers(0, 4), min_size=1)))
        same = draw(st.booleans())
        one = version(
            number,
            parent.targets if operation is Operation.RETRACT else targets,
            parent=parent.revision_id.int >> 14 & 0xFF,
            operation=operation,
        )
        content = parent.content_id if same else one.revision_id
        found.append(replace(one, content_id=content))
    if len(found) > 1 and draw(st.booleans()):
        found.remove(draw(st.sampled_from(found)))
    return found


@given(lives(), st.randoms(use_true_random=False))
def test_messages_depend_on_what_was_said_and_not_on_its_order(
    versions: list[Version], chance: Random
) -> None:
    shuffled = list(versions)
    chance.shuffle(shuffled)

    assert messages(shuffled) == messages(versions)


@given(
    versions=lives(),
    chance=st.randoms(use_true_random=False),
    shuffled=st.booleans(),
)
def test_before_and_after_some_revisions_is_what_each_set_shows(
    versions: list[Version], chance: Random, *, shuffled: bool
) -> None:
    ordered = sorted(versions, key=lambda one: one.order)
    if shuffled:
        chance.shuffle(ordered)
    first = chance.randrange(len(ordered))
    known, further = ordered[:first], ordered[first:]

    assert before_and_after(known, further) == (messages(known), messages(ordered))


@given(lives())
def test_each_exposure_that_is_named_now_has_exactly_one_valid_message(
    versions: list[Version],
) -> None:
    now = history.current(versions)
    found = [one for one in messages(versions).values() if one.ended_by is None]

    assert sorted(one.key for one in found) == sorted(now.named)


@given(lives())
def test_what_was_shown_once_is_shown_for_ever_valid_or_not(
    versions: list[Version],
) -> None:
    ordered = sorted(versions, key=lambda one: one.order)
    seen: dict[UUID, tuple[str, UUID]] = {}
    for number in range(1, len(ordered) + 1):
        found = messages(ordered[:number])
        for message_id, (key, began) in seen.items():
            assert (found[message_id].key, found[message_id].revision_id) == (
                key,
                began,
            )
        seen = {one.message_id: (one.key, one.revision_id) for one in found.values()}


WORDS = {
    "text": "a trail",
    "level": 20,
    "tags": ["trailed"],
    "urls": [],
    "flag": "junk",
    "author": "jdoe",
    "author_kind": "human",
}


def test_words_that_did_not_change_name_the_revision_in_which_they_did() -> None:
    parent = {**WORDS, "revision_id": str(revision_id(2))}

    assert content_id(revision_id(1), WORDS, None) == revision_id(1)
    assert content_id(revision_id(3), WORDS, parent) == revision_id(2)
    parent["content_id"] = str(revision_id(1))
    assert content_id(revision_id(3), WORDS, parent) == revision_id(1)
    changed = {**WORDS, "flag": None}
    assert content_id(revision_id(3), changed, parent) == revision_id(3)


def test_an_edit_keeps_the_names_that_an_old_row_gave_its_exposure() -> None:
    row = {"obs_id": "odd one", "instrument": "Oddcam", "day_obs": 0, "seq_num": -1}
    parent = {"exposurelog": {**row, "site_id": "base"}, "targets": list(keys(1))}

    assert kept_names(parent, keys(1)) == row
    assert kept_names(parent, keys(1, 2)) == {}
    assert kept_names({"targets": list(keys(1))}, keys(1)) == {}
    assert kept_names(None, keys(1)) == {}
