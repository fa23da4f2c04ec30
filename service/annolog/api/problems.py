"""Errors as HTTP answers: RFC 9457 problem details.

One table maps categories of errors to statuses; a leaf has the status of its
category. Whatever else goes wrong is a 500 that says nothing of our insides, and a
line in the log with the request's id.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Scope
from pydantic import BaseModel, ValidationError

from annolog.api.likely import meant
from annolog.domain.errors import (
    AnnologError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    MalformedError,
    MediaTypeError,
    NotFoundError,
    OverloadedError,
    Problem,
    StaleError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnconditionalError,
)

MEDIA_TYPE = "application/problem+json"
"""The content type of every error."""

STATUSES: Mapping[type[AnnologError], HTTPStatus] = MappingProxyType(
    {
        MalformedError: HTTPStatus.BAD_REQUEST,
        TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        MediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
        NotFoundError: HTTPStatus.NOT_FOUND,
        StaleError: HTTPStatus.PRECONDITION_FAILED,
        UnconditionalError: HTTPStatus.PRECONDITION_REQUIRED,
        ConflictError: HTTPStatus.CONFLICT,
        UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
        ForbiddenError: HTTPStatus.FORBIDDEN,
        OverloadedError: HTTPStatus.TOO_MANY_REQUESTS,
        UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
        AnnologError: HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
"""The status of each category; the nearest ancestor of an error counts."""

MOST_SHOWN = 100
"""Places of a request that one answer lists; a batch may have thousands."""

RETRY_AFTER = 2
"""Seconds that a 429 or 503 names, unless the error knows better."""

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "no_such_page",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    429: "overloaded",
    503: "unavailable",
}

_SOURCES: Mapping[Any, str] = {
    "query": "?",
    "header": "#",
    "cookie": "#",
    "path": "/",
}
_MISSING = re.compile(r"Missing required (query|header|cookie|path) parameter '(.+?)'")
_SAFE_INTEGER = 2**63

_log = structlog.stdlib.get_logger("annolog.api")


def status_of(error: AnnologError) -> HTTPStatus:
    """Give the status of an error: that of its nearest category.

    Parameters
    ----------
    error
        What went wrong.

    Returns
    -------
    HTTPStatus
        The status to answer with.
    """
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def members_of(error: AnnologError, request_id: str | None = None) -> dict[str, Any]:
    """Give an error as the members of a problem, for an answer or a batch's item.

    Parameters
    ----------
    error
        What went wrong.
    request_id
        The id under which the log speaks of it; None leaves it out.

    Returns
    -------
    dict
        Values that JSON can hold. `retry_after` is a header, not a member.
    """
    status = status_of(error)
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": error.detail,
        "code": error.reason_code,
    }
    if error.problems:
        shown = error.problems[:MOST_SHOWN]
        members["errors"] = [_shown(problem).as_dict() for problem in shown]
        if len(error.problems) > MOST_SHOWN:
            members["errors_left_out"] = len(error.problems) - MOST_SHOWN
    members.update(
        {name: value for name, value in error.extra.items() if name != "retry_after"}
    )
    if request_id is not None:
        members["request_id"] = request_id
    return members


def invalid(
    error: ValidationError, pointer: str = "", model: type[BaseModel] | None = None
) -> InvalidError:
    """Turn pydantic's error into ours, with a pointer to each place.

    Parameters
    ----------
    error
        What a model said of a request.
    pointer
        Where in the request that model stood ("" for the whole body, "/3" for the
        fourth item).
    model
        The model, which knows what a misspelt member may have meant; None: no hints.

    Returns
    -------
    InvalidError
        `MalformedError` where it was no JSON at all.
    """
    problems = []
    for fault in error.errors(include_url=False, include_context=False):
        if fault["type"] == "json_invalid":
            return not_json(fault["msg"].removeprefix("Invalid JSON: "), pointer)
        # The input of a missing member is the object that lacks it.
        value = None if fault["type"] == "missing" else fault["input"]
        reason = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            reason = _unknown(fault["loc"], model)
        place = pointer + "".join(f"/{escape(str(part))}" for part in fault["loc"])
        problems.append(Problem(place, value, reason, fault["type"]))
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    place = f"{first.pointer}: " if first.pointer else ""
    return InvalidError(f"{place}{first.reason}{more}", problems=problems)


def _unknown(place: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    near = meant(model, place) if model is not None else ()
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no member {str(place[-1])[:80]!r} here{hint}"


def not_json(reason: str, pointer: str = "") -> MalformedError:
    """Make the error for bytes that are no JSON.

    Parameters
    ----------
    reason
        The parser's words.
    pointer
        Where in the request the bytes stood; "" for the whole body.

    Returns
    -------
    MalformedError
        A 400.
    """
    if "recursion" in reason:
        detail = "The JSON is nested too deeply; nothing here needs 200 levels."
        return MalformedError(detail, code="too_deep")
    place = f" at {pointer}" if pointer else ""
    return MalformedError(f"The body{place} is not JSON in UTF-8: {reason}.")


def escape(part: str) -> str:
    """Write a member's name as JSON pointers do.

    Parameters
    ----------
    part
        A name as JSON has it.

    Returns
    -------
    str
        The same with `~` and `/` escaped.
    """
    return part.replace("~", "~0").replace("/", "~1")


def answer(error: AnnologError, request_id: str | None = None) -> Response[bytes]:
    """Make the HTTP answer to an error.

    Parameters
    ----------
    error
        What went wrong.
    request_id
        The id under which the log speaks of it.

    Returns
    -------
    Response
        With `Retry-After` where trying again may help, and `WWW-Authenticate` where
        a caller has to say who it is.
    """
    return _response(members_of(error, request_id), headers_of(error))


def headers_of(error: AnnologError) -> dict[str, str]:
    """Give the headers of the answer to an error, whatever its body is.

    Parameters
    ----------
    error
        What went wrong.
    """
    status = status_of(error)
    headers: dict[str, str] = {}
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers["Retry-After"] = str(error.extra.get("retry_after", RETRY_AFTER))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="annolog"'
    return headers


def note(error: AnnologError) -> None:
    """Log an error of ours that is no caller's fault.

    Parameters
    ----------
    error
        What went wrong.
    """
    if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning(
            "could not serve", code=error.reason_code, cause=repr(error.__cause__)
        )


def request_id_of(scope: Scope) -> str | None:
    """Give the id of a request; None where nobody observes.

    Parameters
    ----------
    scope
        The request.

    Returns
    -------
    str or None
        The id that the answer carries.
    """
    value = scope.get("state", {}).get("request_id")
    return value if isinstance(value, str) else None


# ------------------------------------------------------------------- handlers


def on_annolog_error(
    request: Request[Any, Any, Any], error: AnnologError
) -> Response[bytes]:
    """Answer an error of ours.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        A problem.
    """
    note(error)
    return answer(error, request_id_of(request.scope))


def on_validation_error(
    request: Request[Any, Any, Any], error: ValidationError
) -> Response[bytes]:
    """Answer what a model says of a request.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        A problem.
    """
    return on_annolog_error(request, invalid(error))


def on_decode_error(
    request: Request[Any, Any, Any], error: msgspec.MsgspecError
) -> Response[bytes]:
    """Answer bytes that msgspec cannot read.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        A problem.
    """
    return on_annolog_error(request, not_json(str(error)))


def on_http_exception(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[bytes]:
    """Answer what the framework itself refuses: routes, methods, parameters.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        A problem.
    """
    status = error.status_code
    problems = _parameters(request, error)
    headers = dict(error.headers or {})
    if problems:
        status, detail = 422, f"{problems[0].pointer}: {problems[0].reason}"
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_any_error(request, error)
    elif status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.scope['path']}."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = headers.pop("allow", "")
        headers["Allow"] = methods
        detail = (
            f"{request.method} is not for {request.scope['path']}; it takes {methods}."
        )
    elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "The body is larger than this address takes."
    else:
        detail = error.detail
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": _CODES.get(status, "error"),
    }
    if problems:
        members["errors"] = [_shown(problem).as_dict() for problem in problems]
    request_id = request_id_of(request.scope)
    if request_id is not None:
        members["request_id"] = request_id
    return _response(members, headers)


def on_any_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a fault of ours, without a word of our insides; the log has them.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        A problem.
    """
    _log.error("fault", exc_info=error, path=request.scope["path"])
    request_id = request_id_of(request.scope)
    detail = "Something went wrong here; it is not your request's fault."
    if request_id is not None:
        detail += f" Our log speaks of it under {request_id}."
    return answer(AnnologError(detail, code="internal"), request_id)


HANDLERS: ExceptionHandlersMap = {
    AnnologError: on_annolog_error,
    ValidationError: on_validation_error,
    msgspec.MsgspecError: on_decode_error,
    HTTPException: on_http_exception,
    Exception: on_any_error,
}
"""What `Litestar(exception_handlers=...)` takes."""


# -------------------------------------------------------------------- details


def _parameters(request: Request[Any, Any, Any], error: HTTPException) -> list[Problem]:
    # Litestar lists {key, source, message} in `extra` where a parameter is wrong, and
    # has nothing but a sentence where one is missing.
    missing = _MISSING.search(error.detail)
    if missing is not None:
        return [
            Problem(
                _SOURCES[missing[1]] + missing[2],
                None,
                f"the {missing[1]} parameter {missing[2]} is missing",
                "missing",
            )
        ]
    faults = error.extra if isinstance(error.extra, list) else []
    return [
        Problem(
            _SOURCES.get(fault.get("source"), "/") + str(fault["key"]),
            request.query_params.get(fault["key"]),
            str(fault.get("message", "is not right")),
            "parameter",
        )
        for fault in faults
        if isinstance(fault, dict) and "key" in fault
    ]


def _shown(problem: Problem) -> Problem:
    # A part of a request may be huge, or no value that JSON has: only scalars are
    # sent back.
    value = problem.value
    match value:
        case None | bool() | str():
            return problem
        case int() if abs(value) < _SAFE_INTEGER:
            return problem
        case float() if value == value and abs(value) != float("inf"):  # noqa: PLR0124
            return problem
        case list() | dict() | tuple() | set():
            return replace(problem, value=None)
        case _:
            return replace(problem, value=str(value))


def _response(members: Mapping[str, Any], headers: dict[str, str]) -> Response[bytes]:
    try:
        body = msgspec.json.encode(members)
    except (TypeError, ValueError, OverflowError):
        # Lone surrogates, for one: they are shown escaped.
        body = json.dumps(members, default=str).encode()
    return Response(
        body,
        status_code=members["status"],
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **headers},
    )
