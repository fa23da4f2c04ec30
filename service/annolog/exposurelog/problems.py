"""Errors as exposurelog's clients know them: JSON with `detail`.

A sentence for most statuses; for 422 a list of what is wrong, each with `loc` (where),
`msg` (what, for people) and `type` (what, for programs).
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from pydantic import BaseModel, Field, ValidationError

from annolog.api import problems
from annolog.domain.errors import AnnologError, InvalidError, Problem

PREFIX = "/exposurelog"
"""Where exposurelog's API lives."""

_SOURCES: Mapping[str, str] = MappingProxyType({"?": "query", "#": "header"})
_NUMBER = re.compile(r"0|[1-9][0-9]*")

_log = structlog.stdlib.get_logger("annolog.exposurelog")

E = TypeVar("E", bound=Exception)
Place = tuple[str | int, ...]
"""Where in a request something is: "query" and a name; "body" and a way in."""


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description="Where: query, path or body, and a name.")
    msg: str = Field(description="What is wrong, for people.")
    type: str = Field(description="The same, for programs.")


class RefusedError(InvalidError):
    """A parameter or a body is wrong (422).

    Parameters
    ----------
    faults
        What is wrong; at least one.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults[0].msg, code=self.faults[0].type)


class Detail(BaseModel):
    """What went wrong."""

    detail: str | list[Fault] = Field(
        description="A sentence; for 422 a list of what is wrong."
    )


def refused(error: ValidationError, *where: str | int) -> RefusedError:
    """Turn what a model says of a request into an error.

    Parameters
    ----------
    error
        What it says.
    *where
        What stood there: "query", "path" or "body".
    """
    return RefusedError(
        Fault(
            loc=[*where, *fault["loc"]],
            msg=fault["msg"],
            type=fault["type"],
        )
        for fault in error.errors(
            include_url=False, include_context=False, include_input=False
        )
    )


def fault_at(place: Place, msg: str, kind: str) -> RefusedError:
    """Make the error that says: one place of the request is wrong.

    Parameters
    ----------
    place
        Where, for instance ("path", "id").
    msg
        What is wrong, for people.
    kind
        The same, for programs.
    """
    return RefusedError([Fault(loc=list(place), msg=msg, type=kind)])


# ------------------------------------------------------------------- handlers


def on_annolog_error(_: Request[Any, Any, Any], error: AnnologError) -> Response[bytes]:
    """Answer an error of ours.

    Parameters
    ----------
    _
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        JSON with `detail`.
    """
    problems.note(error)
    status, headers = problems.status_of(error), problems.headers_of(error)
    if status != HTTPStatus.UNPROCESSABLE_ENTITY:
        return _answer(status, error.detail, headers)
    return _answer(status, [fault.model_dump() for fault in _faults(error)], headers)


def on_validation_error(
    request: Request[Any, Any, Any], error: ValidationError
) -> Response[bytes]:
    """Answer what a model says of a body.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        JSON with `detail`.
    """
    return on_annolog_error(request, refused(error, "body"))


def on_decode_error(
    request: Request[Any, Any, Any], error: msgspec.MsgspecError
) -> Response[bytes]:
    """Answer a body that is not JSON.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        JSON with `detail`.
    """
    words = f"The body is not JSON in UTF-8: {error}"
    return on_annolog_error(request, fault_at(("body",), words, "json_invalid"))


def on_http_exception(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[bytes]:
    """Answer what the framework itself refuses: routes, methods, sizes.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        JSON with `detail`.
    """
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_any_error(request, error)
    status = HTTPStatus(error.status_code)
    headers = {
        name.title(): value
        for name, value in (error.headers or {}).items()
        if name.lower() == "allow"
    }
    return _answer(status, status.phrase, headers)


def on_any_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a fault of ours without a word of our insides; the log has them.

    Parameters
    ----------
    request
        The request that failed.
    error
        Why.

    Returns
    -------
    Response
        JSON with `detail`.
    """
    _log.error("fault", exc_info=error, path=request.scope["path"])
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    request_id = problems.request_id_of(request.scope)
    words = "Something went wrong here; it is not your request's fault."
    if request_id is not None:
        words += f" Our log speaks of it under {request_id}."
    return _answer(status, words, {})


HANDLERS: ExceptionHandlersMap = {
    AnnologError: on_annolog_error,
    ValidationError: on_validation_error,
    msgspec.MsgspecError: on_decode_error,
    HTTPException: on_http_exception,
    Exception: on_any_error,
}
"""What each route of exposurelog's API gives as `exception_handlers`."""


# -------------------------------------------------------------------- details


def _faults(error: AnnologError) -> Iterable[Fault]:
    if isinstance(error, RefusedError):
        return error.faults
    if not error.problems:
        return [Fault(loc=["body"], msg=error.detail, type=error.reason_code)]
    return [_fault(problem) for problem in error.problems[: problems.MOST_SHOWN]]


def _fault(problem: Problem) -> Fault:
    pointer = problem.pointer
    source = _SOURCES.get(pointer[:1])
    place: list[str | int] = [source, pointer[1:]] if source else ["body"]
    if source is None:
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            place.append(int(name) if _NUMBER.fullmatch(name) else name)
    return Fault(loc=place, msg=problem.reason, type=problem.code)


def _answer(
    status: HTTPStatus, detail: str | list[Any], headers: dict[str, str]
) -> Response[bytes]:
    return Response(
        msgspec.json.encode({"detail": detail}),
        status_code=status.value,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )
