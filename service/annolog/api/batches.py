"""Many annotations in one request: each for itself, or all of them or none."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from pydantic import Field

from annolog.actions.desk import Desk, Work
from annolog.actions.revisions import Said
from annolog.api import problems
from annolog.api.annotations import PREFIX, prepared, say
from annolog.api.contract import contract
from annolog.api.parameters import read_query
from annolog.api.requests import (
    BATCH_BYTES,
    JSON,
    MAX_BATCH,
    NDJSON,
    content_type,
    parse_json,
    read_body,
    request_of,
)
from annolog.domain.annotations import AnnotationDraft, Part
from annolog.domain.errors import AnnologError, MalformedError, TooLargeError
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor
from annolog.runtime import Runtime


class BatchQuery(Part):
    """How a batch is taken."""

    atomic: bool = Field(False, description="Take all of them, or none.")


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


HANDLERS = (batch,)
"""All routes of this module."""
