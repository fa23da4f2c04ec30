"""What all routes of data-ID sets do: find a version, read its rows, answer."""

from typing import Any

import msgspec
from litestar import Request, Response
from pydantic import BaseModel, ConfigDict, RootModel

from annolog.actions.requests import Request as Asked
from annolog.api import dataid_views as shown
from annolog.api.dataid_views import Version
from annolog.api.requests import MAX_USER_AGENT
from annolog.auth import headers
from annolog.domain import records
from annolog.domain.dataids import DataIdTable, no_set
from annolog.domain.errors import InvalidError, NotFoundError
from annolog.domain.roles import Actor
from annolog.domain.vocabulary import nearest
from annolog.runtime import Runtime
from annolog.storage import dataids as stored
from annolog.storage.database import reading
from annolog.storage.large import worked_out

PREFIX = "/annolog/v1/data-id-sets"
"""Where data-ID sets live."""

_DIGITS = 10


class Asks(BaseModel):
    """Parameters of a request."""

    model_config = ConfigDict(frozen=True)


class SetRow(RootModel[dict[str, str | int | float | bool | None]]):
    """A row: values by dimension and further column."""


def asked_of(request: Request[Any, Any, Any], actor: Actor, sent: object) -> Asked:
    """Say who calls and what was sent, as decisions want it."""
    agent = headers.first_of(request, "user-agent")
    return Asked(actor, records.digest(sent), agent[:MAX_USER_AGENT] if agent else None)


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
        await require_set(runtime, name)
        msg = f"the data-ID set {name} has no version {version[:80]!r}"
        raise NotFoundError(msg, code="unknown_version")
    if len({one.key for one in found}) > 1:
        keys = ", ".join(one.key for one in found)
        reason = f"{name}@{version} may be any of {keys}: write the one that you mean"
        raise InvalidError(reason, code="ambiguous")
    return found[0]


async def require_set(runtime: Runtime, name: str) -> None:
    """Check that there is a set of this name.

    Raises
    ------
    NotFoundError
        There is none; it says which names are near.
    """
    async with reading(runtime.reads) as conn:
        if await stored.exists(conn, name):
            return
        known = await stored.names(conn)
    near = list(nearest(name, known))
    raise NotFoundError(
        no_set(name, known), code="unknown_set", extra={"nearest": near}
    )


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


async def again(runtime: Runtime, one: Version, status: int) -> Response[bytes]:
    """Answer with a version as it is now."""
    found = await find(runtime, one.name, one.key.rpartition("@")[2])
    return json_answer(found.shown(), status)


def json_answer(value: object, status: int = 200) -> Response[bytes]:
    """Answer with a JSON value."""
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json"
    )
