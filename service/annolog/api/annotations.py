"""Annotations over HTTP: create, read, edit, retract, restore.

Handlers read the request, call one action through the lane, and show its answer. The
rules are in `actions.annotations` and below.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import FromPath

from annolog.actions import annotations as actions
from annolog.actions.desk import Desk, Work
from annolog.actions.requests import Request as Asked
from annolog.actions.revisions import Said
from annolog.api import formats
from annolog.api.contract import ANNOTATION, contract
from annolog.api.direct import DirectRoute
from annolog.api.requests import (
    JSON,
    MERGE_PATCH,
    if_match,
    parse_json,
    read_body,
    request_of,
)
from annolog.domain.annotations import AnnotationDraft, AnnotationPatch, Part
from annolog.domain.errors import ConflictError, InvalidError, NotFoundError
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor
from annolog.runtime import Runtime
from annolog.storage import annotations
from annolog.storage.database import reading
from annolog.storage.lists import AnnotationRow

PREFIX = "/annolog/v1/annotations"
"""Where annotations live."""


class RestoreDraft(Part):
    """What a restore may say: which earlier revision shall hold again."""

    revision_id: UUID | None = None


M = TypeVar("M", bound=Part)


def _changing(
    takes: type[Part] | None,
    types: Collection[str] = JSON,
    *,
    optional: bool = False,
) -> dict[str, Any]:
    """Declare a route that changes an annotation, starting from a revision."""
    return contract(
        takes=takes,
        types=types,
        if_match=True,
        optional=optional,
        gives={200: ANNOTATION},
        missing=True,
        conflict=True,
        conditional=True,
    )


@DirectRoute(
    PREFIX,
    http_method="POST",
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


@DirectRoute(
    PREFIX + "/{annotation_id:uuid}",
    http_method="GET",
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


@DirectRoute(
    PREFIX + "/{annotation_id:uuid}",
    http_method="PATCH",
    summary="Edit an annotation",
    description="A merge patch (RFC 7396) of what it says; `targets` takes `add` and "
    "`remove`. Needs If-Match with the id of the revision that was edited.",
    **_changing(AnnotationPatch, MERGE_PATCH),
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


@DirectRoute(
    PREFIX + "/{annotation_id:uuid}/retract",
    http_method="POST",
    summary="Take an annotation back",
    description="It counts no more; its history stays. Needs If-Match.",
    status_code=200,
    **_changing(None),
)
async def retract(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a retraction."""
    asked, _ = await _asked(request, actor, Part)
    decide = actions.retract(asked, annotation_id, if_match(request))
    return await _changed(runtime, annotation_id, decide)


@DirectRoute(
    PREFIX + "/{annotation_id:uuid}/restore",
    http_method="POST",
    summary="Say it again",
    description="Restore a retracted annotation, or the words and targets of an "
    "earlier revision. Needs If-Match.",
    status_code=200,
    **_changing(RestoreDraft, optional=True),
)
async def restore(
    request: Request[Any, Any, Any],
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Answer a restore."""
    asked, draft = await _asked(request, actor, RestoreDraft)
    decide = actions.restore(asked, annotation_id, if_match(request), draft.revision_id)
    return await _changed(runtime, annotation_id, decide)


async def say(
    runtime: Runtime, asked: Asked, draft: AnnotationDraft, at: str = ""
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
    runtime: Runtime, asked: Asked, draft: AnnotationDraft, at: str = ""
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
        rows, obs_ids = await runtime.resolver.prepared(found.accepted(), known)
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


async def _earlier(runtime: Runtime, asked: Asked, annotation_id: UUID) -> Said | None:
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


async def _asked(
    request: Request[Any, Any, Any], actor: Actor, model: type[M]
) -> tuple[Asked, M]:
    """Read who asks for what, where the body may be left out."""
    # Without a length it may come in pieces: only reading tells whether it is empty.
    body = await read_body(request, empty=True) or b"{}"
    draft = parse_json(model, body)
    return request_of(request, actor, body), draft


HANDLERS = (create, read, edit, retract, restore)
"""All routes of this module."""
