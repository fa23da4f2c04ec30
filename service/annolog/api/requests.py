"""Requests: who sent what, starting from which revision, and the body as a model.

A body is bytes that are checked, then read by a model.

Everything that is wrong with the bytes themselves is told apart here: the content
type (415), the size (413), what is no JSON (400). What is wrong with the content is
the model's to say (422). Odd but valid Unicode passes as it came.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Collection
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Request
from pydantic import BaseModel, ValidationError

from annolog.actions.requests import Request as Asked
from annolog.api.problems import escape, invalid, not_json
from annolog.auth import headers
from annolog.domain import records
from annolog.domain.errors import (
    InvalidError,
    MalformedError,
    MediaTypeError,
    TooLargeError,
)
from annolog.domain.roles import Actor

BATCH_BYTES = 16 * 1024 * 1024
"""Bytes of a batch or another bulk upload."""

BODY_BYTES = 4 * 1024 * 1024
"""Bytes of any other body."""

MAX_BATCH = 1_000
"""Items of a batch or another bulk upload."""

MAX_USER_AGENT = 200
"""Characters that are kept of a program's name for itself."""

JSON = frozenset({"application/json"})
"""The content type of most bodies."""

MERGE_PATCH = frozenset({"application/json", "application/merge-patch+json"})
"""Content types of an edit."""

NDJSON = frozenset({"application/x-ndjson", "application/ndjson"})
"""Content types of one JSON value a line."""

M = TypeVar("M", bound=BaseModel)

# The escape of NUL, where its backslash is not itself escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def request_of(request: Request[Any, Any, Any], actor: Actor, body: bytes) -> Asked:
    """Say who calls and what was sent, as decisions want it."""
    try:
        sent = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise MalformedError(str(error)) from None
    agent = headers.first_of(request, "user-agent")
    return Asked(
        actor,
        records.digest(sent),
        agent[:MAX_USER_AGENT] if agent else None,
    )


def if_match(request: Request[Any, Any, Any]) -> UUID | None:
    """Read the revision that an edit started from; None if the header is missing."""
    sent = headers.first_of(request, "if-match")
    if sent is None:
        return None
    try:
        return UUID(sent.strip().removeprefix("W/").strip('"'))
    except ValueError:
        reason = "is no revision id: send the ETag as it was given"
        raise InvalidError.at("#If-Match", sent, reason, "not_an_etag") from None


async def json_body(
    request: Request[Any, Any, Any],
    model: type[M],
    limit: int = BODY_BYTES,
    *,
    types: Collection[str] = JSON,
    empty: bool = False,
) -> M:
    """Read a request's body as a model.

    Parameters
    ----------
    request
        The request.
    model
        What the body should be.
    limit
        Bytes that it may have, inclusive.
    types
        Content types that are taken.
    empty
        Whether no body at all means `{}`.

    Returns
    -------
    BaseModel
        The model's instance.

    Raises
    ------
    MediaTypeError, TooLargeError, MalformedError, InvalidError
        As `read_body` and `parse_json` say.
    """
    body = await read_body(request, limit, types=types, empty=empty)
    return parse_json(model, body or (b"{}" if empty else b""))


async def read_body(
    request: Request[Any, Any, Any],
    limit: int = BODY_BYTES,
    *,
    types: Collection[str] = JSON,
    empty: bool = False,
) -> bytes:
    """Read a request's body as bytes, of a type that is taken and not too many.

    Parameters
    ----------
    request
        The request.
    limit
        Bytes that it may have, inclusive.
    types
        Content types that are taken.
    empty
        Whether a request without a body, and so without a type, is taken.

    Returns
    -------
    bytes
        The whole body; may be empty.

    Raises
    ------
    MediaTypeError
        Another content type, character set or an encoded (compressed) body. Simple
        cross-site posts come as text/plain, so that is refused for JSON as well.
    TooLargeError
        More than `limit` bytes; no more than those are read.
    MalformedError
        The connection ended before the body did.
    """
    if empty and headers.first_of(request, "content-type") is None:
        body = await whole_body(request, limit)
        if body:
            content_type(request, types)
        return body
    content_type(request, types)
    return await whole_body(request, limit)


async def whole_body(request: Request[Any, Any, Any], limit: int) -> bytes:
    """Read a request's body as bytes, whatever they are called.

    Parameters
    ----------
    request
        The request.
    limit
        Bytes that it may have, inclusive.

    Returns
    -------
    bytes
        The whole body, which may be empty; without the byte order mark that some
        programs put before UTF-8.

    Raises
    ------
    TooLargeError
        More than `limit` bytes; no more than those are read.
    MalformedError
        The connection ended before the body did.
    """
    announced = headers.first_of(request, "content-length") or ""
    if announced.isascii() and announced.isdigit() and int(announced[:18]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise MalformedError(
                "The connection ended before the body did.", code="cut_short"
            )
        parts.append(message["body"])
        size += len(message["body"])
        if size > limit:
            raise _too_large(limit)
        more = message["more_body"]
    return b"".join(parts).removeprefix(BOM_UTF8)


def content_type(request: Request[Any, Any, Any], types: Collection[str]) -> str:
    """Check the content type of a body.

    Parameters
    ----------
    request
        The request.
    types
        Content types that are taken, in lower case.

    Returns
    -------
    str
        The type, in lower case and without parameters.

    Raises
    ------
    MediaTypeError
        It is another one, is missing, is not in UTF-8, or the body is compressed.
    """
    sent = headers.first_of(request, "content-type") or ""
    kind, *parameters = (part.strip().lower() for part in sent.split(";"))
    if kind not in types:
        raise MediaTypeError(
            f"Send Content-Type: {' or '.join(sorted(types))}, not"
            f" {sent[:100] or 'none'!r}."
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8"}:
            raise MediaTypeError(f"JSON is UTF-8, not {value[:40]}.", code="charset")
    encoding = headers.first_of(request, "content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise MediaTypeError(
            f"Send the body as it is, not with Content-Encoding:"
            f" {encoding.lower()[:40]}.",
            code="content_encoding",
        )
    return kind


def parse_json(model: type[M], body: bytes, pointer: str = "") -> M:
    """Read JSON bytes as a model.

    Parameters
    ----------
    model
        What they should be.
    body
        UTF-8.
    pointer
        Where in the request they stood, for the errors.

    Returns
    -------
    BaseModel
        The model's instance.

    Raises
    ------
    MalformedError
        They are no JSON, not UTF-8, hold lone surrogates or are nested too deeply.
    InvalidError
        They are not what the model wants, or hold the character NUL.
    """
    if rb"\u0000" in body and _NUL.search(body):
        raise _nul(body, pointer)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error, pointer, model) from None


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The body has more than {limit} bytes; send less at once.",
        extra={"limit": limit},
    )


def _nul(body: bytes, pointer: str) -> InvalidError:
    # PostgreSQL's text cannot hold it, and half of the world's programs end there.
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return not_json(str(error), pointer)
    place = _place_of_nul(value)
    return InvalidError.at(
        pointer + (place or ""),
        None,
        "contains the character NUL (U+0000); leave it out",
        "nul",
    )


def _place_of_nul(value: object) -> str | None:
    match value:
        case str() if "\0" in value:
            return ""
        case dict():
            for name, member in value.items():
                found = "" if "\0" in name else _place_of_nul(member)
                if found is not None:
                    return f"/{escape(name)}{found}"
        case list():
            for index, member in enumerate(value):
                found = _place_of_nul(member)
                if found is not None:
                    return f"/{index}{found}"
        case _:
            pass
    return None
