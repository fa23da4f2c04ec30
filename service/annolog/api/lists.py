"""Lists over HTTP: annotations, their revisions, reviews and replies; target states.

The query parameters are the fields of the filters in `annolog.domain.queries`.
Handlers read a filter, ask storage for a page and hand it to `formats`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from annolog.api import formats
from annolog.api.contract import ANNOTATION, REVIEW, PageOf, contract
from annolog.api.direct import DirectRoute
from annolog.api.parameters import read_query
from annolog.domain.errors import NotFoundError
from annolog.domain.queries import (
    AnnotationFilter,
    HistoryFilter,
    ListFilter,
    PageFilter,
    TargetFilter,
    meant,
)
from annolog.domain.states import TargetState
from annolog.runtime import Runtime
from annolog.storage import history_lists, lists, state_lists
from annolog.storage.database import Connection, reading
from annolog.storage.paging import Page

AnyRequest = Request[Any, Any, Any]
FilterT = TypeVar("FilterT", bound=ListFilter)

_ANNOTATIONS = PageOf(ANNOTATION, formats.ANNOTATION_COLUMNS)


# ------------------------------------------------------------------ answers


@dataclass(frozen=True, slots=True)
class _Writer:
    """How the rows of one list are written."""

    as_json: Callable[[Any], bytes]
    as_fields: Callable[[Any], Mapping[str, Any]]
    columns: Sequence[str]


_REVIEWS = _Writer(formats.review_json, formats.review_fields, formats.REVIEW_COLUMNS)
_STATES = _Writer(formats.state_json, formats.state_fields, formats.STATE_COLUMNS)
_REVISIONS = _Writer(
    formats.annotation_json, formats.annotation_fields, formats.ANNOTATION_COLUMNS
)


def _answer(
    request: AnyRequest,
    page: Page[Any],
    asked: PageFilter,
    writer: _Writer,
    count: int | str | None = None,
) -> Response[bytes]:
    wanted = formats.chosen(request)
    cursor = asked.cursor_after(page.next) if page.next is not None else None
    if wanted == "json":
        content = formats.envelope(
            map(writer.as_json, page.rows),
            count=count,
            cursor=cursor,
            scan_stopped=page.scan_stopped,
        )
    elif wanted == "ndjson":
        content = b"".join(writer.as_json(row) + b"\n" for row in page.rows)
    else:
        content = formats.csv_bytes(writer.columns, map(writer.as_fields, page.rows))
    return formats.answer(
        request, content, wanted, cursor, scan_stopped=page.scan_stopped
    )


async def _resolved(runtime: Runtime, asked: FilterT) -> FilterT:
    """Give what is meant: aliases followed, targets by key."""
    found = meant(asked, runtime.vocabulary, runtime.instruments)
    if not asked.target:
        return found
    targets = await runtime.resolver.resolve(
        list(asked.target), runtime.instruments, pointer="?target"
    )
    return found.model_copy(update={"target": tuple(targets.accepted().keys)})


async def _require(connection: Connection, annotation_id: UUID) -> None:
    if not await history_lists.exists(connection, annotation_id):
        raise NotFoundError(f"there is no annotation {annotation_id}")


# ----------------------------------------------------------------- handlers


@DirectRoute(
    "/annolog/v1/annotations",
    http_method="GET",
    summary="List annotations",
    description="Annotations (or all their revisions) by what they say, of what, by "
    "whom and when. A list is read page by page with `next`; rows that arrive "
    "meanwhile push none out of sight or twice into it.",
    **contract(asks=AnnotationFilter, gives={200: _ANNOTATIONS}),
)
async def list_annotations(
    request: AnyRequest, runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a page of annotations."""
    asked = read_query(request, AnnotationFilter)
    wanted, after = await _resolved(runtime, asked), asked.after()
    async with reading(runtime.reads) as connection:
        page = await lists.annotations(connection, wanted, after, asked.limit)
        count = (
            await lists.count_annotations(connection, wanted) if asked.count else None
        )
    return _answer(request, page, asked, _REVISIONS, count)


@get(
    "/annolog/v1/annotations/{annotation_id:uuid}/revisions",
    summary="List the revisions of an annotation",
    description="Every version that an annotation had, oldest first.",
    **contract(asks=HistoryFilter, gives={200: _ANNOTATIONS}, missing=True),
)
async def list_revisions(
    request: AnyRequest,
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a page of an annotation's revisions."""
    asked = read_query(
        request, HistoryFilter, annotation_id=annotation_id, of="revision"
    )
    after = asked.after()
    async with reading(runtime.reads) as connection:
        await _require(connection, annotation_id)
        page = await history_lists.revisions(
            connection, annotation_id, after, asked.limit
        )
    return _answer(request, page, asked, _REVISIONS)


@get(
    "/annolog/v1/annotations/{annotation_id:uuid}/reviews",
    summary="List the reviews of an annotation",
    description="Every review of an annotation, oldest first.",
    **contract(
        asks=HistoryFilter,
        gives={200: PageOf(REVIEW, formats.REVIEW_COLUMNS)},
        missing=True,
    ),
)
async def list_reviews(
    request: AnyRequest,
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a page of an annotation's reviews."""
    asked = read_query(request, HistoryFilter, annotation_id=annotation_id, of="review")
    after = asked.after()
    async with reading(runtime.reads) as connection:
        await _require(connection, annotation_id)
        page = await history_lists.reviews(
            connection, annotation_id, after, asked.limit
        )
    return _answer(request, page, asked, _REVIEWS)


@get(
    "/annolog/v1/annotations/{annotation_id:uuid}/replies",
    summary="List the replies to an annotation",
    description="The current revisions of what answers an annotation, oldest first, "
    "retracted ones too.",
    **contract(asks=HistoryFilter, gives={200: _ANNOTATIONS}, missing=True),
)
async def list_replies(
    request: AnyRequest,
    annotation_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a page of the replies to an annotation."""
    paged = read_query(
        request, HistoryFilter, annotation_id=annotation_id, of="revision"
    )
    asked = AnnotationFilter(
        reply_to=annotation_id,
        order="created",
        counted="all",
        limit=paged.limit,
        cursor=paged.cursor,
    )
    async with reading(runtime.reads) as connection:
        await _require(connection, annotation_id)
        page = await lists.annotations(connection, asked, asked.after(), asked.limit)
    return _answer(request, page, asked, _REVISIONS)


@DirectRoute(
    "/annolog/v1/targets",
    http_method="GET",
    summary="List target states",
    description="What now holds for targets: effective flag, tags, disputes.",
    **contract(
        asks=TargetFilter, gives={200: PageOf(TargetState, formats.STATE_COLUMNS)}
    ),
)
async def list_targets(
    request: AnyRequest, runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a page of target states."""
    asked = read_query(request, TargetFilter)
    wanted, after = await _resolved(runtime, asked), asked.after()
    async with reading(runtime.reads) as connection:
        page = await state_lists.targets(connection, wanted, after, asked.limit)
        count = (
            await state_lists.count_targets(connection, wanted) if asked.count else None
        )
    return _answer(request, page, asked, _STATES, count)


HANDLERS = [list_annotations, list_revisions, list_reviews, list_replies, list_targets]
"""Route handlers of this module."""
