"""The published JSON Schemas of the bodies of events.

They are made from the models (`annolog.domain.bodies`, `annolog.domain.states`) and
kept as files in `annolog/schemas`, one a version; a test holds files and models
together. A schema tells shapes, not rules: limits and lists of words that the service
checks when it takes a statement may change without a new version, and imported
statements keep to none of them.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from annolog.domain.bodies import RECORDS, Change
from annolog.domain.events import CHANGE_SCHEMA, STATE_SCHEMA
from annolog.domain.states import TargetState

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON Schema that is written."""

CHANGE_FILE = "change.v1.json"
"""File with the schema of a change's body."""

STATE_FILE = "target-state.v1.json"
"""File with the schema of a target state."""

FILES: Mapping[str, str] = MappingProxyType(
    {CHANGE_FILE: CHANGE_SCHEMA, STATE_FILE: STATE_SCHEMA}
)
"""The file of each schema, with the URI by which events name it (`dataschema`)."""

_REF = "#/$defs/{model}"

_RULES = frozenset(
    {
        "additionalProperties",
        "const",
        "default",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "title",
    }
)
"""What is left out: it binds who writes statements, not who reads events."""


def make(name: str) -> bytes:
    """Make a schema from the models, as its file should hold it.

    Parameters
    ----------
    name
        One of `FILES`.

    Returns
    -------
    bytes
        JSON, indented, the same every time.
    """
    schema = _change() if name == CHANGE_FILE else _shape(_of(TargetState))
    head = {"$schema": DIALECT, "$id": FILES[name]}
    written = json.dumps(head | schema, indent=1, ensure_ascii=False)
    return written.encode() + b"\n"


@cache
def shipped(name: str) -> bytes | None:
    """Give a schema as it is published.

    Parameters
    ----------
    name
        Its file, or the URI by which events name it.

    Returns
    -------
    bytes or None
        JSON; None if there is no such schema.
    """
    files = {uri: file for file, uri in FILES.items()} | {file: file for file in FILES}
    if name not in files:
        return None
    return (resources.files("annolog") / "schemas" / files[name]).read_bytes()


def _of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(ref_template=_REF)


def _change() -> dict[str, Any]:
    """Give the schema of a change, with what `after` is for each kind known now."""
    schema = _of(Change)
    models = sorted(set(RECORDS.values()), key=lambda model: model.__name__)
    _, records = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF
    )
    schema["$defs"] = dict(sorted((schema["$defs"] | records["$defs"]).items()))
    shape: dict[str, Any] = _shape(schema)
    shape["allOf"] = [
        {
            "if": {"properties": {"kind": {"enum": kinds}}},
            "then": {
                "properties": {
                    "after": {
                        "anyOf": [
                            {"$ref": _REF.format(model=model.__name__)},
                            {"type": "null"},
                        ]
                    }
                }
            },
        }
        for model in models
        if (kinds := sorted(kind for kind, is_a in RECORDS.items() if is_a is model))
    ]
    return shape


def _shape(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Take rules out of a schema; words that were a closed list become examples."""
    if isinstance(schema, list):
        return [_shape(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in {"properties", "$defs"}:
            # Their members are names, which may be words of JSON Schema.
            found[name] = {one: _shape(value[one]) for one in value}
        elif name == "enum":
            found["examples"] = value
        elif name not in _RULES or (
            # Of what sort other members are is shape; that there are none is a rule.
            name == "additionalProperties" and isinstance(value, dict)
        ):
            found[name] = _shape(value)
    return found
