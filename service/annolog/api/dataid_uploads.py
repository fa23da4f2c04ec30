"""Data-ID sets over HTTP: uploads, and how a version is made of one or of a build."""

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from annolog.actions import dataid_uploads
from annolog.actions import dataids as actions
from annolog.actions.dataids import Proposal, Published, Reason
from annolog.actions.desk import Work
from annolog.actions.requests import Request as Asked
from annolog.api import dataid_views as shown
from annolog.api.contract import ANY, contract
from annolog.api.dataid_finding import (
    PREFIX,
    Asks,
    SetRow,
    asked_of,
    find,
    json_answer,
    table_of,
)
from annolog.api.parameters import read_query
from annolog.api.requests import BATCH_BYTES, read_body
from annolog.auth import headers
from annolog.domain import dataids
from annolog.domain.dataid_formats import Format
from annolog.domain.dataid_uploads import Assembled
from annolog.domain.dataids import DataIdTable
from annolog.domain.ledger import Wants
from annolog.domain.roles import Action, Actor
from annolog.domain.setrecords import HeldSet, set_name
from annolog.runtime import Runtime
from annolog.storage import turn_dataids
from annolog.storage.database import reading
from annolog.storage.large import worked_out

TYPES: Mapping[str, Format] = {
    "application/json": "json",
    "text/csv": "csv",
    "text/x-ecsv": "ecsv",
    "application/x-ecsv": "ecsv",
    "text/ecsv": "ecsv",
}
"""Formats by the content type of an upload."""


class UploadQuery(Asks):
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
        types=sorted(TYPES),
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
        held = (await turn_dataids.held(conn, [name]))[name]
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
    kinds = (*TYPES, "text/plain", "application/octet-stream") if wanted else TYPES
    body = await read_body(request, BATCH_BYTES, types=frozenset(kinds))
    kind = (headers.first_of(request, "content-type") or "").partition(";")[0]
    return body, wanted or TYPES[kind.strip().lower()]


async def _newest_table(runtime: Runtime, held: HeldSet) -> DataIdTable:
    newest = held.newest
    if newest is None:
        return DataIdTable(())
    found = await find(runtime, held.name, newest.key.rpartition("@")[2])
    return await table_of(runtime, found)


HANDLERS = (upload,)
"""All routes of this module."""
