"""Data-ID sets over HTTP: list, show, download, and find what a target is in."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from annolog.api.contract import ANY, ListOf, contract
from annolog.api.dataid_finding import (
    PREFIX,
    Asks,
    SetRow,
    find,
    json_answer,
    require_set,
    table_of,
)
from annolog.api.dataid_uploads import TYPES
from annolog.api.dataid_views import Version
from annolog.api.parameters import read_query
from annolog.domain.dataid_formats import MEDIA_TYPES, Format, write
from annolog.domain.errors import InvalidError, NotFoundError
from annolog.domain.setrecords import set_name
from annolog.domain.targets import DetectorTarget, parse_key
from annolog.runtime import Runtime
from annolog.storage import dataids as stored
from annolog.storage import turn_dataids
from annolog.storage.database import reading
from annolog.storage.large import worked_out


class ListQuery(Asks):
    """Which sets are listed."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="At most so many."
    )
    cursor: str | None = Field(None, description="`next` of the page before.")


class VersionsQuery(Asks):
    """Which versions of a set are listed."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="At most so many, the newest first."
    )
    cursor: Annotated[int, Field(ge=1)] | None = Field(
        None, description="`next` of the page before."
    )


class FormatQuery(Asks):
    """How a version is written."""

    format: Format | None = Field(
        None, description="json, csv or ecsv; without it `Accept` says which."
    )


class MemberQuery(Asks):
    """What is looked for among the members of sets: a target, or an annotation's."""

    key: str | None = Field(None, description="Any name of a target.", min_length=1)
    annotation: UUID | None = Field(
        None,
        description="Instead of a key, an annotation: versions made after it with a "
        "row of a target for which it ever counted, which may have copied its words.",
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="At most so many, the newest first."
    )


@get(
    PREFIX,
    summary="List data-ID sets",
    description="Each set by name with its newest version, the labels under which "
    "versions are released, and how many of those drift.",
    **contract(asks=ListQuery, gives={200: ANY}),
)
async def list_sets(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a page of sets."""
    asked = read_query(request, ListQuery)
    async with reading(runtime.reads) as conn:
        found = await stored.sets(conn, after=asked.cursor or "", limit=asked.limit + 1)
    page = found[: asked.limit]
    following = page[-1].name if len(found) > asked.limit else None
    return json_answer({"items": [one._asdict() for one in page], "next": following})


@get(
    PREFIX + "/{name:str}",
    summary="Show a data-ID set",
    description="Who keeps it, and its versions, the newest first.",
    **contract(asks=VersionsQuery, gives={200: ANY}, missing=True),
)
async def show_set(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a set and its versions."""
    asked = read_query(request, VersionsQuery)
    own = set_name(name)
    async with reading(runtime.reads) as conn:
        held = (await turn_dataids.held(conn, [own]))[own]
        rows = await stored.versions(
            conn, own, before=asked.cursor, limit=asked.limit + 1
        )
    if not held.versions:
        await require_set(runtime, own)
    page = [Version(one) for one in rows[: asked.limit]]
    following = page[-1].version if len(rows) > asked.limit else None
    return json_answer(
        {
            "name": own,
            "owner": held.owner,
            "editors": held.editors,
            "versions": [one.shown() for one in page],
            "next": following,
        }
    )


@get(
    PREFIX + "/{name:str}/versions/{version:str}",
    summary="Show a version of a data-ID set",
    description="All that its record holds but the rows. `version` is its number, "
    "number-DIGEST, a label under which it is released, or `newest`.",
    **contract(gives={200: ANY}, missing=True, conflict=True),
)
async def show_version(
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a version."""
    found = await find(runtime, set_name(name), version)
    return json_answer(found.shown())


@get(
    PREFIX + "/{name:str}/versions/{version:str}/rows",
    summary="Download a version of a data-ID set",
    description="Its rows, sorted by data ID, the same bytes every time: as JSON, CSV "
    "or ECSV. An upload of a download changes nothing.",
    **contract(
        asks=FormatQuery,
        gives={200: ListOf(SetRow)},
        missing=True,
        conflict=True,
        produces=sorted(MEDIA_TYPES.values()),
    ),
)
async def download(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with the rows of a version."""
    asked = read_query(request, FormatQuery)
    wanted = asked.format or _accepted(request)
    found = await find(runtime, set_name(name), version)
    table = await table_of(runtime, found)
    content = await worked_out(len(table.rows), write, table, wanted)
    tag = found.digest
    if found.row.rows_redacted_by is not None:
        # These bytes are no longer the only ones that the version ever had.
        tag = hashlib.sha256(content).hexdigest()
    file = f"{found.name}-{found.version}.{wanted}"
    return Response(
        content,
        media_type=MEDIA_TYPES[wanted]
        + ("" if wanted == "json" else "; charset=utf-8"),
        headers={
            "ETag": f'"{tag}"',
            "Vary": "Accept",
            "Content-Disposition": f'inline; filename="{file}"',
        },
    )


@get(
    PREFIX + "/containing",
    summary="List the versions in which a data ID is",
    description="Versions of any set with a row that names this target, the newest "
    "first. `key` takes any name of the target; a detector of an exposure is in a "
    "version that has the whole exposure, too, and `member` says which of the two is. "
    "`annotation` asks for the targets of an annotation instead.",
    **contract(asks=MemberQuery, gives={200: ANY}, missing=True),
)
async def list_containing(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with versions that have a row of this target."""
    asked = read_query(request, MemberQuery)
    if (asked.key is None) == (asked.annotation is None):
        reason = "exactly one of key and annotation is to be given"
        raise InvalidError.at("?key", asked.key, reason, "one_of")
    if asked.annotation is not None:
        async with reading(runtime.reads) as conn:
            rows = await stored.containing_targets_of(
                conn, asked.annotation, limit=asked.limit
            )
        if rows is None:
            msg = f"there is no annotation {asked.annotation}"
            raise NotFoundError(msg)
        items = [Version(one).shown() for one in rows]
        return json_answer({"annotation": asked.annotation, "items": items})
    key = await runtime.resolver.one(asked.key or "", runtime.instruments, "?key")
    keys = [key]
    target = parse_key(key)
    if isinstance(target, DetectorTarget):
        keys.append(target.exposure.key)
    async with reading(runtime.reads) as conn:
        found = await stored.containing(conn, keys, limit=len(keys) * asked.limit)
    shown: dict[int, dict[str, Any]] = {}
    for member, one in sorted(found, key=lambda pair: pair[0] != key):
        shown.setdefault(one.number, {"member": member, **Version(one).shown()})
    newest = sorted(shown, reverse=True)[: asked.limit]
    return json_answer({"key": key, "items": [shown[one] for one in newest]})


def _accepted(request: Request[Any, Any, Any]) -> Format:
    offers: dict[str, Format] = {"application/json": "json", **TYPES}
    best = request.accept.best_match(list(offers), default="application/json")
    return offers[best or "application/json"]


HANDLERS = (
    list_sets,
    list_containing,
    show_set,
    show_version,
    download,
)
"""All routes of this module."""
