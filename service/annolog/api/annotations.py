"""Annotations over HTTP: create, read, edit, retract, restore, review, redact.

Handlers read the request, call one action through the lane, and show its answer. The
rules are in `actions.annotations` and below.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from annolog.actions import annotations as actions
from annolog.actions.annotations import Said
from annolog.actions.lane import Desk, Work
from annolog.api import formats, problems
from annolog.api.contract import ANNOTATION, REVIEW, contract
from annolog.api.parameters import read_query
from annolog.api.requests import (
    BATCH_BYTES,
    JSON,
    MERGE_PATCH,
    NDJSON,
    content_type,
    parse_json,
    read_body,
)
from annolog.domain import records
from annolog.domain.annotations import (
    AnnotationDraft,
    AnnotationPatch,
    Part,
    RedactionDraft,
    ReviewDraft,
)
from annolog.domain.book import Wants
from annolog.domain.errors import (
    AnnologError,
    ConflictError,
    InvalidError,
    MalformedError,
    NotFoundError,
    TooLargeError,
)
from annolog.domain.roles import Actor
from annolog.runtime import Runtime
from annolog.storage import annotations
from annolog.storage.database import reading
from annolog.storage.lists import AnnotationRow

PREFIX = "/annolog/v1/annotations"
"""Where annotations live."""

MAX_BATCH = 1_000
"""Annotations of one batch."""

MAX_USER_AGENT = 200
"""Characters that are kept of a program's name for itself."""


class BatchQuery(Part):
    """How a batch is taken."""

    atomic: bool = Field(False, description="Take all of them, or none.")


class RestoreDraft(Part):
    """What a restore may say: which earlier revision shall hold again."""

    revision_id: UUID | None = None


@post(
    PREFIX,
    summary="Say something",
    description="Create an annotation on one or many targets. 201 with the annotation; "
    "200 if the same request with the same `annotation_id` was answered before.",
    status_code=201,
    **contract(
        takes=AnnotationDraft,
        gives={201: ANNOTATION, 200: ANNOTATION},
        conflict=True,
    ),
)
async def create(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a create."""
    body = await read_body(request)
    draft = parse_json(AnnotationDraft, body)
    said = await say(runtime, request_of(request, actor, body), draft)
    return await shown(runtime, said)


@get(
    PREFIX + "/{annotation_id:uuid}",
    summary="Read an annotation",
    description="The current revision with all its targets. The ETag is the id of the "
    "revision: send it back as If-Match to edit.",
    **contract(gives={200: ANNOTATION}, missing=True),
)
async def read(
    annotation_id: FromPath[UUID], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with an annotation's current revision."""
    async with reading(runtime.reads) as connection:
        row = await annotations.current(connection, annotation_id)
    if row is None:
        msg = f"there is no annotation {annotation_id}"
        raise NotFoundError(msg)
    return _response(row, 200)


@patch(
    PREFIX + "/{annotation_id:uuid}",
    summary="Edit an annotation",
    description="A merge patch (RFC 7396) of what it says; `targets` takes `add` and "
    "`remove`. Needs If-Match with the id of the revision that was edited.",
    **contract(
        takes=AnnotationPatch,
        types=MERGE_PATCH,
        if_match=True,
        gives={200: ANNOTATION},
        missing=True,
        conflict=True,
        conditional=True,
    ),
)
async def edit(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer an edit."""
    body = await read_body(request, types=MERGE_PATCH)
    change = parse_json(AnnotationPatch, body)
    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    if change.targets is not None:
        known = runtime.instruments
        resolved = await runtime.resolver.resolve(
            change.targets.add, known, pointer="/targets/add"
        )
        if change.targets.add != []:
            await runtime.resolver.ensure(resolved.accepted(), known)
            add = sorted(resolved.keys)
        removed = await runtime.resolver.resolve(
            change.targets.remove, known, pointer="/targets/remove"
        )
        remove = sorted(removed.accepted().keys)
    decide = actions.edit(
        request_of(request, actor, body),
        annotation_id,
        change,
        if_match(request),
        add=add,
        remove=remove,
    )
    return await _changed(runtime, annotation_id, decide, size=len(add) + 1)


@post(
    PREFIX + "/{annotation_id:uuid}/retract",
    summary="Take an annotation back",
    description="It counts no more; its history stays. Needs If-Match.",
    status_code=200,
    **contract(
        takes=None,
        if_match=True,
        gives={200: ANNOTATION},
        missing=True,
        conflict=True,
        conditional=True,
    ),
)
async def retract(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a retraction."""
    body = await _optional_body(request)
    parse_json(Part, body)
    decide = actions.retract(
        request_of(request, actor, body), annotation_id, if_match(request)
    )
    return await _changed(runtime, annotation_id, decide)


@post(
    PREFIX + "/{annotation_id:uuid}/restore",
    summary="Say it again",
    description="Restore a retracted annotation, or the words and targets of an "
    "earlier revision. Needs If-Match.",
    status_code=200,
    **contract(
        takes=RestoreDraft,
        if_match=True,
        optional=True,
        gives={200: ANNOTATION},
        missing=True,
        conflict=True,
        conditional=True,
    ),
)
async def restore(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a restore."""
    body = await _optional_body(request)
    draft = parse_json(RestoreDraft, body)
    decide = actions.restore(
        request_of(request, actor, body),
        annotation_id,
        if_match(request),
        draft.revision_id,
    )
    return await _changed(runtime, annotation_id, decide)


@post(
    PREFIX + "/{annotation_id:uuid}/reviews",
    summary="Review an annotation",
    description="Confirm or reject it, for all or some of its targets, or close a "
    "follow-up. By people, of others' statements. The same again is answered with the "
    "first result (200).",
    status_code=201,
    **contract(
        takes=ReviewDraft,
        gives={201: REVIEW, 200: REVIEW},
        missing=True,
        conflict=True,
    ),
)
async def review(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a review."""
    body = await read_body(request)
    draft = parse_json(ReviewDraft, body)
    keys: Sequence[str] | None = None
    if draft.targets is not None:
        found = await runtime.resolver.resolve(draft.targets, runtime.instruments)
        keys = found.accepted().keys
    decide = actions.review(
        request_of(request, actor, body), annotation_id, draft, keys
    )
    wants = Wants(annotations=frozenset({annotation_id}))
    done = await runtime.lane.submit(Work(decide, wants, size=len(keys or (1,))))
    return Response(
        done.body,
        status_code=201 if done.created else 200,
        media_type="application/json",
    )


@post(
    PREFIX + "/{annotation_id:uuid}/redact",
    summary="Blank words for good",
    description="For admins: text and links of the revisions named are blanked in "
    "every row, view and export; the fact remains.",
    status_code=201,
    **contract(
        takes=RedactionDraft,
        gives={201: REVIEW},
        missing=True,
    ),
)
async def redact(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a redaction."""
    body = await read_body(request)
    draft = parse_json(RedactionDraft, body)
    decide = actions.redact(request_of(request, actor, body), annotation_id, draft)
    wants = Wants(annotations=frozenset({annotation_id}))
    done = await runtime.lane.submit(Work(decide, wants))
    return Response(done.body, status_code=201, media_type="application/json")


@post(
    PREFIX + "/batch",
    summary="Say many things",
    description="Up to 1000 annotations, as a JSON array or one a line (NDJSON). The "
    "answer has a status for each, in order. With `atomic=true` all are taken or none.",
    status_code=200,
    **contract(
        takes=AnnotationDraft,
        types=JSON | NDJSON,
        many=True,
        asks=BatchQuery,
        gives={200: "Batch"},
        conflict=True,
    ),
)
async def batch(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a batch of creates."""
    kind = content_type(request, JSON | NDJSON)
    body = await read_body(request, BATCH_BYTES, types=JSON | NDJSON)
    pieces = _pieces(body, kind)
    if read_query(request, BatchQuery).atomic:
        items = await _all_or_nothing(runtime, request, actor, pieces)
    else:
        items = await _one_by_one(runtime, request, actor, pieces)
    content = msgspec.json.encode({"items": items})
    return Response(content, media_type="application/json")


# ---------------------------------------------------------------- the way to the lane


def request_of(
    request: Request[Any, Any, Any], actor: Actor, body: bytes
) -> actions.Request:
    """Say who calls and what was sent, as decisions want it."""
    try:
        sent = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise MalformedError(str(error)) from None
    agent = request.headers.get("user-agent")
    return actions.Request(
        actor,
        records.digest(sent),
        agent[:MAX_USER_AGENT] if agent else None,
    )


def if_match(request: Request[Any, Any, Any]) -> UUID | None:
    """Read the revision that an edit started from; None if the header is missing."""
    sent = request.headers.get("if-match")
    if sent is None:
        return None
    try:
        return UUID(sent.strip().removeprefix("W/").strip('"'))
    except ValueError:
        reason = "is no revision id: send the ETag as it was given"
        raise InvalidError.at("#If-Match", sent, reason, "not_an_etag") from None


async def say(
    runtime: Runtime, asked: actions.Request, draft: AnnotationDraft, at: str = ""
) -> Said:
    """Resolve the targets of a new annotation and pass it through the lane.

    Parameters
    ----------
    runtime
        This process.
    asked
        Who calls.
    draft
        What is said.
    at
        Pointer of the draft within its request.
    """
    work = await prepared(runtime, asked, draft, at)
    return work if isinstance(work, Said) else await runtime.lane.submit(work)


async def prepared(
    runtime: Runtime, asked: actions.Request, draft: AnnotationDraft, at: str = ""
) -> Work[Said] | Said:
    """Prepare a new annotation for the lane.

    Returns
    -------
    Work or Said
        What was answered before, where the targets cannot be resolved any more but
        the same request was taken earlier (design.md section 3: a repeat is answered
        before anything is resolved).
    """
    known = runtime.instruments
    look_up = not isinstance(draft.targets, list)
    try:
        if look_up and draft.annotation_id is not None:
            earlier = await _earlier(runtime, asked, draft.annotation_id)
            if earlier is not None:
                return earlier
        _some_targets(draft, at)
        found = await runtime.resolver.resolve(
            draft.targets, known, pointer=f"{at}/targets"
        )
        rows, obs_ids = runtime.resolver.rows(found.accepted(), known)
    except InvalidError:
        if draft.annotation_id is not None and not look_up:
            earlier = await _earlier(runtime, asked, draft.annotation_id)
            if earlier is not None:
                return earlier
        raise
    keys = tuple(sorted(found.keys))
    decide = actions.create(asked, draft, keys, query=found.query)
    annotations_wanted = frozenset(
        one for one in (draft.annotation_id, draft.reply_to) if one is not None
    )
    return Work(
        decide,
        Wants(annotations_wanted, frozenset(keys)),
        size=max(1, len(keys)),
        rows=rows,
        obs_ids=obs_ids,
    )


async def _earlier(
    runtime: Runtime, asked: actions.Request, annotation_id: UUID
) -> Said | None:
    """Give what the same request was answered with before, if it was."""

    def decide(desk: Desk) -> Said | None:
        desk.book.require(Wants(annotations=frozenset({annotation_id})))
        known = desk.book.versions.get(annotation_id)
        if not known:
            return None
        return actions.repeated(desk.book, known, asked.actor.author, asked.digest)

    return await runtime.lane.submit(
        Work(decide, Wants(annotations=frozenset({annotation_id})))
    )


def _some_targets(draft: AnnotationDraft, at: str) -> None:
    if draft.targets != []:
        return
    if draft.reply_to is None:
        reason = "names nothing; say what it is about, or reply_to an annotation"
        raise InvalidError.at(f"{at}/targets", [], reason, "no_targets")
    if draft.flag is not None or draft.tags:
        reason = "a reply without targets has neither flag nor tags; name targets"
        where = "flag" if draft.flag is not None else "tags"
        value = draft.flag if draft.flag is not None else list(draft.tags)
        raise InvalidError.at(f"{at}/{where}", value, reason, "reply_without_targets")


async def _changed(
    runtime: Runtime, annotation_id: UUID, decide: Callable[[Desk], Said], size: int = 1
) -> Response[bytes]:
    wants = Wants(annotations=frozenset({annotation_id}))
    said = await runtime.lane.submit(Work(decide, wants, size=size))
    return await shown(runtime, said, status=200)


async def shown(
    runtime: Runtime, said: Said, status: int | None = None
) -> Response[bytes]:
    """Answer with a revision as this site shows it."""
    if status is None:
        status = 201 if said.created else 200
    if said.number is not None:
        fields = msgspec.json.decode(said.body, type=_Head)
        row = AnnotationRow(
            (),
            said.number,
            fields.annotation_id,
            said.revision_id,
            fields.created_at,
            current=True,
            counted=said.counted,
            body=said.body,
            keys=msgspec.json.encode(said.keys) if fields.list_id else None,
        )
        return _response(row, status)
    async with reading(runtime.reads) as connection:
        found = await annotations.revision(connection, said.revision_id)
    if found is None:
        msg = f"the revision {said.revision_id} cannot be read"
        raise ConflictError(msg)
    return _response(found, status)


class _Head(msgspec.Struct):
    """What of a fresh revision's body its row repeats."""

    annotation_id: UUID
    created_at: datetime
    list_id: UUID | None = None


def _response(row: AnnotationRow, status: int) -> Response[bytes]:
    return Response(
        formats.annotation_json(row),
        status_code=status,
        media_type="application/json",
        headers={
            "ETag": f'"{row.revision_id}"',
            "Location": f"{PREFIX}/{row.annotation_id}",
        },
    )


async def _optional_body(request: Request[Any, Any, Any]) -> bytes:
    # Without a length it may come in pieces: only reading tells whether it is empty.
    return await read_body(request, empty=True) or b"{}"


# ---------------------------------------------------------------- batches


def _pieces(body: bytes, kind: str) -> list[bytes]:
    """Cut a batch into its items, unread."""
    if kind in NDJSON:
        pieces = [line for line in body.split(b"\n") if line.strip()]
    else:
        try:
            raw = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            msg = f"the batch is no JSON array: {error}"
            raise MalformedError(msg) from None
        pieces = [bytes(one) for one in raw]
    if len(pieces) > MAX_BATCH:
        msg = f"the batch has {len(pieces)} items; at most {MAX_BATCH} are taken"
        raise TooLargeError(msg, extra={"limit": MAX_BATCH})
    return pieces


async def _one_by_one(
    runtime: Runtime,
    request: Request[Any, Any, Any],
    actor: Actor,
    pieces: Sequence[bytes],
) -> list[dict[str, Any]]:
    """Take each item for itself; all of them share the turns of the lane."""

    async def take(index: int, piece: bytes) -> dict[str, Any]:
        try:
            draft = parse_json(AnnotationDraft, piece, f"/{index}")
            asked = request_of(request, actor, piece)
            said = await say(runtime, asked, draft, f"/{index}")
        except AnnologError as error:
            return _refused(error)
        return _taken(said)

    return list(
        await asyncio.gather(*(take(i, piece) for i, piece in enumerate(pieces)))
    )


async def _all_or_nothing(
    runtime: Runtime,
    request: Request[Any, Any, Any],
    actor: Actor,
    pieces: Sequence[bytes],
) -> list[dict[str, Any]]:
    """Take all items in one transaction, or none; the first error is the answer."""
    works: list[Work[Said] | Said] = []
    for index, piece in enumerate(pieces):
        draft = parse_json(AnnotationDraft, piece, f"/{index}")
        asked = request_of(request, actor, piece)
        works.append(await prepared(runtime, asked, draft, f"/{index}"))
    wants = Wants()
    for work in works:
        if isinstance(work, Work):
            wants |= work.wants
    done: dict[int, Said] = {}

    def decide(desk: Desk) -> list[Said]:
        # Asked again after more was loaded, it goes on where it stopped.
        for index, work in enumerate(works):
            if index not in done:
                try:
                    done[index] = work if isinstance(work, Said) else work.decide(desk)
                except AnnologError as error:
                    error.extra.setdefault("item", index)
                    raise
        return [done[index] for index in range(len(works))]

    size = sum(work.size for work in works if isinstance(work, Work))
    new = [work for work in works if isinstance(work, Work)]
    answered = await runtime.lane.submit(
        Work(
            decide,
            wants,
            size=size,
            alone=True,
            rows=[row for work in new for row in work.rows],
            obs_ids=[name for work in new for name in work.obs_ids],
        )
    )
    return [_taken(said) for said in answered]


def _taken(said: Said) -> dict[str, Any]:
    return {
        "status": 201 if said.created else 200,
        "annotation": msgspec.Raw(said.body),
    }


def _refused(error: AnnologError) -> dict[str, Any]:
    members = problems.members_of(error)
    return {"status": members["status"], "problem": members}


HANDLERS = (create, read, edit, retract, restore, review, redact, batch)
"""All routes of this module."""
