"""Saying something, and changing what one said.

Each function here makes the decision of one request: it looks at the desk that the
lane lays out, and enters records or raises the error that the caller gets. Names of
targets are resolved before (`actions.resolve`); nothing here waits for anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from annolog.actions.lane import Desk
from annolog.domain import flags, history, records, roles, tags, times
from annolog.domain.annotations import (
    CONTENT_FIELDS,
    MAX_ORDINALS,
    MAX_TARGETS,
    AnnotationDraft,
    AnnotationPatch,
    Content,
    Operation,
    RedactionDraft,
    ReviewDraft,
    Verdict,
)
from annolog.domain.book import Book, Wants
from annolog.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    StaleError,
    UnconditionalError,
)
from annolog.domain.history import Review, Version
from annolog.domain.records import Record, Sender
from annolog.domain.roles import Action, Actor, Subject
from annolog.domain.targets import FLAGLESS_KINDS


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a statement.

    Attributes
    ----------
    body
        The revision's record: what now holds, or what the same request made before.
    revision_id
        The revision.
    created
        True if this request wrote it, False for a repeat.
    keys
        Keys of its targets, sorted.
    number
        Its change number; None if it was there before the turn.
    counted
        Whether it counts for a target now; of no meaning without a number.
    """

    body: bytes
    revision_id: UUID
    created: bool
    keys: Sequence[str]
    number: int | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of a review: its record, and whether this request wrote it."""

    body: bytes
    created: bool


@dataclass(frozen=True, slots=True)
class Request:
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


# ---------------------------------------------------------------- create


def check_content(
    content: Content,
    keys: Sequence[str],
    book: Book,
    *,
    kept_tags: Sequence[str] = (),
    kept_flag: str | None = None,
) -> tuple[str, ...]:
    """Check what is said against the vocabularies and the kinds of targets.

    Parameters
    ----------
    content
        What is said.
    keys
        Keys of all targets that it is said of.
    book
        Knows the vocabulary and the places of the targets.
    kept_tags, kept_flag
        What the statement said before: kept words are not judged again.

    Returns
    -------
    tuple of str
        The tags to store: aliases resolved, doubles dropped, order kept.

    Raises
    ------
    InvalidError
        Naming the field, the value and what would be right.
    """
    book.require(Wants(keys=frozenset(keys)))
    vocabulary = book.vocabulary
    places = [book.places[key] for key in keys]
    instruments = {place.instrument for place in places if place.instrument is not None}
    kinds = {place.kind for place in places}
    if content.flag is not None:
        flagless = sorted(kinds & FLAGLESS_KINDS)
        if flagless:
            reason = (
                f"a {flagless[0]} takes no flag; say it in text and tags, or flag its "
                "exposures"
            )
            raise InvalidError.at("/flag", content.flag, reason, "flag_not_for_kind")
        if content.flag != kept_flag:
            flags.accept_flag(content.flag, vocabulary, instruments)
    for name in ("cause", "seconds_lost"):
        value = getattr(content, name)
        if value is not None and "gap" not in kinds:
            reason = f"{name} is for gaps; name a gap among the targets or leave it out"
            raise InvalidError.at(f"/{name}", value, reason, "only_for_gaps")
    if content.assignee is not None and content.flag not in vocabulary.asking:
        asking = ", ".join(sorted(vocabulary.asking)) or "none"
        reason = f"an assignee belongs to a flag that asks ({asking})"
        raise InvalidError.at("/assignee", content.assignee, reason, "nothing_asked")
    return tags.accept_tags(content.tags, vocabulary, instruments, kept=kept_tags)


def create(
    request: Request,
    draft: AnnotationDraft,
    keys: Sequence[str],
    *,
    query: Mapping[str, Any] | None = None,
) -> Callable[[Desk], Said]:
    """Prepare the decision of a new annotation.

    Parameters
    ----------
    request
        Who calls.
    draft
        What is said.
    keys
        Keys of the targets, resolved, sorted, without doubles.
    query
        The query that chose them, if one did.

    Returns
    -------
    callable
        The decision. It raises `ConflictError` if the id is taken.
    """
    speaker = sender(request, settle=draft.settle)

    def decide(desk: Desk) -> Said:
        book = desk.book
        about = Subject(instruments=instruments_of(book, keys))
        roles.require(request.actor, Action.CREATE, about)
        annotation_id = draft.annotation_id
        if annotation_id is not None:
            book.require(Wants(annotations=frozenset({annotation_id})))
            known = book.versions.get(annotation_id)
            if known:
                return repeated(book, known, speaker.author, request.digest)
        else:
            annotation_id = desk.new_id()
            book.load_annotations([annotation_id], [], [], [])
        reply_to = draft.reply_to
        answered: Version | None = None
        if reply_to is not None:
            book.require(Wants(annotations=frozenset({reply_to})))
            if reply_to not in book.versions:
                reason = "there is no such annotation to reply to"
                raise InvalidError.at("/reply_to", str(reply_to), reason, "unknown")
            answered = history.current(book.versions[reply_to])
        checked = check_content(draft, keys, book)
        answers = max(
            book.greatest_clock(keys), answered.clock if answered is not None else 0
        )
        content = _content(draft, checked)
        revision = _revise(
            desk,
            speaker,
            annotation_id=annotation_id,
            parent_id=None,
            operation=Operation.CREATE,
            keys=keys,
            content=content,
            reply_to=reply_to,
            answers=answers,
            digest=request.digest,
            query=query,
        )
        return _said(book, revision, keys)

    return decide


def _said(book: Book, revision: Record, keys: Sequence[str]) -> Said:
    """Tell what a revision that was just entered came to."""
    return Said(
        revision.body,
        revision.record_id,
        created=True,
        keys=keys,
        number=book.head,
        counted=book.counted.get(revision.record_id, False),
    )


def repeated(book: Book, known: Sequence[Version], author: str, digest: bytes) -> Said:
    """Answer a create whose id is there already.

    Returns
    -------
    Said
        The first result, if it is the same request of the same author.

    Raises
    ------
    ConflictError
        Otherwise.
    """
    first = history.root(known)
    body = book.bodies[first.revision_id]
    fields = msgspec.json.decode(body)
    if first.author == author and fields["request_digest"] == digest.hex():
        return Said(body, first.revision_id, created=False, keys=first.targets)
    msg = (
        f"the id {first.annotation_id} belongs to another annotation, by "
        f"{first.author}; choose a fresh one (any UUID)"
    )
    raise ConflictError(msg, code="id_taken")


# ---------------------------------------------------------------- edit


def edit(
    request: Request,
    annotation_id: UUID,
    patch: AnnotationPatch,
    if_match: UUID | None,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> Callable[[Desk], Said]:
    """Prepare the decision of an edit.

    Parameters
    ----------
    request
        Who calls.
    annotation_id
        What is edited.
    patch
        The fields to change; those not set stay.
    if_match
        The revision that the editor started from; None if not given.
    add, remove
        Keys of targets to name from now on, or no longer.
    """

    def decide(desk: Desk) -> Said:
        book = desk.book
        versions = known_versions(book, annotation_id)
        now = history.current(versions)
        done = _unchanged(request, book, versions, Operation.EDIT, if_match)
        if done is not None:
            return done
        before = msgspec.json.decode(book.bodies[now.revision_id])
        changed = set(patch.model_fields_set) & set(CONTENT_FIELDS)
        about = subject_of(request.actor, now, book, add)
        _may_change(request.actor, about, changed, targets=bool(add or remove))
        if now.operation is Operation.RETRACT:
            msg = "it is retracted; restore it before editing it"
            raise ConflictError(msg, code="retracted")
        keys = _edited_keys(now, add, remove)
        merged = _merged(before, patch, changed)
        if not keys and now.targets:
            reason = "this would leave no target; retract the annotation instead"
            raise InvalidError.at("/targets/remove", list(remove), reason, "no_targets")
        if before["reply_to"] and not keys and (merged.flag or merged.tags):
            reason = "a reply without targets has neither flag nor tags"
            raise InvalidError.at("/flag", merged.flag, reason, "reply_without_targets")
        checked = check_content(
            merged,
            keys,
            book,
            kept_tags=now.tags,
            kept_flag=now.flag,
        )
        content = _content(merged, checked)
        same = all(content[name] == before.get(name) for name in CONTENT_FIELDS)
        if (
            same
            and tuple(keys) == now.targets
            and not (patch.settle or request.actor.settle)
        ):
            return Said(
                book.bodies[now.revision_id],
                now.revision_id,
                created=False,
                keys=now.targets,
            )
        touched = keys if _moves_votes(before, content) else (*add, *remove)
        book.require(Wants(keys=frozenset(touched)))
        speaker = sender(request, settle=patch.settle, words_of=before)
        revision = _revise(
            desk,
            speaker,
            annotation_id=annotation_id,
            parent_id=now.revision_id,
            operation=Operation.EDIT,
            keys=keys,
            content=content,
            reply_to=_uuid(before["reply_to"]),
            answers=max(now.clock, book.greatest_clock(touched)),
            digest=request.digest,
            uncurated=before.get("uncurated"),
        )
        return _said(book, revision, keys)

    return decide


def retract(
    request: Request, annotation_id: UUID, if_match: UUID | None
) -> Callable[[Desk], Said]:
    """Prepare the decision to take a statement back (its author, or a curator)."""
    return _turn(request, annotation_id, if_match, Operation.RETRACT, None)


def restore(
    request: Request,
    annotation_id: UUID,
    if_match: UUID | None,
    revision_id: UUID | None = None,
) -> Callable[[Desk], Said]:
    """Prepare the decision to say again what was retracted, or an earlier revision.

    Parameters
    ----------
    request
        Who calls.
    annotation_id
        What is restored.
    if_match
        The revision that the caller started from; None if not given.
    revision_id
        The revision whose words are to hold again; None: those of the retracted one.
    """
    return _turn(request, annotation_id, if_match, Operation.RESTORE, revision_id)


def _turn(
    request: Request,
    annotation_id: UUID,
    if_match: UUID | None,
    operation: Operation,
    revision_id: UUID | None,
) -> Callable[[Desk], Said]:
    def decide(desk: Desk) -> Said:
        book = desk.book
        versions = known_versions(book, annotation_id)
        now = history.current(versions)
        done = _unchanged(request, book, versions, operation, if_match)
        if done is not None:
            return done
        about = subject_of(request.actor, now, book)
        action = Action.RETRACT if operation is Operation.RETRACT else Action.RESTORE
        roles.require(request.actor, action, about)
        retracted = now.operation is Operation.RETRACT
        if operation is Operation.RETRACT and retracted:
            return Said(
                book.bodies[now.revision_id],
                now.revision_id,
                created=False,
                keys=now.targets,
            )
        source = now
        if operation is Operation.RESTORE:
            source = _restorable(versions, now, revision_id)
            if source.revision_id != now.revision_id:
                # Older words are not put back into another person's mouth.
                roles.require(request.actor, Action.EDIT, about)
        book.require(Wants(keys=frozenset((*now.targets, *source.targets))))
        before = msgspec.json.decode(book.bodies[source.revision_id])
        revision = _revise(
            desk,
            sender(request, words_of=before),
            annotation_id=annotation_id,
            parent_id=now.revision_id,
            operation=operation,
            keys=source.targets,
            content={name: before.get(name) for name in CONTENT_FIELDS},
            reply_to=_uuid(before["reply_to"]),
            answers=max(now.clock, book.greatest_clock(source.targets)),
            digest=request.digest,
            uncurated=before.get("uncurated"),
        )
        return _said(book, revision, source.targets)

    return decide


def _restorable(
    versions: Sequence[Version], now: Version, revision_id: UUID | None
) -> Version:
    if revision_id is None:
        if now.operation is not Operation.RETRACT:
            msg = (
                "it is not retracted; to bring back an earlier revision, name it as "
                "revision_id"
            )
            raise ConflictError(msg, code="not_retracted")
        return now
    for version in versions:
        if version.revision_id == revision_id:
            return version
    reason = "is no revision of this annotation; see its /revisions"
    raise InvalidError.at("/revision_id", str(revision_id), reason, "unknown")


# ---------------------------------------------------------------- review, redact


def review(
    request: Request,
    annotation_id: UUID,
    draft: ReviewDraft,
    keys: Sequence[str] | None,
) -> Callable[[Desk], Reviewed]:
    """Prepare the decision of a review.

    Parameters
    ----------
    request
        Who calls.
    annotation_id
        What is reviewed.
    draft
        What is said.
    keys
        Keys of the targets meant; None for all.
    """

    def decide(desk: Desk) -> Reviewed:
        book = desk.book
        versions = known_versions(book, annotation_id)
        now = history.current(versions)
        seen = now
        if draft.revision_id is not None:
            seen = _revision_of(versions, draft.revision_id)
        subject = subject_of(request.actor, now, book)
        own = subject.author == request.actor.author
        if own and draft.verdict is Verdict.CLOSED:
            # Who asked may say that it is answered; that is no judgement of oneself.
            roles.require(request.actor, Action.EDIT, subject)
        else:
            roles.require(request.actor, Action.REVIEW, subject)
        if draft.verdict is Verdict.CLOSED and seen.flag not in book.vocabulary.asking:
            reason = "only a flag that asks can be closed, as follow_up"
            raise InvalidError.at("/verdict", "closed", reason, "nothing_asked")
        about = None if keys is None else tuple(sorted(set(keys)))
        if about is not None:
            _all_named(about, seen)
            if about == seen.targets:
                about = None
        speaker = sender(request, settle=draft.settle)
        voter = flags.voter_of(speaker.author, "human", None)
        same = _same_review(book, annotation_id, seen, draft, about, voter, speaker)
        if same is not None:
            return Reviewed(book.bodies[same.review_id], created=False)
        if draft.review_id is not None:
            book.require(Wants(records=frozenset({draft.review_id})))
            if draft.review_id in book.known_records:
                msg = f"the id {draft.review_id} is taken; choose a fresh one"
                raise ConflictError(msg, code="id_taken")
        review_id = draft.review_id or desk.new_id()
        touched = seen.targets if about is None else about
        book.require(Wants(keys=frozenset(touched)))
        placed = _place_keys(desk, about)
        record = records.seal(
            kind="review",
            record_id=review_id,
            id_field="record_id",
            origin=book.origin,
            number=book.next_number,
            clock=_clock(desk, max(seen.clock, book.greatest_clock(touched))),
            now=desk.now,
            sender=speaker,
            voter=voter,
            fields={
                "annotation_id": str(annotation_id),
                "revision_id": str(seen.revision_id),
                "verdict": draft.verdict.value,
                "reason": draft.reason,
                "targets": None,
                **placed,
            },
            request_digest=request.digest,
        )
        book.enter_statement(record, record.fields())
        book.known_records.add(review_id)
        return Reviewed(record.body, created=True)

    return decide


def redact(
    request: Request, annotation_id: UUID, draft: RedactionDraft
) -> Callable[[Desk], Reviewed]:
    """Prepare the decision to blank text and links for good (admin)."""
    roles.require(request.actor, Action.REDACT)

    def decide(desk: Desk) -> Reviewed:
        book = desk.book
        versions = known_versions(book, annotation_id)
        ids = draft.revisions
        if ids is None:
            ids = [version.revision_id for version in versions]
        for one in ids:
            _revision_of(versions, one)
        speaker = sender(request)
        record = records.seal(
            kind="redaction",
            record_id=desk.new_id(),
            id_field="record_id",
            origin=book.origin,
            number=book.next_number,
            clock=_clock(desk, max(version.clock for version in versions)),
            now=desk.now,
            sender=speaker,
            voter=flags.voter_of(speaker.author, "human", None),
            fields={
                "annotation_id": str(annotation_id),
                "revisions": sorted(map(str, ids)),
                "reason": draft.reason,
            },
            request_digest=request.digest,
        )
        book.enter_redaction(record, record.fields())
        return Reviewed(record.body, created=True)

    return decide


# ---------------------------------------------------------------- inner works


def known_versions(book: Book, annotation_id: UUID) -> list[Version]:
    """Give the revisions of an annotation.

    Raises
    ------
    NotFoundError
        If there is no such annotation.
    """
    book.require(Wants(annotations=frozenset({annotation_id})))
    versions = book.versions.get(annotation_id)
    if not versions:
        msg = f"there is no annotation {annotation_id}"
        raise NotFoundError(msg)
    return versions


def _unchanged(
    request: Request,
    book: Book,
    versions: Sequence[Version],
    operation: Operation,
    if_match: UUID | None,
) -> Said | None:
    """Check the precondition; answer a retry with what it made (design section 3).

    The order is fixed: a retry is safe also without If-Match being right any more.
    """
    now = history.current(versions)
    body = book.bodies[now.revision_id]
    fields = msgspec.json.decode(body)
    by = fields["actor"] or fields["author"]
    if (
        if_match is not None
        and now.parent_id == if_match
        and now.operation is operation
        and fields["request_digest"] == request.digest.hex()
        and request.actor.author in (by, fields["author"])
    ):
        return Said(body, now.revision_id, created=False, keys=now.targets)
    if if_match is None:
        msg = (
            "say which revision you started from: send its id (the ETag) in the header "
            "If-Match"
        )
        raise UnconditionalError(msg)
    if if_match != now.revision_id:
        msg = (
            f"another revision is current by now: {now.revision_id}, by {by}; look at "
            "it and try again from there"
        )
        raise StaleError(msg, extra={"current": fields})
    return None


def _may_change(
    actor: Actor, about: Subject, changed: set[str], *, targets: bool
) -> None:
    """Check that the caller may change these fields of this statement."""
    if changed - {"tags", "urls"}:
        roles.require(actor, Action.EDIT, about)
    if changed or targets:
        roles.require(actor, Action.MEND, about)


def _edited_keys(
    now: Version, add: Sequence[str], remove: Sequence[str]
) -> tuple[str, ...]:
    missing = [key for key in remove if key not in set(now.targets)]
    if missing:
        reason = "is not among its targets"
        raise InvalidError.at("/targets/remove", missing[0], reason, "not_named")
    both = sorted(set(add) & set(remove))
    if both:
        reason = "is to be added and removed at once"
        raise InvalidError.at("/targets/add", both[0], reason, "contradiction")
    keys = (set(now.targets) | set(add)) - set(remove)
    if len(keys) > MAX_TARGETS:
        reason = f"makes {len(keys)} targets; at most {MAX_TARGETS} are taken"
        raise InvalidError.at("/targets/add", len(add), reason, "too_many_targets")
    return tuple(sorted(keys))


def _merged(
    before: Mapping[str, Any], patch: AnnotationPatch, changed: set[str]
) -> Content:
    """Lay the patch over what was said; null means the default again."""
    sent = patch.model_dump(mode="python", include=changed)
    kept = {
        name: before.get(name)
        for name in CONTENT_FIELDS
        if name not in changed and before.get(name) is not None
    }
    set_again = {name: value for name, value in sent.items() if value is not None}
    return Content.model_validate({**kept, **set_again})


def _moves_votes(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(before.get(name) != after[name] for name in ("flag", "tags"))


def _all_named(about: Sequence[str], seen: Version) -> None:
    named = set(seen.targets)
    for index, key in enumerate(about):
        if key not in named:
            reason = "is not among the targets of the revision reviewed"
            raise InvalidError.at(f"/targets/{index}", key, reason, "not_named")


def _revision_of(versions: Sequence[Version], revision_id: UUID) -> Version:
    for version in versions:
        if version.revision_id == revision_id:
            return version
    reason = "is no revision of this annotation; see its /revisions"
    raise InvalidError.at("/revision_id", str(revision_id), reason, "unknown")


def _same_review(  # noqa: PLR0913, PLR0917 - what makes two reviews the same
    book: Book,
    annotation_id: UUID,
    seen: Version,
    draft: ReviewDraft,
    about: Sequence[str] | None,
    voter: str,
    speaker: Sender,
) -> Review | None:
    """Find the same word of the same reviewer, if it is still their latest there."""
    mine = [r for r in book.reviews.get(annotation_id, []) if r.reviewer == voter]
    keys = None if about is None else frozenset(about)
    for known in sorted(mine, key=lambda r: r.order, reverse=True):
        if (known.revision_id, known.verdict, known.targets, known.rank.word) == (
            seen.revision_id,
            draft.verdict,
            keys,
            speaker.rank,
        ):
            return known
        overlaps = keys is None or known.targets is None or keys & known.targets
        if overlaps:
            return None
    return None


def _content(content: Content, accepted: Sequence[str]) -> dict[str, Any]:
    """Give what is said as JSON values."""
    dumped = content.model_dump(mode="json", include=set(CONTENT_FIELDS))
    for name in ("written_at",):
        moment: datetime | None = getattr(content, name)
        dumped[name] = records.stamp_of(moment) if moment else None
    if content.observed_at is not None:
        begin, end = content.observed_at.begin, content.observed_at.end
        dumped["observed_at"] = {
            "begin": records.stamp_of(begin) if begin else None,
            "end": records.stamp_of(end) if end else None,
        }
    dumped["tags"] = list(accepted)
    return dumped


def _clock(desk: Desk, answers: int) -> int:
    return times.next_clock(times.to_clock(desk.now), [answers])


def _place_keys(desk: Desk, keys: Sequence[str] | None) -> dict[str, Any]:
    """Put keys into a body, or many of them into a list of their own."""
    if keys is None:
        return {"targets": None, "list_id": None}
    if len(keys) <= records.MAX_INLINE_TARGETS:
        return {"targets": list(keys), "list_id": None}
    book = desk.book
    list_id, written = records.list_of(keys)
    book.require(Wants(records=frozenset({list_id})))
    book.enter_list(
        records.list_record(list_id, written, book.origin, book.next_number), keys
    )
    return {"list_id": str(list_id)}


def _revise(  # noqa: PLR0913 - the members of a revision
    desk: Desk,
    speaker: Sender,
    *,
    annotation_id: UUID,
    parent_id: UUID | None,
    operation: Operation,
    keys: Sequence[str],
    content: Mapping[str, Any],
    reply_to: UUID | None,
    answers: int,
    digest: bytes,
    query: Mapping[str, Any] | None = None,
    uncurated: Sequence[str] | None = None,
) -> Record:
    """Seal and enter a revision."""
    book = desk.book
    versions = book.versions.get(annotation_id, [])
    if versions and len(keys) and _ordinals_after(versions, keys) > MAX_ORDINALS:
        reason = (
            f"an annotation can name at most {MAX_ORDINALS} different targets over its "
            "life; make a new one"
        )
        raise InvalidError.at("/targets/add", len(keys), reason, "too_many_targets")
    book.require(Wants(annotations=frozenset({annotation_id}), keys=frozenset(keys)))
    placed = _place_keys(desk, keys)
    record = records.seal(
        kind="revision",
        record_id=desk.new_id(),
        id_field="revision_id",
        origin=book.origin,
        number=book.next_number,
        clock=_clock(desk, answers),
        now=desk.now,
        sender=speaker,
        voter=flags.voter_of(
            speaker.author,
            "bot" if speaker.author_kind == "bot" else "human",
            content["check"],
        ),
        fields={
            **content,
            "annotation_id": str(annotation_id),
            "parent_id": str(parent_id) if parent_id else None,
            "operation": operation.value,
            "target_count": len(keys),
            "reply_to": str(reply_to) if reply_to else None,
            "uncurated": list(uncurated or ()),
            **({"query": query} if query else {}),
            **placed,
        },
        request_digest=digest,
    )
    book.enter_statement(record, record.fields())
    return record


def _ordinals_after(versions: Sequence[Version], keys: Sequence[str]) -> int:
    named = {key for version in versions for key in version.targets}
    return len(named | set(keys))


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
