"""exposurelog's words and annolog's."""

from uuid import UUID

import pytest

from annolog.domain.entries import Entry, ExposureFlag
from annolog.domain.flags import WITHDRAW
from annolog.domain.shipped import shipped_entries
from annolog.domain.vocabulary import Vocabulary
from annolog.exposurelog.flags import EXPOSURE_FLAGS, ShownFlags
from annolog.exposurelog.translate import author_kind, flag_of

FLAGS = ShownFlags.of(
    Vocabulary.from_entries(
        Entry(kind, key, UUID(int=i), i, i, fields)
        for i, (kind, key, fields) in enumerate(shipped_entries())
    )
)


@pytest.mark.parametrize(
    ("value", "flag"),
    [("none", None), ("junk", "junk"), ("questionable", "questionable")],
)
def test_a_new_flag_is_that_of_its_name(value: ExposureFlag, flag: str | None) -> None:
    assert flag_of(value, None, FLAGS) == flag


@pytest.mark.parametrize(
    "flag", ["good", "follow_up", "questionable", "junk", "unknown", WITHDRAW, None]
)
def test_what_was_shown_and_is_sent_back_changes_nothing(flag: str | None) -> None:
    assert flag_of(FLAGS.shown(flag), flag, FLAGS) == flag


@pytest.mark.parametrize("before", ["good", "follow_up", "junk", "unknown", WITHDRAW])
@pytest.mark.parametrize("value", EXPOSURE_FLAGS)
def test_what_is_sent_is_what_is_shown_afterwards(
    value: ExposureFlag, before: str
) -> None:
    assert FLAGS.shown(flag_of(value, before, FLAGS)) == value


def test_people_and_programs_are_told_apart() -> None:
    assert (author_kind(is_human=True), author_kind(is_human=False)) == ("human", "bot")
