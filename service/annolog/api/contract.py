"""The contract of each route beside its handler: what it takes, what it gives.

Handlers read raw bytes and raw parameters, because that is quick and because the error
of a bad one is ours to word. So what OpenAPI should show is declared with `contract`,
from the same models that validate, and `annolog.api.openapi` puts it in.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

ANNOTATION = "Annotation"
"""Schema name of an annotation as this site shows it."""
REVIEW = "Review"
"""Schema name of a review, a redaction or another single record."""
ANY = "Object"
"""Schema name of an answer that is described in words."""

_KEY = "contract"


@dataclass(frozen=True, slots=True)
class PageOf:
    """The answer of a list: JSON, or its items as NDJSON or CSV.

    Attributes
    ----------
    item
        Schema of an item: a model, or one of the names above.
    columns
        Columns in CSV.
    """

    item: str | type[BaseModel]
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class ListOf:
    """The answer of a list that is a bare JSON array.

    Attributes
    ----------
    item
        Schema of an item.
    """

    item: type[BaseModel]


Schema = str | type[BaseModel] | PageOf | ListOf | None
"""What a route may give: a model, one of the names above, several of either; None for
no body."""


def contract(  # each is a word of the contract, given by name
    *,
    takes: type[BaseModel] | None = None,
    asks: type[BaseModel] | None = None,
    gives: Mapping[int, Schema],
    types: Collection[str] = ("application/json",),
    many: bool = False,
    optional: bool = False,
    if_match: bool = False,
    missing: bool = False,
    conflict: bool = False,
    conditional: bool = False,
    produces: Collection[str] = ("application/json",),
    errors: type[BaseModel] | None = None,
) -> dict[str, Any]:
    """Declare what a route takes and gives, as arguments of its decorator.

    Parameters
    ----------
    takes
        Model of the body; None for no body.
    asks
        Model of the query parameters, which `annolog.api.parameters` reads; those
        that are in the path too come from there.
    gives
        Schema of the answer by status.
    types
        Content types of the body.
    many
        The body is a list of them.
    optional
        The body may be left out.
    if_match
        The header If-Match is read.
    missing, conflict, conditional
        404; 409; 412 and 428 are possible.
    produces
        Media types of the answer.
    errors
        What an error is answered with, as JSON; None for a problem (RFC 9457).
    """
    return {
        "opt": {
            _KEY: {
                "takes": takes,
                "asks": asks,
                "gives": gives,
                "types": sorted(types),
                "many": many,
                "optional": optional,
                "if_match": if_match,
                "missing": missing,
                "conflict": conflict,
                "conditional": conditional,
                "produces": sorted(produces),
                "errors": errors,
            }
        }
    }
