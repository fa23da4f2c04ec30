"""Whose vote a flag is that comes through exposurelog's door, and what it weighs.

Whoever is let in may write in any name. So a vote weighs as a person's at most, never
takes the place of a settled one, and is not renewed by an edit of the text.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from annolog.domain.book import Book
from annolog.domain.flags import Rank, Said, voter_of
from annolog.domain.roles import Actor

ASIDE = "exposurelog"
"""Whose voter has a settled vote: what is said here in that name is filed under this
word, as a bot's votes are under its checks."""

Kind = Literal["human", "bot"]
"""Whether a person or a program speaks."""


class Vote(NamedTuple):
    """Whose vote a flag is.

    Attributes
    ----------
    voter
        As `flags.voter_of` gives it.
    rank
        What it weighs; human at most.
    """

    voter: str
    rank: Rank


def own(author: str, kind: Kind, check: str | None = None) -> Vote:
    """Give the vote of an author, person or program."""
    return Vote(voter_of(author, kind, check), _rank(kind))


def editors(actor: Actor, user_id: str | None, author: str, kind: Kind) -> Vote:
    """Give the vote of whoever changes the flag of a statement.

    Parameters
    ----------
    actor
        Who calls.
    user_id
        Who the change says it is by; None if it does not.
    author, kind
        Whose words they are now.

    Returns
    -------
    Vote
        That of whom the change names, else of the caller who is vouched for, else the
        author's.
    """
    if user_id is None and actor.named:
        weight: Kind = "bot" if "bot" in {kind, actor.kind} else "human"
        return Vote(voter_of(actor.author, actor.kind, None), _rank(weight))
    return own(author, kind)


def kept(before: Mapping[str, Any]) -> Vote:
    """Give the vote of a statement whose flag stays.

    Parameters
    ----------
    before
        Its decoded body. A weight above a person's is not said again, and where the
        annotation goes on none is taken from the vote either (`history.standings`).
    """
    return Vote(before["voter"], min(Rank.from_word(before["rank"]), Rank.HUMAN))


def is_settled(book: Book, annotation_id: UUID, key: str) -> bool:
    """Tell whether a curator gave, or confirmed, an annotation's flag for good.

    Parameters
    ----------
    book
        Has what stands on the exposure.
    annotation_id
        The annotation.
    key
        The exposure.
    """
    return any(
        said.annotation_id == annotation_id and _settles(said)
        for said in _said(book, key)
    )


def aside(book: Book, key: str, flag: str | None, vote: Vote) -> Vote:
    """Keep a vote from taking the place of the same voter's settled one.

    Parameters
    ----------
    book
        Has what stands on the exposure.
    key
        The exposure.
    flag
        The flag; one that is no vote stands in nobody's way.
    vote
        Whose it is.

    Returns
    -------
    Vote
        The same, or one filed beside.
    """
    voter = book.vocabulary.voter
    if flag is None or flag in book.vocabulary.asking:
        return vote
    for said in _said(book, key):
        if _settles(said) and voter(said.voter) == voter(vote.voter):
            return Vote(voter_of(said.author, "bot", ASIDE), vote.rank)
    return vote


def is_outdated(
    book: Book, key: str, before: Mapping[str, Any], left: Collection[UUID]
) -> bool:
    """Tell whether a flag holds no more that an edit of other things would say again.

    Parameters
    ----------
    book
        Has what stands on the exposure.
    key
        The exposure.
    before
        The decoded body of the statement whose flag would be said anew.
    left
        Annotations that the exposure leaves.

    Returns
    -------
    bool
        True where its voter has said otherwise since, or where it was rejected.
    """
    asking = book.vocabulary.asking
    flag = before["flag"]
    if flag is None or flag in asking:
        return False
    standing = [said for said in _said(book, key) if said.flag is not None]
    if left and not any(said.source_id in left for said in standing):
        return True
    voter = book.vocabulary.voter
    votes = [
        said
        for said in standing
        if said.flag not in asking and voter(said.voter) == voter(before["voter"])
    ]
    if not votes:
        return False
    latest = max(votes, key=lambda said: (said.vote_clock, said.vote_id))
    since = latest.annotation_id not in left and (
        bool(left) or latest.vote_clock > before["clock"]
    )
    return since and latest.flag != flag


def _said(book: Book, key: str) -> list[Said]:
    return [standing.said for standing in book.standing_on(key)]


def _settles(said: Said) -> bool:
    return said.rank is Rank.CURATOR and said.flag is not None


def _rank(kind: str) -> Rank:
    return Rank.BOT if kind == "bot" else Rank.HUMAN
