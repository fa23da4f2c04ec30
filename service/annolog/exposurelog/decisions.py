"""What happens to annotations when a client of exposurelog writes.

Anyone let in may change and delete any message, as it always was; the records say who
did. What a curator settled is left alone: a change of it becomes a statement beside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from annolog.actions.content import content_of
from annolog.actions.desk import Desk
from annolog.actions.requests import Request
from annolog.actions.revisions import known_versions, revise
from annolog.domain import history, messages, roles, tags
from annolog.domain.annotations import CONTENT_FIELDS, Content, Operation
from annolog.domain.book import Book
from annolog.domain.errors import ForbiddenError, NotFoundError
from annolog.domain.history import Version
from annolog.domain.ledger import Wants
from annolog.domain.records import Sender
from annolog.domain.roles import Action, Actor, Subject
from annolog.exposurelog import votes
from annolog.exposurelog.continuations import (
    Line,
    Place,
    body_of,
    line_of,
    wants_without,
    without,
)
from annolog.exposurelog.drafts import MessageDraft, MessagePatch
from annolog.exposurelog.flags import ShownFlags
from annolog.exposurelog.parameters import lower_tags
from annolog.exposurelog.translate import author_kind, flag_of
from annolog.exposurelog.votes import Kind, Vote

_NOTHING = content_of(Content(), ())


class UnseenError(NotFoundError):
    """Nobody told of an exposure; a butler, or another name of it, may."""


def post(
    request: Request, draft: MessageDraft, key: str, *, told_as: str | None = None
) -> Callable[[Desk], UUID]:
    """Prepare the decision of a new message.

    Parameters
    ----------
    request
        Who calls.
    draft
        What is said.
    key
        The exposure.
    told_as
        The name under which somebody must have told of it; None where it is certain
        that there is such an exposure.

    Returns
    -------
    callable
        The decision; it gives the message's id. It raises `UnseenError` where nobody
        told of the exposure.

    Raises
    ------
    MalformedError
        A tag has not the form of one.
    """
    sent = lower_tags(draft.tags)
    author, kind = draft.user_id, author_kind(is_human=draft.is_human)

    def decide(desk: Desk) -> UUID:
        book = desk.book
        if told_as is not None and not book.is_told_of(key, told_as):
            raise UnseenError(f"nobody told of {key}", code="unknown_exposure")
        home = _permit(request.actor, book, key)
        kept = tags.keep_tags(sent, book.vocabulary, home)
        flags = ShownFlags.of(book.vocabulary)
        content = {
            **_NOTHING,
            "text": draft.message_text,
            "level": draft.level,
            "tags": list(kept.tags),
            "urls": draft.urls,
            "flag": flag_of(draft.exposure_flag, None, flags),
        }
        vote = votes.aside(book, key, content["flag"], votes.own(author, kind))
        words = _Words(content, kept.uncurated, author, kind, vote, draft.user_agent)
        annotation_id = desk.new_id()
        book.begin_annotation(annotation_id)
        return _say(desk, request, words, Line(key, annotation_id))

    return decide


def patch(
    request: Request, place: Place, change: MessagePatch
) -> Callable[[Desk], UUID]:
    """Prepare the decision to change a message, valid or not.

    Parameters
    ----------
    request
        Who calls.
    place
        The message.
    change
        What shall be otherwise.

    Returns
    -------
    callable
        The decision; it gives the id of the message that continues it.

    Raises
    ------
    MalformedError
        A tag has not the form of one.
    """
    sent = None if change.tags is None else lower_tags(change.tags)

    def decide(desk: Desk) -> UUID:
        book, key = desk.book, place.key
        home = _permit(request.actor, book, key)
        line = line_of(book, place)
        words = _changed(request.actor, book, line, change)
        if sent is not None:
            kept = tags.keep_tags(sent, book.vocabulary, home)
            words.content["tags"] = list(kept.tags)
            words.uncurated = kept.uncurated
        for now in line.leaves:
            book.require(wants_without(now, key))
        for now in line.leaves:
            _again(desk, request, now, without(now, key), key)
        return _say(desk, request, words, line)

    return decide


def delete(request: Request, place: Place) -> Callable[[Desk], None]:
    """Prepare the decision to delete a message; an invalid one stays as it is.

    Parameters
    ----------
    request
        Who calls.
    place
        The message.

    Returns
    -------
    callable
        The decision. It raises `ForbiddenError` where a curator settled the flag.
    """

    def decide(desk: Desk) -> None:
        book, key = desk.book, place.key
        _permit(request.actor, book, key)
        versions = known_versions(book, place.annotation_id)
        message = messages.messages(versions).get(place.message_id)
        if message is None or message.ended_by is not None:
            return
        if votes.is_settled(book, place.annotation_id, key):
            msg = (
                "a curator settled the flag of this message, so it cannot be deleted "
                "here; ask a curator to retract it"
            )
            raise ForbiddenError(msg, code="settled")
        now = history.current(versions)
        book.require(wants_without(now, key))
        _again(desk, request, now, without(now, key), key)

    return decide


# ----------------------------------------------------------------- what is said


@dataclass(slots=True)
class _Words:
    """What a message is to say, and by whom."""

    content: dict[str, Any]
    uncurated: Sequence[str]
    author: str
    kind: Kind
    vote: Vote
    user_agent: str | None


def _changed(actor: Actor, book: Book, line: Line, change: MessagePatch) -> _Words:
    """Lay a change over what a message says; tags are left as they are."""
    start, before = line.start, line.standing(book)
    content = {name: start.get(name) for name in CONTENT_FIELDS}
    # It is about an exposure alone from now on.
    content.update(cause=None, seconds_lost=None)
    given = {"text": change.message_text, "level": change.level, "urls": change.urls}
    content.update({name: value for name, value in given.items() if value is not None})
    author, kind = start["author"], start["author_kind"]
    if change.is_human is not None:
        kind = author_kind(is_human=change.is_human)
    if change.user_id is not None and change.user_id != author:
        author = change.user_id
        # The program that judged was the other author's.
        content.update(check=None, agent=None)
    flag = start["flag"]
    if change.exposure_flag is not None:
        flag = flag_of(change.exposure_flag, flag, ShownFlags.of(book.vocabulary))
    stays = flag == before["flag"]
    if stays and line.is_fresh and votes.is_outdated(book, line.key, before, line.left):
        # Who sends back a whole message says nothing of its flag; who sends the flag
        # alone means it.
        stays = change.exposure_flag is None or change.message_text is not None
        flag = None if stays else flag
    content["flag"] = flag
    if flag not in book.vocabulary.asking:
        content["assignee"] = None
    if flag is None:
        vote = votes.own(author, kind, content["check"])
    elif stays:
        vote = votes.kept(before)
    else:
        vote = votes.editors(actor, change.user_id, author, kind)
    vote = votes.aside(book, line.key, flag, vote)
    agent = start["user_agent"] if change.user_agent is None else change.user_agent
    uncurated = start.get("uncurated") or ()
    return _Words(content, uncurated, author, kind, vote, agent)


def _say(desk: Desk, request: Request, words: _Words, line: Line) -> UUID:
    """Enter the revision that a message is; its id is the message's."""
    book, now = desk.book, line.now
    operation = Operation.CREATE
    if now is not None:
        retracted = now.operation is Operation.RETRACT
        operation = Operation.RESTORE if retracted else Operation.EDIT
    speaker = Sender(
        author=words.author,
        author_kind=words.kind,
        rank=words.vote.rank.word,
        actor=_sent_by(request.actor, words.author),
        authenticated_by=request.actor.authenticated_by,
        user_agent=words.user_agent,
    )
    record = revise(
        desk,
        speaker,
        annotation_id=line.annotation_id,
        parent_id=None if now is None else now.revision_id,
        operation=operation,
        keys=(line.key,),
        content=words.content,
        reply_to=_uuid(line.start.get("reply_to")),
        answers=max(line.answers, book.greatest_clock([line.key])),
        digest=request.digest,
        uncurated=words.uncurated,
        voter=words.vote.voter,
        continues=line.continues,
        kept=messages.kept_names(line.start or None, [line.key]),
    )
    return record.record_id


def _again(
    desk: Desk, request: Request, now: Version, keys: Sequence[str], gone: str
) -> None:
    """Let an annotation say the same of what is left; of nothing: it is retracted.

    The words, and what they weigh, remain their author's.
    """
    book = desk.book
    before = body_of(book, now)
    speaker = Sender(
        author=before["author"],
        author_kind=before["author_kind"],
        rank=before["rank"],
        actor=_sent_by(request.actor, before["author"]),
        authenticated_by=request.actor.authenticated_by,
        user_agent=request.user_agent,
    )
    revise(
        desk,
        speaker,
        annotation_id=now.annotation_id,
        parent_id=now.revision_id,
        operation=Operation.EDIT if keys else Operation.RETRACT,
        keys=keys or now.targets,
        content={name: before.get(name) for name in CONTENT_FIELDS},
        reply_to=_uuid(before["reply_to"]),
        answers=max(now.clock, book.greatest_clock([gone])),
        digest=request.digest,
        uncurated=before.get("uncurated"),
        voter=before["voter"],
    )


# ---------------------------------------------------------------------- who does


def _permit(actor: Actor, book: Book, key: str) -> frozenset[str]:
    """Check that the caller may write about an exposure; give its instrument.

    Raises
    ------
    ForbiddenError
        Who is known, and may only read or write of other instruments. Who is let in
        without being known may write.
    """
    if key not in book.places:
        book.require(Wants(keys=frozenset({key})))
    instrument = book.places[key].instrument
    if actor.named:
        about = Subject(instruments=frozenset({instrument}))
        roles.require(actor, Action.CREATE, about)
    return frozenset(() if instrument is None else (instrument,))


def _sent_by(actor: Actor, author: str) -> str | None:
    """Say who sent it, where somebody is vouched for who is not the author."""
    if not actor.named:
        return None
    return actor.author if actor.author != author else actor.sent_by


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
