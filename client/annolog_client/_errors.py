"""Errors of the service as they come back to its callers."""

from collections.abc import Mapping
from typing import Any

import httpx

from annolog.domain.errors import (
    AnnologError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    Problem,
    StaleError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

_BY_STATUS: Mapping[int, type[AnnologError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: StaleError,
    413: TooLargeError,
    429: OverloadedError,
}
_SERVER = 500
_ERROR = 400


def error_of(answer: httpx.Response) -> AnnologError:
    """Make of an answer the error that it tells.

    Parameters
    ----------
    answer
        An answer that is no success; what is no problem+json (a proxy's page) is told
        by its status alone.

    Returns
    -------
    AnnologError
        Of the class of its status, with the service's own code, detail and problems;
        `retry_after` (seconds) among its `extra`, where it says so.
    """
    status = answer.status_code
    if status < _ERROR:
        where = answer.headers.get("location", "somewhere else")
        told = f"the service answers with a redirect to {where}: is a token missing?"
        return UnauthenticatedError(told)
    kind = _BY_STATUS.get(status, UnavailableError if status >= _SERVER else None)
    said = _body(answer)
    detail: object = said.get("detail") or said.get("title")
    if not isinstance(detail, str):
        detail = f"the service answers {status} {answer.reason_phrase}"
    code = said.get("code")
    wait = answer.headers.get("retry-after", "")
    return (kind or InvalidError)(
        detail,
        code=code if isinstance(code, str) else None,
        problems=_problems(said.get("errors")),
        # It may be a date too, which nobody sends.
        extra={"retry_after": int(wait)} if wait.isdecimal() else None,
    )


def _body(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _problems(said: object) -> list[Problem]:
    if not isinstance(said, list):
        return []
    return [
        Problem(
            str(one.get("pointer", "")),
            one.get("value"),
            str(one.get("reason", "")),
            str(one.get("code", "")),
        )
        for one in said
        if isinstance(one, dict)
    ]
