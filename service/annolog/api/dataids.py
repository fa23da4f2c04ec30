"""Data-ID sets over HTTP: upload, list, download, compare, release."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import BaseModel, ConfigDict, Field, RootModel

from annolog.actions import dataid_uploads
from annolog.actions import dataids as actions
from annolog.actions.dataids import (
    AccessDraft,
    Proposal,
    Published,
    Reason,
    ReleaseDraft,
    WithdrawDraft,
)
from annolog.actions.desk import Work
from annolog.actions.requests import Request as Asked
from annolog.api import dataid_views as shown
from annolog.api.contract import ANY, ListOf, contract
from annolog.api.dataid_views import Version
from annolog.api.parameters import read_query
from annolog.api.requests import (
    BATCH_BYTES,
    MAX_USER_AGENT,
    json_body,
    read_body,
)
from annolog.auth import headers
from annolog.domain import dataids, records
from annolog.domain.dataid_formats import MEDIA_TYPES, Format, write
from annolog.domain.dataid_uploads import Assembled
from annolog.domain.dataids import DataIdTable
from annolog.domain.errors import InvalidError, NotFoundError
from annolog.domain.ledger import Wants
from annolog.domain.roles import Action, Actor
from annolog.domain.setrecords import HeldSet, set_name
from annolog.runtime import Runtime
from annolog.storage import dataids as stored
from annolog.storage.database import reading
from annolog.storage.large import worked_out

PREFIX = "/annolog/v1/data-id-sets"
"""Where data-ID sets live."""

_TYPES: Mapping[str, Format] = {
    "application/json": "json",
    "text/csv": "csv",
    "text/x-ecsv": "ecsv",
    "application/x-ecsv": "ecsv",
    "text/ecsv": "ecsv",
}
"""Formats by the content type of an upload."""


class _Asks(BaseModel):
    model_config = ConfigDict(frozen=True)


class SetRow(RootModel[dict[str, str | int | float | bool | None]]):
    """A row: values by dimension and further column."""


class UploadQuery(_Asks):
    """How an uploaded list is taken."""

    format: Format | None = Field(
        None, description="Its format; without it the content type says which."
    )
    instrument: str | None = Field(
        None,
        description="Instrument of rows that name none. If it is that of all rows, "
        "CSV and ECSV of this version leave the column out.",
    )
    reason: Reason = Field("", description="Why this version is made.")
    dry_run: bool = Field(
        default=False, description="Only tell what the version would add and drop."
    )
    parent: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="The version that you take for the newest (0: none); if another "
        "one is, nothing is written (412).",
    )


class ListQuery(_Asks):
    """Which sets are listed."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="At most so many."
    )
    cursor: str | None = Field(None, description="`next` of the page before.")


class VersionsQuery(_Asks):
    """Which versions of a set are listed."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="At most so many, the newest first."
    )
    cursor: Annotated[int, Field(ge=1)] | None = Field(
        None, description="`next` of the page before."
    )


class FormatQuery(_Asks):
    """How a version is written."""

    format: Format | None = Field(
        None, description="json, csv or ecsv; without it `Accept` says which."
    )


class MemberQuery(_Asks):
    """What is looked for among the members of sets."""

    key: str = Field(description="Any name of a target.", min_length=1)
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="At most so many, the newest first."
    )


# ------------------------------------------------------------------ making versions


@post(
    PREFIX + "/{name:str}/versions",
    summary="Upload a version of a data-ID set",
    description="Takes a list of objects (JSON), CSV or ECSV; rows may name exposures "
    "by obs_id or by day_obs and seq_num, which become primary keys. Either all rows "
    "are taken or none: errors name their lines. 201; 200 if the newest version says "
    "the same, or for a dry run: then nothing is written.",
    status_code=201,
    **contract(
        takes=SetRow,
        many=True,
        asks=UploadQuery,
        gives={201: ANY, 200: ANY},
        types=sorted(_TYPES),
        conflict=True,
        conditional=True,
    ),
)
async def upload(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take a version."""
    asked = read_query(request, UploadQuery)
    own = set_name(name)
    body, written = await _sent(request, asked.format)
    made = await dataid_uploads.read(
        runtime.resolver, body, written, asked.instrument, runtime.instruments
    )
    content = await worked_out(len(made.table.rows), actions.content_of, made.table)
    sent = {"name": own, "digest": content.digest.hex(), "reason": asked.reason}
    proposal = Proposal(own, content, asked.reason, parent=asked.parent)
    said = _uploaded(made)
    return await publish(
        runtime, asked_of(request, actor, sent), proposal, said, dry_run=asked.dry_run
    )


async def publish(
    runtime: Runtime,
    asked: Asked,
    proposal: Proposal,
    said: Mapping[str, Any],
    *,
    dry_run: bool,
) -> Response[bytes]:
    """Make a version, or tell what it would change; give the answer of either.

    Parameters
    ----------
    runtime
        The parts of this process.
    asked
        Who calls.
    proposal
        What the version shall be.
    said
        What else the answer says.
    dry_run
        Whether nothing is written.
    """
    name, table = proposal.name, proposal.content.table
    async with reading(runtime.reads) as conn:
        held = (await stored.held(conn, [name]))[name]
    actions.permit(asked, Action.PUBLISH, held, proposal.content.about)
    before = await _newest_table(runtime, held)
    changes = await worked_out(len(table.rows), dataids.difference, before, table)
    head: dict[str, Any] = {"dry_run": dry_run, **shown.difference(changes)}
    if dry_run:
        newest = held.newest
        same = newest is not None and actions.says_the_same(newest, proposal)
        version = 0 if newest is None else newest.version
        head |= {
            "written": False,
            "unchanged": same,
            "version": None,
            "newest": version,
            "digest": proposal.content.digest.hex(),
            "row_count": len(table.rows),
        }
        return json_answer({**head, **said}, 200)
    wants = Wants(
        records=frozenset({proposal.content.rows.record_id}), sets=frozenset({name})
    )
    size = max(1, len(table.rows))
    decide = actions.publish(asked, proposal)
    done: Published = await runtime.lane.submit(Work(decide, wants, size, alone=True))
    version_shown = await find(runtime, name, done.key.rpartition("@")[2])
    head |= {
        "written": done.written,
        "unchanged": not done.written,
        "version": version_shown.shown(),
    }
    return json_answer({**head, **said}, 201 if done.written else 200)


def _uploaded(made: Assembled) -> dict[str, Any]:
    return {
        "conversions": [
            {"line": one.line, "name": str(one.name), "exposure": one.exposure}
            for one in made.conversions
        ],
        "doubled": [
            {"line": one.line, "first": one.first, "data_id": one.data_id}
            for one in made.doubled
        ],
        "notes": made.notes,
    }


async def _sent(
    request: Request[Any, Any, Any], wanted: Format | None
) -> tuple[bytes, Format]:
    """Read an upload and say how it is written: ?format= or the content type."""
    kinds = (*_TYPES, "text/plain", "application/octet-stream") if wanted else _TYPES
    body = await read_body(request, BATCH_BYTES, types=frozenset(kinds))
    kind = (headers.first_of(request, "content-type") or "").partition(";")[0]
    return body, wanted or _TYPES[kind.strip().lower()]


def asked_of(request: Request[Any, Any, Any], actor: Actor, sent: object) -> Asked:
    """Say who calls and what was sent, as decisions want it."""
    agent = headers.first_of(request, "user-agent")
    return Asked(actor, records.digest(sent), agent[:MAX_USER_AGENT] if agent else None)


# ------------------------------------------------------------------ looking


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
        held = (await stored.held(conn, [own]))[own]
        rows = await stored.versions(
            conn, own, before=asked.cursor, limit=asked.limit + 1
        )
    _require(held)
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
    file = f"{found.name}-{found.version}.{wanted}"
    return Response(
        content,
        media_type=MEDIA_TYPES[wanted]
        + ("" if wanted == "json" else "; charset=utf-8"),
        headers={
            "ETag": f'"{found.digest}"',
            "Vary": "Accept",
            "Content-Disposition": f'inline; filename="{file}"',
        },
    )


@get(
    PREFIX + "/containing",
    summary="List the versions in which a data ID is",
    description="Versions of any set with a row that names this target, the newest "
    "first. `key` takes any name of the target.",
    **contract(asks=MemberQuery, gives={200: ANY}, missing=True),
)
async def list_containing(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with versions that have a row of this target."""
    asked = read_query(request, MemberQuery)
    key = await runtime.resolver.one(asked.key, runtime.instruments, "?key")
    async with reading(runtime.reads) as conn:
        found = await stored.containing(conn, [key], limit=asked.limit)
    return json_answer(
        {"key": key, "items": [Version(one).shown() for _, one in found]}
    )


# ------------------------------------------------------------------ releases, keepers


@post(
    PREFIX + "/{name:str}/versions/{version:str}/release",
    summary="Release a version of a data-ID set",
    description="Under a label, by a curator. A released version is watched: it is "
    "told when its recipe would give other rows. 200 if it is released so already.",
    status_code=201,
    **contract(takes=ReleaseDraft, gives={201: ANY, 200: ANY}, conflict=True),
)
async def release(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Release a version."""
    draft = await json_body(request, ReleaseDraft)
    found = await find(runtime, set_name(name), version)
    asked = asked_of(request, actor, [found.key, draft.model_dump()])
    decide = actions.release(asked, found.name, found.key, draft)
    done = await runtime.lane.submit(Work(decide, Wants(sets=frozenset({found.name}))))
    return await _again(runtime, found, 201 if done else 200)


@post(
    PREFIX + "/{name:str}/versions/{version:str}/withdraw",
    summary="Take the release of a version back",
    description="By a curator; the version stays. 200 also if it is not released.",
    status_code=200,
    **contract(takes=WithdrawDraft, optional=True, gives={200: ANY}, missing=True),
)
async def withdraw(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take a release back."""
    draft = await json_body(request, WithdrawDraft, empty=True)
    found = await find(runtime, set_name(name), version)
    asked = asked_of(request, actor, [found.key, draft.model_dump()])
    decide = actions.withdraw(asked, found.name, found.key, draft)
    await runtime.lane.submit(Work(decide, Wants(sets=frozenset({found.name}))))
    return await _again(runtime, found, 200)


@put(
    PREFIX + "/{name:str}/access",
    summary="Say who keeps a data-ID set",
    description="Its owner, and the editors who may make versions too; what is left "
    "out stays. By the owner or a curator.",
    **contract(takes=AccessDraft, gives={200: ANY}, missing=True),
)
async def set_access(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take who keeps a set."""
    draft = await json_body(request, AccessDraft)
    own = set_name(name)
    asked = asked_of(request, actor, [own, draft.model_dump()])
    decide = actions.share(asked, own, draft)
    await runtime.lane.submit(Work(decide, Wants(sets=frozenset({own}))))
    async with reading(runtime.reads) as conn:
        held = (await stored.held(conn, [own]))[own]
    return json_answer({"name": own, "owner": held.owner, "editors": held.editors})


# ------------------------------------------------------------------ inner works


async def find(runtime: Runtime, name: str, version: str) -> Version:
    """Find one version of a set.

    Parameters
    ----------
    runtime
        The parts of this process.
    name
        The set.
    version
        Its number, number-DIGEST, a label under which it is released, or `newest`.

    Raises
    ------
    NotFoundError
        There is none; it says what there is.
    InvalidError
        Two sites have each made one of this number: the digest must be given.
    """
    number, _, digest = version.partition("-")
    async with reading(runtime.reads) as conn:
        if version == "newest":
            rows = await stored.versions(conn, name, limit=1)
        elif number.isascii() and number.isdigit() and len(number) < _DIGITS:
            rows = await stored.numbered(conn, name, int(number))
        else:
            digest = ""
            rows = await stored.labelled(conn, name, version)
    found = [Version(one) for one in rows]
    found = [one for one in found if one.digest.startswith(digest.lower())]
    if not found:
        msg = f"the data-ID set {name} has no version {version[:80]!r}"
        raise NotFoundError(msg, code="unknown_version")
    if len({one.key for one in found}) > 1:
        keys = ", ".join(one.key for one in found)
        reason = f"{name}@{version} may be any of {keys}: write the one that you mean"
        raise InvalidError(reason, code="ambiguous")
    return found[0]


_DIGITS = 10


async def table_of(runtime: Runtime, version: Version) -> DataIdTable:
    """Read what a version holds.

    Raises
    ------
    NotFoundError
        Its rows have yet to come from the site where it was made.
    """
    async with reading(runtime.reads) as conn:
        body = await stored.rows(conn, version.list_id)
    if body is None:
        msg = f"the rows of {version.key} have not come from {version.site_id} yet"
        raise NotFoundError(msg, code="rows_not_here")
    return await worked_out(
        version.row_count, shown.table_read, body, version.instrument
    )


async def _newest_table(runtime: Runtime, held: HeldSet) -> DataIdTable:
    newest = held.newest
    if newest is None:
        return DataIdTable(())
    found = await find(runtime, held.name, newest.key.rpartition("@")[2])
    return await table_of(runtime, found)


async def _again(runtime: Runtime, one: Version, status: int) -> Response[bytes]:
    found = await find(runtime, one.name, one.key.rpartition("@")[2])
    return json_answer(found.shown(), status)


def _require(held: HeldSet) -> None:
    if not held.versions:
        msg = f"there is no data-ID set {held.name}"
        raise NotFoundError(msg, code="unknown_set")


def _accepted(request: Request[Any, Any, Any]) -> Format:
    offers: dict[str, Format] = {"application/json": "json", **_TYPES}
    best = request.accept.best_match(list(offers), default="application/json")
    return offers[best or "application/json"]


def json_answer(value: object, status: int = 200) -> Response[bytes]:
    """Answer with a JSON value."""
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json"
    )


HANDLERS = (
    upload,
    list_sets,
    list_containing,
    show_set,
    show_version,
    download,
    release,
    withdraw,
    set_access,
)
"""All routes of this module."""
