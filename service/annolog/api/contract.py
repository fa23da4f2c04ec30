"""The contract of each route beside its handler: what it takes, what it gives.

Handlers read raw bytes, because that is quick and because the error of a bad body is
ours to word. So the bodies and answers that OpenAPI should show are declared with
`contract`, from the same models that validate, and `document` puts them in.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

ANNOTATION = "Annotation"
"""Schema name of an annotation as this site shows it."""
REVIEW = "Review"
"""Schema name of a review, a redaction or another single record."""
PAGE = "Page"
"""Schema name of a page of a list."""
ANY = "Object"
"""Schema name of an answer that is described in words."""

_KEY = "contract"

_FORM: Mapping[str, Any] = {"type": "object", "additionalProperties": True}


def contract(
    *,
    takes: type[BaseModel] | None = None,
    gives: Mapping[int, str | type[BaseModel]],
    types: Collection[str] = ("application/json",),
    many: bool = False,
    optional: bool = False,
    if_match: bool = False,
    missing: bool = False,
    conflict: bool = False,
    conditional: bool = False,
    produces: Collection[str] = ("application/json",),
) -> dict[str, Any]:
    """Declare what a route takes and gives, as arguments of its decorator.

    Parameters
    ----------
    takes
        Model of the body; None for no body.
    gives
        Schema of the answer by status: a model, or one of the names above.
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
    """
    return {
        "opt": {
            _KEY: {
                "takes": takes,
                "gives": gives,
                "types": sorted(types),
                "many": many,
                "optional": optional,
                "if_match": if_match,
                "missing": missing,
                "conflict": conflict,
                "conditional": conditional,
                "produces": sorted(produces),
            }
        }
    }
