"""Data-ID sets over HTTP: releases, and who keeps a set."""

from typing import Any

from litestar import Request, Response, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from annolog.actions import dataids as actions
from annolog.actions.dataids import AccessDraft, ReleaseDraft, WithdrawDraft
from annolog.actions.desk import Work
from annolog.api.contract import ANY, contract
from annolog.api.dataid_finding import (
    PREFIX,
    again,
    asked_of,
    find,
    json_answer,
    require_set,
)
from annolog.api.requests import json_body
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor
from annolog.domain.setrecords import set_name
from annolog.runtime import Runtime
from annolog.storage import turn_dataids
from annolog.storage.database import reading


@post(
    PREFIX + "/{name:str}/versions/{version:str}/release",
    summary="Release a version of a data-ID set",
    description="Under a label, by a curator. A released version is watched: it is "
    "told when its recipe would give other rows. 200 if it is released so already. 409 "
    "if it has another label, or another version has this one: withdraw that first.",
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
    return await again(runtime, found, 201 if done else 200)


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
    return await again(runtime, found, 200)


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
    await require_set(runtime, own)
    asked = asked_of(request, actor, [own, draft.model_dump()])
    decide = actions.share(asked, own, draft)
    await runtime.lane.submit(Work(decide, Wants(sets=frozenset({own}))))
    async with reading(runtime.reads) as conn:
        held = (await turn_dataids.held(conn, [own]))[own]
    return json_answer({"name": own, "owner": held.owner, "editors": held.editors})


HANDLERS = (release, withdraw, set_access)
"""All routes of this module."""
