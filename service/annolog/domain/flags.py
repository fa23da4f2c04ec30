"""Votes, and the flag that holds for a target because of them.

A flag is one person's or bot's judgement of a target. What holds for the target is
worked out from all of them by one pure function, `effective`, in five steps:

1. *Who votes.* Aliases lead to one author; a person is one voter, a bot is one
   voter for each of its checks. Each voter has one vote, the latest.
2. *Who counts.* Only votes of the highest rank decide: a bot never overrides a
   person, and only a curator who settles overrides one.
3. *What stands.* If those votes agree, that is the flag. If they differ, the most
   severe stands and the target is disputed (among bots: the bots differ).
4. *Who objects.* A statement rejected by an equal makes the target disputed too.
5. *Who asks.* A flag that asks (follow_up) is no vote. It shows only where there is
   no vote.

Severity rules because the costs are asymmetric: nobody may return a bad exposure to
a coadd without being noticed. The alternative `latest` is chosen per instrument.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from annolog.domain.errors import InvalidError, Problem
from annolog.domain.vocabulary import WITHDRAW, Vocabulary, nearest

__all__ = [
    "NOTHING_SAID",
    "WITHDRAW",
    "Effective",
    "Part",
    "Rank",
    "Said",
    "Vote",
    "accept_flag",
    "effective",
    "explain",
    "most_severe",
    "voter_of",
]


class Rank(IntEnum):
    """How much a vote weighs; a greater one silences all lesser ones.

    Stored as its number, shown as its `word`.
    """

    BOT = 0
    HUMAN = 1
    CURATOR = 2

    @property
    def word(self) -> str:
        """The rank as JSON shows it, lower case."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> "Rank":
        """Read a rank as JSON shows it.

        Parameters
        ----------
        word
            "bot", "human" or "curator", in lower case.

        Returns
        -------
        Rank
            The rank with that word.

        Raises
        ------
        InvalidError
            If it is another word.
        """
        for rank in cls:
            if rank.word == word:
                return rank
        raise InvalidError.at(
            "/rank", word, "a rank is bot, human or curator", "unknown_rank"
        )


class Said(msgspec.Struct, frozen=True):
    """One counted statement on one target, as far as flags are concerned.

    Attributes
    ----------
    source_id
        What says it: the annotation, or the review that confirms it (whose vote is
        the reviewer's own).
    annotation_id
        The annotation that it is, or that the review is about.
    revision_id
        The current revision of that annotation.
    author
        Whose words they are, as written (aliases not resolved).
    voter
        Whose vote it is, as `voter_of` gives it (aliases not resolved).
    rank
        The rank that the statement was made with.
    flag
        A flag's name, `WITHDRAW`, or None for no opinion. A request that was closed
        is given with None: it asks no more.
    vote_id
        The revision or review that last changed this flag on this target.
    vote_clock
        The clock of that revision or review, in microseconds.
    contested
        The rank of those who reject the statement without outranking its author;
        None when nobody does. Who outranks the author takes the statement out of
        the count, and it is not given at all.
    """

    source_id: UUID
    annotation_id: UUID
    revision_id: UUID
    author: str
    voter: str
    rank: Rank
    flag: str | None
    vote_id: UUID
    vote_clock: int
    contested: Rank | None


class Effective(msgspec.Struct, frozen=True):
    """What holds for a target, and because of whom.

    Attributes
    ----------
    flag
        The flag that stands; None when there is neither a vote nor a request.
    decided_by
        The votes of the highest rank for that flag (`Said.vote_id`), sorted. Empty
        when nobody voted, also where a request gives the flag.
    outvoted
        The votes of any rank for another flag, sorted.
    disputed
        People differ, or an equal rejects a statement.
    bots_differ
        Only bots voted, and they differ.
    follow_ups
        The annotations that ask and are open, sorted.
    """

    flag: str | None
    decided_by: tuple[UUID, ...]
    outvoted: tuple[UUID, ...]
    disputed: bool
    bots_differ: bool
    follow_ups: tuple[UUID, ...]


NOTHING_SAID = Effective(None, (), (), False, False, ())
"""What holds where nobody voted, asked or objected."""


class Part(StrEnum):
    """What a vote had to do with the flag that stands."""

    DECIDED = "decided"
    AGREES = "agrees"
    OUTVOTED = "outvoted"


@dataclass(frozen=True, slots=True)
class Vote:
    """A voter's one vote on a target, and the part that it played.

    Attributes
    ----------
    voter
        The voter after aliases are resolved.
    said
        The statement that is this voter's vote.
    part
        `decided`: of the highest rank and for the flag that stands. `agrees`: for
        it too, but not needed. `outvoted`: for another flag.
    """

    voter: str
    said: Said
    part: Part


def voter_of(
    author: str, author_kind: Literal["human", "bot"], check: str | None
) -> str:
    """Name the voter that a statement's vote belongs to.

    Parameters
    ----------
    author
        Whose words they are.
    author_kind
        A person has one vote a target, a bot one for each check.
    check
        The bot's kind of judgement; None when it has only one. Of no meaning for a
        person.

    Returns
    -------
    str
        For a person the author, for a bot the author, `#` and the check. A `#` in
        an author is doubled, and one in a check is written `%23` (with `%` as
        `%25`), so no two voters share a name.
    """
    escaped = author.replace("#", "##")
    if author_kind == "human":
        return escaped
    # Doubling in the check as well would not do: author "a", check "#b" and author
    # "a#", check "b" would both be "a###b".
    kept = (check or "").replace("%", "%25").replace("#", "%23")
    return f"{escaped}#{kept}"


def effective(
    said: Iterable[Said], vocabulary: Vocabulary, instrument: str | None
) -> Effective:
    """Work out the flag that holds for a target.

    Parameters
    ----------
    said
        The counted statements on the target, in any order; repeated ones do no
        harm. Statements without a flag belong here if they are contested.
    vocabulary
        Flags, aliases and policies of the moment asked about.
    instrument
        Whose policy applies; None for a target that has no instrument.

    Returns
    -------
    Effective
        What holds. It depends on the set of statements only, never on their order.
    """
    rows = said if isinstance(said, list | tuple) else tuple(said)
    # Nearly every target has one statement: the write path must not pay for the rest.
    if not rows:
        return NOTHING_SAID
    if len(rows) == 1:
        return _alone(rows[0], vocabulary)
    latest = _latest_words(rows, vocabulary)
    votes = [one for one in latest.values() if one.flag != WITHDRAW]
    asking = vocabulary.asking
    requests = [one for one in rows if one.flag in asking]
    follow_ups = tuple(sorted({one.annotation_id for one in requests}))
    top = max((one.rank for one in votes), default=None)
    objected = _is_objected(rows, latest, top, vocabulary)
    if top is None:
        flag = most_severe((one.flag for one in requests), vocabulary)
        return Effective(flag, (), (), objected, False, follow_ups)
    deciding, differ = _decide(votes, top, vocabulary, instrument)
    flag = deciding[0].flag
    return Effective(
        flag=flag,
        decided_by=_ids(deciding),
        outvoted=_ids([one for one in votes if one.flag != flag]),
        disputed=objected or (differ and top > Rank.BOT),
        bots_differ=differ and top == Rank.BOT,
        follow_ups=follow_ups,
    )


def explain(
    said: Iterable[Said], vocabulary: Vocabulary, instrument: str | None
) -> tuple[Vote, ...]:
    """List the votes on a target with the part that each played.

    Parameters
    ----------
    said
        As for `effective`.
    vocabulary
        As for `effective`.
    instrument
        As for `effective`.

    Returns
    -------
    tuple of Vote
        One a voter, the latest first; empty where there is no vote. Superseded and
        withdrawn votes, and requests, are not among them.
    """
    latest = _latest_words(tuple(said), vocabulary)
    votes = [one for one in latest.values() if one.flag != WITHDRAW]
    if not votes:
        return ()
    top = max(one.rank for one in votes)
    deciding, _ = _decide(votes, top, vocabulary, instrument)
    flag = deciding[0].flag
    decided = set(_ids(deciding))

    def part_of(one: Said) -> Part:
        if one.flag != flag:
            return Part.OUTVOTED
        return Part.DECIDED if one.vote_id in decided else Part.AGREES

    standing = sorted(
        ((voter, one) for voter, one in latest.items() if one.flag != WITHDRAW),
        key=lambda pair: _time_of(pair[1]),
        reverse=True,
    )
    return tuple(Vote(voter, one, part_of(one)) for voter, one in standing)


def most_severe(flags: Iterable[str | None], vocabulary: Vocabulary) -> str | None:
    """Pick the flag that weighs most.

    Parameters
    ----------
    flags
        Names; None among them are passed over.
    vocabulary
        Gives the severities. A flag that it does not know is the most severe of all,
        until its entry comes.

    Returns
    -------
    str or None
        The most severe; of equally severe ones the first by name. None for none.
    """
    named = {flag for flag in flags if flag is not None}
    if len(named) <= 1:
        return next(iter(named), None)
    return min(named, key=lambda flag: (-vocabulary.severity(flag), flag))


def accept_flag(
    flag: str,
    vocabulary: Vocabulary,
    instruments: Iterable[str],
    *,
    pointer: str = "/flag",
) -> str:
    """Check the flag of a new statement against the vocabulary.

    Parameters
    ----------
    flag
        What was sent, or `WITHDRAW`, which is always right.
    vocabulary
        The vocabulary of now.
    instruments
        Those of the targets named; empty when they have none.
    pointer
        Where in the request the flag stands.

    Returns
    -------
    str
        The flag.

    Raises
    ------
    InvalidError
        If no flag has that name (the answer names the nearest), or if it is not
        for one of the instruments.
    """
    if flag == WITHDRAW:
        return flag
    entry = vocabulary.flags.get(flag)
    if entry is None:
        known = (*vocabulary.flags, WITHDRAW)
        near = nearest(flag, known) or sorted(known)
        reason = f"{flag!r} is not a known flag; known are, for instance: "
        problem = Problem(pointer, flag, reason + ", ".join(near), "unknown_flag")
        raise InvalidError(problem.reason, code=problem.code, problems=[problem])
    if entry.instruments is not None:
        others = sorted(set(instruments) - set(entry.instruments))
        if others:
            reason = (
                f"the flag {flag!r} is only for {', '.join(entry.instruments)}, "
                f"not for {', '.join(others)}"
            )
            raise InvalidError.at(pointer, flag, reason, "flag_not_for_instrument")
    return flag


def _alone(one: Said, vocabulary: Vocabulary) -> Effective:
    """Answer `effective` for a single statement."""
    flag, contested = one.flag, one.contested
    objected = contested is not None and contested > Rank.BOT
    if flag is None or flag == WITHDRAW:
        if not objected:
            return NOTHING_SAID
        return Effective(None, (), (), True, False, ())
    if flag in vocabulary.asking:
        return Effective(flag, (), (), objected, False, (one.annotation_id,))
    # As in `_is_objected`: a vote above the objector's rank settles.
    disputed = objected and contested is not None and contested >= one.rank
    return Effective(flag, (one.vote_id,), (), disputed, False, ())


def _time_of(one: Said) -> tuple[int, UUID, int, str]:
    """Order statements by when their vote was given.

    Clock and id decide. Rank and flag follow only so that contradictory rows, which
    cannot come from records, do not make the answer depend on their order.
    """
    return (one.vote_clock, one.vote_id, one.rank, one.flag or "")


def _latest_words(rows: Sequence[Said], vocabulary: Vocabulary) -> dict[str, Said]:
    """Give what each voter said last about the flag, withdrawals included."""
    latest: dict[str, Said] = {}
    asking = vocabulary.asking
    for one in rows:
        if one.flag is None or one.flag in asking:
            continue
        voter = vocabulary.voter(one.voter)
        have = latest.get(voter)
        if have is None or _time_of(one) > _time_of(have):
            latest[voter] = one
    return latest


def _decide(
    votes: Sequence[Said], top: Rank, vocabulary: Vocabulary, instrument: str | None
) -> tuple[list[Said], bool]:
    """Pick the votes that decide, and tell whether their rank differs over it."""
    best = [one for one in votes if one.rank == top]
    if vocabulary.rule(instrument) == "latest":
        return [max(best, key=_time_of)], False
    flags = {one.flag for one in best}
    if len(flags) == 1:
        return best, False
    flag = most_severe(flags, vocabulary)
    return [one for one in best if one.flag == flag], True


def _is_objected(
    rows: Sequence[Said],
    latest: dict[str, Said],
    top: Rank | None,
    vocabulary: Vocabulary,
) -> bool:
    """Tell whether a rejection by an equal still makes the target disputed.

    It does until a vote above the objector stands (a curator settled it), or the
    voter has since said another flag or withdrawn. To say the same again in another
    annotation is no change, and does not shake the objection off.
    """
    for one in rows:
        contested = one.contested
        if contested is None or contested <= Rank.BOT:
            continue
        if top is not None and top > contested:
            continue
        if one.flag is None or one.flag in vocabulary.asking:
            return True
        if latest[vocabulary.voter(one.voter)].flag == one.flag:
            return True
    return False


def _ids(votes: Sequence[Said]) -> tuple[UUID, ...]:
    if len(votes) == 1:
        return (votes[0].vote_id,)
    return tuple(sorted({one.vote_id for one in votes}))
