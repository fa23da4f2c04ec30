"""Saying something, and changing what one said.

Each function here makes the decision of one request: it looks at the desk that the
lane lays out, and enters records or raises the error that the caller gets. Names of
targets are resolved before (`actions.resolve`); nothing here waits for anything.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from annolog.actions.content import (
    check_content,
    content_of,
    merged_content,
    moves_votes,
)
from annolog.actions.desk import Desk
from annolog.actions.requests import Request, instruments_of, sender, subject_of
from annolog.actions.revisions import (
    Said,
    entered,
    known_versions,
    revise,
    revision_of,
    stands,
    unchanged,
)
from annolog.domain import history, roles
from annolog.domain.annotations import (
    CONTENT_FIELDS,
    MAX_TARGETS,
    AnnotationDraft,
    AnnotationPatch,
    Operation,
)
from annolog.domain.book import Book
from annolog.domain.errors import ConflictError, InvalidError
from annolog.domain.history import Version
from annolog.domain.ledger import Wants
from annolog.domain.roles import Action, Actor, Subject


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
            book.begin_annotation(annotation_id)
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
        content = content_of(draft, checked)
        revision = revise(
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
        return entered(book, revision, keys)

    return decide


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
    fields = msgspec.json.decode(book.bodies[first.revision_id])
    if first.author == author and fields["request_digest"] == digest.hex():
        return stands(book, first)
    msg = (
        f"the id {first.annotation_id} belongs to another annotation, by "
        f"{first.author}; choose a fresh one (any UUID)"
    )
    raise ConflictError(msg, code="id_taken")


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
        done = unchanged(request, book, versions, Operation.EDIT, if_match)
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
        merged = merged_content(before, patch, changed)
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
        content = content_of(merged, checked)
        same = all(content[name] == before.get(name) for name in CONTENT_FIELDS)
        if (
            same
            and tuple(keys) == now.targets
            and not (patch.settle or request.actor.settle)
        ):
            return stands(book, now)
        touched = keys if moves_votes(before, content) else (*add, *remove)
        book.require(Wants(keys=frozenset(touched)))
        speaker = sender(request, settle=patch.settle, words_of=before)
        revision = revise(
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
        return entered(book, revision, keys)

    return decide


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
    named = set(now.targets)
    missing = [key for key in remove if key not in named]
    if missing:
        reason = "is not among its targets"
        raise InvalidError.at("/targets/remove", missing[0], reason, "not_named")
    both = sorted(set(add) & set(remove))
    if both:
        reason = "is to be added and removed at once"
        raise InvalidError.at("/targets/add", both[0], reason, "contradiction")
    keys = (named | set(add)) - set(remove)
    if len(keys) > MAX_TARGETS:
        reason = f"makes {len(keys)} targets; at most {MAX_TARGETS} are taken"
        raise InvalidError.at("/targets/add", len(add), reason, "too_many_targets")
    return tuple(sorted(keys))


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
        done = unchanged(request, book, versions, operation, if_match)
        if done is not None:
            return done
        about = subject_of(request.actor, now, book)
        action = Action.RETRACT if operation is Operation.RETRACT else Action.RESTORE
        roles.require(request.actor, action, about)
        retracted = now.operation is Operation.RETRACT
        if operation is Operation.RETRACT and retracted:
            return stands(book, now)
        source = now
        if operation is Operation.RESTORE:
            source = _restorable(versions, now, revision_id)
            if source.revision_id != now.revision_id:
                # Older words are not put back into another person's mouth.
                roles.require(request.actor, Action.EDIT, about)
        book.require(Wants(keys=frozenset((*now.targets, *source.targets))))
        before = msgspec.json.decode(book.bodies[source.revision_id])
        revision = revise(
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
        return entered(book, revision, source.targets)

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
    return revision_of(versions, revision_id)


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
