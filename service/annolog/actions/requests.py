"""Who asks for a decision, and who then speaks, as permission and records see them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from annolog.domain import roles
from annolog.domain.book import Book
from annolog.domain.history import Version
from annolog.domain.ledger import Wants
from annolog.domain.records import Sender
from annolog.domain.roles import Action, Actor, Subject


class Request(msgspec.Struct, frozen=True):
    """What every decision knows of the request.

    Attributes
    ----------
    actor
        Who calls.
    digest
        SHA-256 of the request as sent (canonical JSON).
    user_agent
        The sending program, as it names itself.
    """

    actor: Actor
    digest: bytes
    user_agent: str | None


def sender(
    request: Request,
    *,
    settle: bool = False,
    words_of: Mapping[str, Any] | None = None,
) -> Sender:
    """Say who speaks, as a record keeps it.

    Parameters
    ----------
    request
        Who calls, for whom.
    settle
        Whether the statement asks for the last word; needs the role.
    words_of
        The body of a statement that another mends: the words, and what they weigh,
        remain its author's. None: the caller's own words.
    """
    actor = request.actor
    if words_of is not None and words_of["author"] != actor.author:
        return Sender(
            author=words_of["author"],
            author_kind=words_of["author_kind"],
            rank=words_of["rank"],
            actor=actor.author,
            authenticated_by=actor.authenticated_by,
            user_agent=request.user_agent,
        )
    if settle or actor.settle:
        roles.require(actor, Action.SETTLE)
    return Sender(
        author=actor.author,
        author_kind=actor.kind,
        rank=actor.rank(settle=settle).word,
        actor=actor.sent_by,
        authenticated_by=actor.authenticated_by,
        user_agent=request.user_agent,
    )


def subject_of(
    actor: Actor, statement: Version, book: Book, keys: Sequence[str] = ()
) -> Subject:
    """Say what an action on a statement is about, as far as permission asks.

    Aliases of one person are one author here.
    """
    author = book.vocabulary.author
    about: frozenset[str | None] = frozenset()
    if actor.instruments is not None:  # else it does not matter: do not load them
        about = instruments_of(book, (*statement.targets, *keys))
    own = author(statement.author) == author(actor.author)
    return Subject(
        actor.author if own else statement.author, statement.author_kind, about
    )


def instruments_of(book: Book, keys: Sequence[str]) -> frozenset[str | None]:
    """Give the instruments of targets; None among them for those that have none."""
    book.require(Wants(keys=frozenset(keys)))
    return frozenset(book.places[key].instrument for key in keys)
