"""Query parameters: the fields of a model, read, checked and documented from there.

What stands in a model's JSON schema is a parameter; a field that the path or the
handler gives is annotated with `SkipJsonSchema`, or given to `read_query` by name.
"""

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from litestar import Request
from pydantic import BaseModel, ValidationError

from annolog.domain.errors import InvalidError, Problem

M = TypeVar("M", bound=BaseModel)

_REASONS = {"bool_parsing": "is true or false", "missing": "is missing"}


@cache
def schemas(model: type[BaseModel]) -> Mapping[str, Mapping[str, Any]]:
    """Describe the parameters that a model takes.

    Parameters
    ----------
    model
        Its fields are the parameters.

    Returns
    -------
    Mapping
        JSON schema by name, with the description, as OpenAPI writes a parameter's.
    """
    described: Mapping[str, Any] = model.model_json_schema()["properties"]
    return {name: _plain(schema) for name, schema in described.items()}


def required(model: type[BaseModel]) -> frozenset[str]:
    """Name the parameters that must be given."""
    return frozenset(model.model_json_schema().get("required", ()))


def _plain(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    # A parameter cannot be null, only absent.
    plain = {name: value for name, value in schema.items() if name != "title"}
    for choice in plain.pop("anyOf", ()):
        if choice.get("type") != "null":
            plain |= choice
    if plain.get("default", ()) in (None, [], ()):
        plain.pop("default", None)
    return plain


def read_query(request: Request[Any, Any, Any], model: type[M], **fixed: object) -> M:
    """Read the query parameters of a request.

    Parameters
    ----------
    request
        The request.
    model
        The model whose fields are the parameters.
    **fixed
        Fields that do not come from the query.

    Returns
    -------
    BaseModel
        The model's instance.

    Raises
    ------
    InvalidError
        A parameter is unknown, said twice, or its value does not fit; all of them
        are named.
    """
    known = {name: one for name, one in schemas(model).items() if name not in fixed}
    problems: list[Problem] = []
    given: dict[str, object] = {}
    for name, values in request.query_params.dict().items():
        if name not in known:
            problems.append(_unknown(name, values[0], [*known]))
        elif known[name].get("type") == "array":
            given[name] = tuple(values)
        elif len(values) > 1:
            reason = f"{name} takes one value; it was given {len(values)} times"
            problems.append(Problem(f"?{name}", values[1], reason, "repeated"))
        else:
            given[name] = values[0]
    try:
        found = model.model_validate({**given, **fixed})
    except ValidationError as error:
        problems += _wrong(error)
        found = None
    if problems or found is None:
        code = problems[0].code if len(problems) == 1 else "invalid"
        raise InvalidError(problems[0].reason, code=code, problems=problems)
    return found


def _unknown(name: str, value: str, known: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?"
    if not near:
        hint = f"known are {', '.join(known)}"
    reason = f"there is no parameter {name[:60]!r}; {hint}"
    return Problem(f"?{name[:60]}", value, reason, "unknown_parameter")


def _wrong(error: ValidationError) -> list[Problem]:
    found = []
    for one in error.errors(include_url=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        reason = _REASONS.get(one["type"], one["msg"].removeprefix("Value error, "))
        value = one["input"] if isinstance(one["input"], str | int) else None
        found.append(
            Problem(f"?{name}", value, f"{name} {reason}".strip(), one["type"])
        )
    return found
