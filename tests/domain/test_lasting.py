"""What holds of a detector at some times and not at others."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import hypothesis.strategies as st
from hypothesis import given

from annolog.domain.entries import Entry
from annolog.domain.flags import Rank, Said
from annolog.domain.history import Standing
from annolog.domain.inheritance import holds
from annolog.domain.lasting import ALWAYS, Lasting, hull
from annolog.domain.ledger import state_of
from annolog.domain.shipped import shipped_entries
from annolog.domain.times import Span
from annolog.domain.vocabulary import Vocabulary

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
SHIPPED = Vocabulary.from_entries(
    Entry(kind, key, UUID(int=0), 0, 0, fields)
    for kind, key, fields in shipped_entries()
)


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number - 1)


def span(begin: int | None, end: int | None) -> Span:
    return Span(
        None if begin is None else day(begin), None if end is None else day(end)
    )


def exposure(number: int) -> Span:
    return Span(day(number), day(number) + timedelta(seconds=30))


Stood = tuple[Standing, Span | None]


def said(
    number: int,
    flag: str | None,
    observed: Span | None,
    *,
    by: str = "jdoe",
    tags: tuple[str, ...] = (),
) -> Stood:
    at = UUID(int=number)
    one = Said(at, at, at, by, by, Rank.HUMAN, flag, at, number, None)
    return Standing(one, 0, tags), observed


def junk(*stood: Stood) -> Lasting:
    return Lasting(stood, frozenset({"junk"}), frozenset({"glow"}), SHIPPED, "LSSTCam")


def test_it_holds_for_what_its_time_overlaps() -> None:
    one = junk(said(1, "junk", span(2, 4)))
    assert [one.holds(exposure(n)) for n in (1, 2, 3, 4)] == [False, True, True, False]
    assert one.spans == (span(2, 4),)
    assert not one.holds(None)


def test_an_open_end_holds_on_and_no_time_always() -> None:
    since = junk(said(1, "junk", span(2, None)))
    assert [since.holds(exposure(n)) for n in (1, 2, 400)] == [False, True, True]
    always = junk(said(1, None, None, tags=("glow",)))
    assert always.spans == (ALWAYS,)
    assert always.holds(exposure(1))
    assert always.holds(None)


def test_of_each_exposure_only_the_votes_count_that_hold_for_it() -> None:
    # The same person finds it good on one of the days, another one on the last.
    one = junk(
        said(1, "junk", span(1, 10)),
        said(2, "good", span(3, 4)),
        said(3, "good", span(8, 9), by="alice"),
    )
    assert [one.holds(exposure(n)) for n in (2, 3, 5, 8)] == [True, False, True, True]


def test_what_has_other_words_never_holds() -> None:
    one = junk(said(1, "questionable", None), said(2, None, None, tags=("donuts",)))
    assert one.spans == ()
    assert not one.holds(exposure(1))


def test_a_hull_is_open_where_one_is() -> None:
    assert hull([]) is None
    assert hull([span(2, 3), span(5, 6)]) == span(2, 6)
    assert hull([span(2, None), span(5, 6)]) == span(2, None)
    assert hull([ALWAYS, span(5, 6)]) == ALWAYS


hours = st.integers(0, 12).map(lambda n: FIRST + timedelta(hours=n))
windows = st.tuples(hours, hours).map(lambda two: Span(min(two), max(two)))
observed = st.none() | windows | st.builds(Span, hours, st.none())
votes = st.lists(
    st.tuples(
        st.sampled_from(["junk", "good", "questionable", "withdraw", None]),
        observed,
        st.sampled_from(["jdoe", "alice"]),
        st.sampled_from([(), ("glow",)]),
    ),
    max_size=5,
)


@given(votes, st.lists(windows, min_size=1, max_size=20))
def test_it_says_of_each_time_what_the_policy_says_of_what_holds(
    given_votes: list[tuple[str | None, Span | None, str, tuple[str, ...]]],
    times: list[Span],
) -> None:
    stood = [
        said(number, flag, when, by=by, tags=tags)
        for number, (flag, when, by, tags) in enumerate(given_votes, 1)
    ]
    one = junk(*stood)
    for window in times:
        holding = [standing for standing, when in stood if holds(when, window)]
        state = state_of(holding, SHIPPED, "LSSTCam")
        wanted = state.flag == "junk" or "glow" in state.tags
        assert one.holds(window) == wanted
        if wanted:
            assert any(part.overlaps(window) for part in one.spans)
