"""Lists over HTTP: annotations, their revisions, reviews and replies; target states.

The query parameters are the fields of the filters in `annolog.domain.queries`: read,
checked and documented from there. Handlers read a filter, ask storage for a page and
hand it to `formats`.
"""

import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Schema,
)
from litestar.params import FromPath
from pydantic import ValidationError

from annolog.api import formats
from annolog.domain.errors import InvalidError, NotFoundError, Problem
from annolog.domain.queries import (
    AnnotationFilter,
    HistoryFilter,
    PageFilter,
    TargetFilter,
)
from annolog.storage import lists
from annolog.storage.database import Connection, reading
from annolog.storage.lists import Page

Reads = NamedDependency[Any]
"""Connections for reading, which the application provides as `reads`.

A pool of asyncpg, which this layer hands on and never looks into."""
TargetKeys = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""Gives the keys of targets that were named in any way; raises InvalidError."""
AnyRequest = Request[Any, Any, Any]
FilterT = TypeVar("FilterT", bound=PageFilter)

_FROM_PATH = frozenset({"annotation_id", "of"})
_EXTRA = {
    "format": (
        Schema(type=OpenAPIType.STRING, enum=[*formats.MEDIA_TYPES]),
        "How the list is written; without it `Accept` decides.",
    ),
    "count": (
        Schema(type=OpenAPIType.BOOLEAN, default=False),
        (
            "Also count the whole list: exact to 10,000 (a single night always), "
            'then "10000+".'
        ),
    ),
}


# --------------------------------------------------------------- parameters


def read_filter(request: AnyRequest, model: type[FilterT], **fixed: object) -> FilterT:
    """Read the query parameters of a list.

    Parameters
    ----------
    request
        The request.
    model
        The filter whose fields are the parameters.
    **fixed
        Fields that do not come from the query.

    Raises
    ------
    InvalidError
        A parameter is unknown, said twice, or its value does not fit; all of them
        are named.
    """
    known = [n for n in model.model_fields if n not in fixed and n not in _FROM_PATH]
    problems: list[Problem] = []
    given: dict[str, object] = {}
    for name, values in request.query_params.dict().items():
        if name in _EXTRA:
            continue
        if name not in known:
            problems.append(_unknown(name, values[0], [*known, *_EXTRA]))
        elif _is_many(model, name):
            given[name] = tuple(values)
        elif len(values) > 1:
            reason = f"{name} takes one value; it was given {len(values)} times"
            problems.append(Problem(f"?{name}", values[1], reason, "repeated"))
        else:
            given[name] = values[0]
    try:
        found = model.model_validate({**given, **fixed})
    except ValidationError as error:
        problems += _wrong(error)
        found = None
    if problems or found is None:
        code = problems[0].code if len(problems) == 1 else "invalid"
        raise InvalidError(problems[0].reason, code=code, problems=problems)
    return found


def _is_many(model: type[PageFilter], name: str) -> bool:
    return bool(model.model_fields[name].default == ())


def _unknown(name: str, value: str, known: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?"
    if not near:
        hint = f"known are {', '.join(known)}"
    reason = f"there is no parameter {name[:60]!r}; {hint}"
    return Problem(f"?{name[:60]}", value, reason, "unknown_parameter")


def _wrong(error: ValidationError) -> list[Problem]:
    found = []
    for one in error.errors(include_url=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        reason = one["msg"].removeprefix("Value error, ")
        value = one["input"] if isinstance(one["input"], str | int) else None
        found.append(
            Problem(f"?{name}", value, f"{name} {reason}".strip(), one["type"])
        )
    return found


def _counts(request: AnyRequest, asked: PageFilter) -> bool:
    value = request.query_params.get("count", "false")
    if value not in {"true", "false"}:
        raise InvalidError.at("?count", value, "count is true or false")
    if value == "true" and getattr(asked, "contains", None):
        raise InvalidError.at(
            "?count",
            value,
            "a search with contains cannot be counted; leave out count or contains",
            "count_of_contains",
        )
    return value == "true"


_JSON_FIELDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "maxItems": "max_items",
    "format": "format",
    "enum": "enum",
    "default": "default",
}


def _schema(described: Mapping[str, Any]) -> Schema:
    """Turn pydantic's schema of a parameter into the one that Litestar writes."""
    plain = dict(described)
    for choice in described.get("anyOf", ()):
        if choice.get("type") != "null":
            plain = {**plain, **choice}
    if plain.get("default") in (None, [], ()):
        plain.pop("default", None)
    items = plain.get("items")
    return Schema(
        type=OpenAPIType(plain["type"]),
        items=_schema(items) if items else None,
        **{ours: plain[name] for name, ours in _JSON_FIELDS.items() if name in plain},
    )


def _parameters(model: type[PageFilter], *hidden: str) -> list[Parameter]:
    described = model.model_json_schema()["properties"]
    found = [
        Parameter(
            name=name,
            param_in="query",
            schema=_schema(said),
            description=said.get("description"),
        )
        for name, said in described.items()
        if name not in _FROM_PATH and name not in hidden
    ]
    return found + [
        Parameter(name=name, param_in="query", schema=schema, description=words)
        for name, (schema, words) in _EXTRA.items()
        if name not in hidden
    ]


def _documented(
    model: type[PageFilter], columns: Sequence[str], *hidden: str
) -> type[Operation]:
    """Make an operation that documents a filter's fields and the three formats."""
    page = Schema(
        type=OpenAPIType.OBJECT,
        required=["items", "next"],
        properties={
            "items": Schema(
                type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.OBJECT)
            ),
            "next": Schema(
                type=[OpenAPIType.STRING, OpenAPIType.NULL],
                description="`cursor` of the next page; null at the end.",
            ),
            "count": Schema(type=[OpenAPIType.INTEGER, OpenAPIType.STRING]),
            "scan_stopped": Schema(
                type=OpenAPIType.BOOLEAN,
                description="The search paused: go on with `next`.",
            ),
        },
    )
    text = Schema(type=OpenAPIType.STRING)
    content = {
        "application/json": OpenAPIMediaType(schema=page),
        "application/x-ndjson": OpenAPIMediaType(schema=text),
        "text/csv": OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.STRING, description=f"Columns: {', '.join(columns)}."
            )
        ),
    }

    @dataclass
    class ListOperation(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or ()), *_parameters(model, *hidden)]
            ok = OpenAPIResponse(
                description="A page of the list; `Link` leads to the next one.",
                content=dict(content),
            )
            self.responses = {**(self.responses or {}), "200": ok}

    return ListOperation


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


async def _named(
    asked: FilterT, names: Sequence[str], target_keys: TargetKeys
) -> FilterT:
    if not names:
        return asked
    return asked.model_copy(update={"target": tuple(await target_keys(names))})


async def _require(connection: Connection, annotation_id: UUID) -> None:
    if not await lists.exists(connection, annotation_id):
        raise NotFoundError(f"there is no annotation {annotation_id}")


# ----------------------------------------------------------------- handlers


@get(
    "/annolog/v1/annotations",
    summary="List annotations",
    description="Annotations (or all their revisions) by what they say, of what, by "
    "whom and when. A list is read page by page with `next`; rows that arrive "
    "meanwhile push none out of sight or twice into it.",
    operation_class=_documented(AnnotationFilter, formats.ANNOTATION_COLUMNS),
)
async def list_annotations(
    request: AnyRequest, reads: Reads, target_keys: NamedDependency[TargetKeys]
) -> Response[bytes]:
    """Answer with a page of annotations."""
    asked = read_filter(request, AnnotationFilter)
    asked = await _named(asked, asked.target, target_keys)
    counts = _counts(request, asked)
    async with reading(reads) as connection:
        page = await lists.annotations(connection, asked, asked.after(), asked.limit)
        count = await lists.count_annotations(connection, asked) if counts else None
    return _answer(request, page, asked, _REVISIONS, count)


@get(
    "/annolog/v1/annotations/{annotation_id:uuid}/revisions",
    summary="List the revisions of an annotation",
    description="Every version that an annotation had, oldest first.",
    operation_class=_documented(HistoryFilter, formats.ANNOTATION_COLUMNS, "count"),
)
async def list_revisions(
    request: AnyRequest, annotation_id: FromPath[UUID], reads: Reads
) -> Response[bytes]:
    """Answer with a page of an annotation's revisions."""
    asked = read_filter(
        request, HistoryFilter, annotation_id=annotation_id, of="revision"
    )
    after = asked.after()
    async with reading(reads) as connection:
        await _require(connection, annotation_id)
        page = await lists.revisions(connection, annotation_id, after, asked.limit)
    return _answer(request, page, asked, _REVISIONS)


@get(
    "/annolog/v1/annotations/{annotation_id:uuid}/reviews",
    summary="List the reviews of an annotation",
    description="Every review of an annotation, oldest first.",
    operation_class=_documented(HistoryFilter, formats.REVIEW_COLUMNS, "count"),
)
async def list_reviews(
    request: AnyRequest, annotation_id: FromPath[UUID], reads: Reads
) -> Response[bytes]:
    """Answer with a page of an annotation's reviews."""
    asked = read_filter(
        request, HistoryFilter, annotation_id=annotation_id, of="review"
    )
    after = asked.after()
    async with reading(reads) as connection:
        await _require(connection, annotation_id)
        page = await lists.reviews(connection, annotation_id, after, asked.limit)
    return _answer(request, page, asked, _REVIEWS)


@get(
    "/annolog/v1/annotations/{annotation_id:uuid}/replies",
    summary="List the replies to an annotation",
    description="The current revisions of what answers an annotation, oldest first, "
    "retracted ones too.",
    operation_class=_documented(HistoryFilter, formats.ANNOTATION_COLUMNS, "count"),
)
async def list_replies(
    request: AnyRequest, annotation_id: FromPath[UUID], reads: Reads
) -> Response[bytes]:
    """Answer with a page of the replies to an annotation."""
    paged = read_filter(
        request, HistoryFilter, annotation_id=annotation_id, of="revision"
    )
    asked = AnnotationFilter(
        reply_to=annotation_id,
        order="created",
        counted="all",
        limit=paged.limit,
        cursor=paged.cursor,
    )
    async with reading(reads) as connection:
        await _require(connection, annotation_id)
        page = await lists.annotations(connection, asked, asked.after(), asked.limit)
    return _answer(request, page, asked, _REVISIONS)


@get(
    "/annolog/v1/targets",
    summary="List target states",
    description="What now holds for targets: effective flag, tags, disputes.",
    operation_class=_documented(TargetFilter, formats.STATE_COLUMNS),
)
async def list_targets(
    request: AnyRequest, reads: Reads, target_keys: NamedDependency[TargetKeys]
) -> Response[bytes]:
    """Answer with a page of target states."""
    asked = read_filter(request, TargetFilter)
    asked = await _named(asked, asked.target, target_keys)
    counts = _counts(request, asked)
    async with reading(reads) as connection:
        page = await lists.targets(connection, asked, asked.after(), asked.limit)
        count = await lists.count_targets(connection, asked) if counts else None
    return _answer(request, page, asked, _STATES, count)


HANDLERS = [list_annotations, list_revisions, list_reviews, list_replies, list_targets]
"""Route handlers of this module."""
