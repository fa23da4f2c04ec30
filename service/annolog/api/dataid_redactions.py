"""Data-ID sets over HTTP: taking words out of a version for good."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from annolog.actions import dataid_redactions as actions
from annolog.actions.dataid_redactions import SetRedactionDraft
from annolog.actions.desk import Work
from annolog.api.contract import ANY, contract
from annolog.api.dataid_finding import PREFIX, Asks, asked_of, find, json_answer
from annolog.api.parameters import read_query
from annolog.api.requests import BATCH_BYTES, json_body
from annolog.domain import roles
from annolog.domain.ledger import Wants
from annolog.domain.roles import Action, Actor
from annolog.domain.setrecords import set_name
from annolog.runtime import Runtime
from annolog.storage import dataid_redactions
from annolog.storage import dataids as stored
from annolog.storage.database import snapshot
from annolog.storage.large import worked_out

MAX_LISTED = 1_000
"""Versions with the same rows that an answer lists."""


class RedactQuery(Asks):
    """Whether words are taken away, or only looked for."""

    dry_run: bool = Field(
        default=False, description="Only tell where the words are; nothing is written."
    )


@post(
    PREFIX + "/{name:str}/versions/{version:str}/redact",
    summary="Take words out of a version of a data-ID set for good",
    description="For admins: the texts of all rows, or of those named, are blanked in "
    "every record, download, event and peer, and with them the words of the version's "
    "recipe and (unless rows are named) its reason; number, digest, data IDs and other "
    "values stay. The answer lists the versions of any set that share the rows and so "
    "lose their words too (`same_rows`), and others of this set that hold the same "
    "words in rows, reason or recipe of their own (`copies`): these must be named in "
    "turn. 201; 200 for a dry run, or if the words are gone already.",
    status_code=201,
    **contract(
        takes=SetRedactionDraft,
        asks=RedactQuery,
        gives={201: ANY, 200: ANY},
        missing=True,
    ),
)
async def redact(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take words out of a version."""
    query = read_query(request, RedactQuery)
    draft = await json_body(request, SetRedactionDraft, BATCH_BYTES)
    roles.require(actor, Action.REDACT)
    found = await find(runtime, set_name(name), version)
    async with snapshot(runtime.reads) as conn:
        body = await stored.rows(conn, found.list_id)
        order = await worked_out(
            found.row_count, actions.order_of, draft, found.fields, body
        )
        copies, complete = await actions.copies(conn, found.row, order)
        sharing = await dataid_redactions.sharing(
            conn, [found.list_id], limit=MAX_LISTED
        )
    written = None
    if not query.dry_run:
        asked = asked_of(request, actor, [found.key, draft.model_dump()])
        decide = actions.redact(asked, found.name, found.key, order, draft.reason)
        wants = Wants(sets=frozenset({found.name}))
        size = max(1, found.row_count)
        written = await runtime.lane.submit(Work(decide, wants, size, alone=True))
    now = await find(runtime, found.name, found.key.rpartition("@")[2])
    answer = {
        "dry_run": query.dry_run,
        "redaction": written,
        "version": now.shown(),
        "same_rows": sorted({key for key, _ in sharing} - {found.key}),
        "copies": [
            {"key": one.key, "rows": one.rows, "said": one.said} for one in copies
        ],
        "copies_complete": complete,
    }
    return json_answer(answer, 200 if written is None else 201)


HANDLERS = (redact,)
"""All routes of this module."""
