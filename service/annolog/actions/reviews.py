"""Judging what others said, and blanking it: reviews and redactions.

As in `actions.annotations` each function makes the decision of one request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from annolog.actions.desk import Desk
from annolog.actions.requests import Request, sender, subject_of
from annolog.actions.revisions import (
    clock_after,
    known_versions,
    place_keys,
    revision_of,
)
from annolog.domain import flags, history, records, roles
from annolog.domain.annotations import RedactionDraft, ReviewDraft, Verdict
from annolog.domain.book import Book
from annolog.domain.errors import ConflictError, InvalidError
from annolog.domain.history import Review, Version
from annolog.domain.ledger import Wants
from annolog.domain.records import Sender
from annolog.domain.roles import Action


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of a review: its record, and whether this request wrote it."""

    body: bytes
    created: bool


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
            seen = revision_of(versions, draft.revision_id)
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
        placed = place_keys(desk, about)
        record, fields = records.seal(
            kind="review",
            record_id=review_id,
            id_field="record_id",
            origin=book.origin,
            number=book.next_number,
            clock=clock_after(desk, max(seen.clock, book.greatest_clock(touched))),
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
        book.enter_statement(record, fields)
        book.known_records.add(review_id)
        return Reviewed(record.body, created=True)

    return decide


def _all_named(about: Sequence[str], seen: Version) -> None:
    named = set(seen.targets)
    for index, key in enumerate(about):
        if key not in named:
            reason = "is not among the targets of the revision reviewed"
            raise InvalidError.at(f"/targets/{index}", key, reason, "not_named")


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
            revision_of(versions, one)
        speaker = sender(request)
        record, fields = records.seal(
            kind="redaction",
            record_id=desk.new_id(),
            id_field="record_id",
            origin=book.origin,
            number=book.next_number,
            clock=clock_after(desk, max(version.clock for version in versions)),
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
        book.enter_redaction(record, fields)
        return Reviewed(record.body, created=True)

    return decide
