"""Revisions of an annotation: the ones that are there, and the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from annolog.actions.desk import Desk
from annolog.actions.requests import Request
from annolog.domain import flags, history, messages, records, times
from annolog.domain.annotations import MAX_ORDINALS, Operation
from annolog.domain.book import Book
from annolog.domain.errors import (
    InvalidError,
    NotFoundError,
    StaleError,
    UnconditionalError,
)
from annolog.domain.history import Version
from annolog.domain.ids import written_id
from annolog.domain.ledger import Wants
from annolog.domain.records import Record, Sender


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


def revision_of(versions: Sequence[Version], revision_id: UUID) -> Version:
    """Pick the revision that a request names.

    Raises
    ------
    InvalidError
        It is none of this annotation.
    """
    for version in versions:
        if version.revision_id == revision_id:
            return version
    reason = "is no revision of this annotation; see its /revisions"
    raise InvalidError.at("/revision_id", str(revision_id), reason, "unknown")


def unchanged(
    request: Request,
    book: Book,
    versions: Sequence[Version],
    operation: Operation,
    if_match: UUID | None,
) -> Said | None:
    """Check the precondition; answer a retry with what it made (design section 3).

    The order is fixed: a retry is safe also without If-Match being right any more.

    Raises
    ------
    UnconditionalError
        It does not say which revision it starts from.
    StaleError
        Another revision is current by now.
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
        return stands(book, now)
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


def revise(  # noqa: PLR0913 - the members of a revision
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
    voter: str | None = None,
    continues: UUID | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Record:
    """Seal and enter a revision.

    Parameters
    ----------
    voter
        Whose vote the flag is, if it is not the speaker's.
    continues
        The message of exposurelog's API that it continues, if it is not its parent's.
    kept
        Names of its exposure as an old row wrote them (`messages.kept_names`); None:
        those that its parent keeps.

    Raises
    ------
    InvalidError
        The annotation would name too many targets over its life.
    """
    book = desk.book
    versions = book.versions.get(annotation_id, [])
    if versions and len(keys) and _ordinals_after(versions, keys) > MAX_ORDINALS:
        reason = (
            f"an annotation can name at most {MAX_ORDINALS} different targets over its "
            "life; make a new one"
        )
        raise InvalidError.at("/targets/add", len(keys), reason, "too_many_targets")
    book.require(Wants(annotations=frozenset({annotation_id}), keys=frozenset(keys)))
    placed = place_keys(desk, keys)
    parent = msgspec.json.decode(book.bodies[parent_id]) if parent_id else None
    row = messages.kept_names(parent, keys) if kept is None else kept
    author, author_kind = speaker.author, speaker.author_kind
    says = {**content, "author": author, "author_kind": author_kind}
    revision_id = desk.new_id()
    record, fields = records.seal(
        kind="revision",
        record_id=revision_id,
        id_field="revision_id",
        origin=book.origin,
        number=book.next_number,
        clock=clock_after(desk, answers),
        now=desk.now,
        sender=speaker,
        voter=voter
        or flags.voter_of(
            speaker.author,
            "bot" if speaker.author_kind == "bot" else "human",
            content["check"],
        ),
        fields={
            **content,
            "content_id": written_id(messages.content_id(revision_id, says, parent)),
            **({"continues": written_id(continues)} if continues else {}),
            **({"exposurelog": dict(row)} if row else {}),
            "annotation_id": written_id(annotation_id),
            "parent_id": written_id(parent_id) if parent_id else None,
            "operation": operation.value,
            "target_count": len(keys),
            "reply_to": written_id(reply_to) if reply_to else None,
            "uncurated": list(uncurated or ()),
            **({"query": query} if query else {}),
            **placed,
        },
        request_digest=digest,
    )
    book.enter_statement(record, fields)
    return record


def _ordinals_after(versions: Sequence[Version], keys: Sequence[str]) -> int:
    named = {key for version in versions for key in version.targets}
    return len(named | set(keys))


def stands(book: Book, version: Version) -> Said:
    """Answer with a revision that was there before the request."""
    return Said(
        book.bodies[version.revision_id],
        version.revision_id,
        created=False,
        keys=version.targets,
    )


def entered(book: Book, revision: Record, keys: Sequence[str]) -> Said:
    """Tell what a revision that was just entered came to."""
    return Said(
        revision.body,
        revision.record_id,
        created=True,
        keys=keys,
        number=book.head,
        counted=book.counted.get(revision.record_id, False),
    )


def place_keys(desk: Desk, keys: Sequence[str] | None) -> dict[str, Any]:
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


def clock_after(desk: Desk, answers: int) -> int:
    """Give the clock of a record that answers others, of which this is the greatest."""
    return times.next_clock(times.to_clock(desk.now), [answers])
