"""Reviews and redactions over HTTP; the rules are in `actions.reviews`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from annolog.actions import reviews as actions
from annolog.actions.desk import Work
from annolog.api.annotations import PREFIX
from annolog.api.contract import REVIEW, contract
from annolog.api.requests import parse_json, read_body, request_of
from annolog.domain.annotations import RedactionDraft, ReviewDraft
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor
from annolog.runtime import Runtime


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
    "every row, view and export; the fact remains. Versions of data-ID sets that "
    "copied them keep them until they are redacted, too: "
    "`GET /data-id-sets/containing?annotation=` finds them.",
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


HANDLERS = (review, redact)
"""All routes of this module."""
