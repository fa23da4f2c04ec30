"""What held after each change."""

from uuid import UUID

from annolog.domain.chronicle import Chronicle, Interval, Twin
from annolog.domain.entries import Entry
from annolog.domain.flags import Rank, Said
from annolog.domain.history import Standing

A, B = "exposure:HSC/1", "exposure:HSC/obs_id=HSCA01"


def stood(
    key: str, flag: str, voter: str, begin: int, end: int | None = None
) -> Interval:
    one = UUID(int=begin)
    said = Said(one, one, one, voter, voter, Rank.HUMAN, flag, one, begin, None)
    return Interval(key, Standing(said, 0, ()), begin, end)


def policy(number: int, rule: str) -> Entry:
    fields = {"instrument": None, "rule": rule}
    return Entry("policy", "*", UUID(int=number), number, number, fields)


def same(number: int, *, revoked: bool = False) -> Entry:
    fields = {"key_a": A, "key_b": B, "revoked": revoked}
    return Entry("same_as", f"{A} {B}", UUID(int=number), number, number, fields)


def flags(chronicle: Chronicle, until: int) -> list[str | None]:
    return [chronicle.at(number).state.flag for number in range(until)]


def test_state_follows_intervals_open_at_one_end() -> None:
    chronicle = Chronicle(A, {A: "HSC"}, [stood(A, "junk", "jdoe", 2, 4)], [])
    assert flags(chronicle, 6) == [None, None, "junk", "junk", None, None]
    assert [chronicle.at(n).changed_at for n in range(6)] == [0, 0, 2, 2, 4, 4]


def test_late_loser_that_never_stood_changes_nothing() -> None:
    chronicle = Chronicle(A, {A: "HSC"}, [stood(A, "junk", "jdoe", 2, 2)], [])
    assert flags(chronicle, 4) == [None] * 4


def test_policy_acts_from_its_own_number_on() -> None:
    # Unknown flags count alike; the first by name stands where severity rules.
    said = [stood(A, "aa", "jdoe", 1), stood(A, "bb", "ann", 2)]
    chronicle = Chronicle(
        A, {A: "HSC"}, said, [policy(3, "latest"), policy(5, "severity")]
    )
    assert flags(chronicle, 6) == [None, "aa", "aa", "bb", "bb", "aa"]


def test_joined_targets_are_one_between_joining_and_parting() -> None:
    chronicle = Chronicle(
        A,
        {A: "HSC", B: "HSC"},
        [stood(B, "junk", "jdoe", 1)],
        [same(3), same(5, revoked=True)],
    )
    assert flags(chronicle, 6) == [None, None, None, "junk", "junk", None]
    assert chronicle.at(4).members == (A, B)
    assert chronicle.at(5).members == (A,)


def test_twin_joins_for_good() -> None:
    chronicle = Chronicle(
        B, {A: "HSC", B: "HSC"}, [stood(A, "junk", "jdoe", 1)], [], [Twin(3, A, B)]
    )
    assert flags(chronicle, 5) == [None, None, None, "junk", "junk"]


def test_steps_are_told_where_asked_for_though_nothing_moved() -> None:
    chronicle = Chronicle(A, {A: "HSC"}, [stood(A, "junk", "jdoe", 2)], [])
    found = [(s.number, s.changed_at) for s in chronicle.steps(also=[1, 3])]
    # Before anything was said there is nothing to tell.
    assert found == [(2, 2), (3, 2)]
