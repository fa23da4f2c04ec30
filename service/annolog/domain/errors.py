"""Every error that a user may see.

AnnologError
    InvalidError            what was sent cannot be accepted (400, 413, 415, 422)
        MalformedError      it is not the JSON, CSV or key that it should be (400)
        TooLargeError       it is over a stated limit (413)
        MediaTypeError      another content type is wanted (415)
        SettingsError       a setting of a process is wrong (in annolog.settings)
    NotFoundError           nothing here has that name (404)
    ConflictError           it contradicts what is already there (409)
        StaleError          another revision is current by now (412)
        UnconditionalError  an edit must say what it started from (428)
    UnauthenticatedError    who is calling is not known (401)
    ForbiddenError          the caller may not do this (403)
    UnavailableError        try again later (503)
        OverloadedError     too many requests wait already (429)

`code` is stable and machine-readable; `detail` is for people: what was wrong, with
which value, and what would be right. Neither ever holds SQL or a secret.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one place of a request.

    Attributes
    ----------
    pointer
        JSON pointer into the request ("/targets/3"), or "?name" for a query
        parameter, or "#Name" for a header.
    value
        What was sent there, cut to 200 characters; None when nothing was.
    reason
        What is wrong and what would be right, for people.
    code
        The same, for programs.
    """

    pointer: str
    value: object
    reason: str
    code: str

    def as_dict(self) -> dict[str, Any]:
        """Give the four members as problem+json carries them."""
        value = self.value
        if isinstance(value, str) and len(value) > _SHOWN:
            value = value[:_SHOWN] + "…"
        return {
            "pointer": self.pointer,
            "value": value,
            "reason": self.reason,
            "code": self.code,
        }


_SHOWN = 200


class AnnologError(Exception):
    """Something a user should be told, with a stable code.

    Parameters
    ----------
    detail
        One sentence for people.
    code
        Overrides the code of the class with a narrower one.
    problems
        The places that are wrong, if places can be named.
    extra
        Further members of the answer (for instance the newer revision).
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        problems: Sequence[Problem] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason_code = code or self.code
        self.problems = tuple(problems)
        self.extra = dict(extra or {})


class InvalidError(AnnologError):
    """What was sent cannot be accepted as it is."""

    code = "invalid"

    @classmethod
    def at(
        cls, pointer: str, value: object, reason: str, code: str = "invalid"
    ) -> "InvalidError":
        """Make an error about one place of the request."""
        problem = Problem(pointer, value, reason, code)
        return cls(reason, code=code, problems=[problem])


class MalformedError(InvalidError):
    """The bytes are not what they should be."""

    code = "malformed"


class TooLargeError(InvalidError):
    """A stated limit is passed."""

    code = "too_large"


class MediaTypeError(InvalidError):
    """Another content type is wanted."""

    code = "media_type"


class NotFoundError(AnnologError):
    """Nothing here has that name."""

    code = "not_found"


class ConflictError(AnnologError):
    """It contradicts what is already there."""

    code = "conflict"


class StaleError(ConflictError):
    """Another revision is current by now."""

    code = "stale"


class UnconditionalError(ConflictError):
    """An edit must say which revision it started from."""

    code = "if_match_required"


class UnauthenticatedError(AnnologError):
    """Who is calling is not known."""

    code = "unauthenticated"


class ForbiddenError(AnnologError):
    """The caller may not do this."""

    code = "forbidden"


class UnavailableError(AnnologError):
    """Try again later."""

    code = "unavailable"


class OverloadedError(UnavailableError):
    """Too many requests wait already."""

    code = "overloaded"
