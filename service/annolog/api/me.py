"""Who is calling, and the tokens by which callers are known."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import BaseModel, ConfigDict, Field

from annolog.api.contract import ANY, contract
from annolog.api.requests import json_body
from annolog.auth import tokens as forms
from annolog.domain import roles
from annolog.domain.annotations import Word
from annolog.domain.errors import NotFoundError
from annolog.domain.roles import Action, Actor, Kind, Role, user_name
from annolog.runtime import Runtime
from annolog.storage import tokens
from annolog.storage.database import begin, reading
from annolog.storage.tokens import StoredToken

PREFIX = "/annolog/v1"
"""Where the native API lives."""

MOST_DAYS = 3_660
"""Days for which a token may be made; a null in their place is for ever."""


class TokenDraft(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: Annotated[str, Field(max_length=roles.MAX_USER_CHARACTERS)] = Field(
        description="User whose token it is."
    )
    kind: Kind = Field("human", description="Whether a person or a program holds it.")
    role: Role | None = Field(
        None, description="What it may do; null: author, or bot for a bot."
    )
    instruments: Annotated[list[Word], Field(min_length=1, max_length=64)] | None = (
        Field(None, description="Write about these only; null: about all.")
    )
    expires_in_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] | None = Field(
        365, description="For how long; null: for ever."
    )
    delegate: bool = Field(
        default=False, description="May speak for users that it names."
    )
    note: Annotated[Word, Field(max_length=500)] | None = Field(
        None, description="What it is for."
    )


@get(
    PREFIX + "/me",
    summary="Who am I?",
    description="The caller as the service knows it, with roles and what they permit; "
    "what concerns a statement is said of one's own.",
    **contract(gives={200: ANY}),
)
async def me(actor: NamedDependency[Actor]) -> Response[bytes]:
    return _json(
        {
            "user": actor.user if actor.named else None,
            "author": actor.author if actor.named else None,
            "kind": actor.kind,
            "roles": sorted(role.value for role in actor.roles),
            "instruments": None
            if actor.instruments is None
            else sorted(actor.instruments),
            "authenticated_by": actor.authenticated_by,
            "on_behalf_of": actor.on_behalf_of,
            "settle": actor.settle,
            "permissions": roles.permissions(actor),
        }
    )


@get(
    PREFIX + "/tokens",
    summary="List tokens",
    description="The newest first, with expired and revoked ones; no secrets. For "
    "admins.",
    **contract(gives={200: ANY}),
)
async def list_tokens(
    runtime: NamedDependency[Runtime], actor: NamedDependency[Actor]
) -> Response[bytes]:
    roles.require(actor, Action.ADMINISTER)
    async with reading(runtime.reads) as connection:
        found = await tokens.everyone(connection)
    return _json({"items": [_shown(token) for token in found]})


@post(
    PREFIX + "/tokens",
    summary="Make a token",
    description="The answer shows it in `token`, this once. For admins.",
    status_code=201,
    **contract(takes=TokenDraft, gives={201: ANY}),
)
async def make_token(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    roles.require(actor, Action.ADMINISTER)
    draft = await json_body(request, TokenDraft)
    role = draft.role or (Role.BOT if draft.kind == "bot" else Role.AUTHOR)
    forms.check_role(role, draft.kind, delegate=draft.delegate)
    new, now = forms.make(), runtime.clock()
    names = [
        runtime.instruments.require(one, f"/instruments/{index}").name
        for index, one in enumerate(draft.instruments or ())
    ]
    days = draft.expires_in_days
    token = StoredToken(
        token_id=new.token_id,
        secret_hash=new.secret_hash,
        owner=user_name(draft.owner, "/owner"),
        kind=draft.kind,
        role=role.value,
        instruments=tuple(sorted(set(names))) or None,
        delegate=draft.delegate,
        note=draft.note or "",
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
        revoked_at=None,
    )
    async with begin(runtime.work) as connection:
        await tokens.insert(connection, token)
    return _json({**_shown(token), "token": new.shown}, 201)


@delete(
    PREFIX + "/tokens/{token_id:str}",
    summary="Revoke a token",
    description="For good; within 5 seconds no process takes it any more. Its row "
    "stays, and is the answer. For admins.",
    status_code=200,
    **contract(gives={200: ANY}, missing=True),
)
async def revoke_token(
    token_id: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    roles.require(actor, Action.ADMINISTER)
    identifier = forms.token_id(token_id)
    async with begin(runtime.work) as connection:
        await tokens.revoke(connection, identifier, runtime.clock())
        token = await tokens.find(connection, identifier)
    if token is None:
        raise NotFoundError(f"there is no token {identifier}", code="unknown_token")
    return _json(_shown(token))


def _shown(token: StoredToken) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "owner": token.owner,
        "kind": token.kind,
        "role": token.role,
        "instruments": token.instruments,
        "delegate": token.delegate,
        "note": token.note,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }


def _json(value: object, status: int = 200) -> Response[bytes]:
    return Response(
        msgspec.json.encode(value, order="deterministic"),
        status_code=status,
        media_type="application/json",
    )


HANDLERS = (me, list_tokens, make_token, revoke_token)
"""All routes of this module."""
