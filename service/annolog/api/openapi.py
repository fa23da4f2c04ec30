"""The contract of the whole API: `openapi.yaml`, `/annolog/openapi.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.routes import HTTPRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from annolog.api import parameters
from annolog.api.contract import ListOf, PageOf, Schema
from annolog.domain.annotations import Revision

DESCRIPTION = (
    "annolog keeps what people and programs say about exposures, datasets and other "
    "targets of an observatory: annotations, tags and quality flags. Times are UTC "
    "(RFC 3339). Errors are problem+json (RFC 9457) with a stable `code`."
)
"""What the document says of itself."""

_REF = "#/components/schemas/{model}"

_PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for people."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "value", "reason", "code"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer; `?name` for a query parameter, "
                        "`#Name` for a header.",
                    },
                    "value": {"description": "What was sent there."},
                    "reason": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string"},
    },
}

_ALWAYS = {
    400: "The request is malformed",
    401: "Who is calling is not known",
    403: "The caller may not do this",
    422: "The content is wrong; `errors` names the places",
    429: "Too many requests wait",
    503: "The database is away; try again",
}
_BODY = {413: "The body is too large", 415: "Another content type is wanted"}


@get("/annolog/openapi.json", include_in_schema=False, opt={"anyone": True})
async def show(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Give the contract as JSON."""
    content = msgspec.json.encode(document(request.app))
    return Response(content, media_type="application/json")


HANDLERS = (show,)
"""All routes of this module."""


def document(app: Litestar) -> dict[str, Any]:
    """Make the OpenAPI document of an application.

    Litestar describes routes and parameters; bodies and answers come from what each
    handler declares beside it (`api.contract`), and so from the models themselves.
    """
    found: dict[str, Any] = app.openapi_schema.to_schema()
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    contracts = _contracts(app)
    schemas.update(_model_schemas(contracts))
    schemas["Problem"] = _PROBLEM
    for path, item in found["paths"].items():
        for method, operation in item.items():
            said = contracts.get((path, method))
            if said is not None:
                _describe(operation, said)
            _problems(operation, said or {}, path)
    plain: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(found, order="sorted")
    )
    return plain


def _contracts(app: Litestar) -> dict[tuple[str, str], Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            if "contract" in handler.opt:
                path = _plain_path(route.path_format)
                for method in handler.http_methods:
                    found[path, method.lower()] = handler.opt["contract"]
    return found


def _plain_path(path: str) -> str:
    return "/".join(
        f"{{{part[1:-1].partition(':')[0]}}}" if part.startswith("{") else part
        for part in path.split("/")
    )


def _models(
    contracts: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[type[BaseModel]]:
    models: dict[str, type[BaseModel]] = {}
    for said in contracts.values():
        for given in (said["takes"], said["errors"], *said["gives"].values()):
            model = given.item if isinstance(given, PageOf | ListOf) else given
            if isinstance(model, type):
                models[model.__name__] = model
    return [models[name] for name in sorted(models)]


def _model_schemas(
    contracts: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    _, top = models_json_schema(
        [(model, "validation") for model in _models(contracts)], ref_template=_REF
    )
    shown = Revision.model_json_schema(ref_template=_REF)
    schemas: dict[str, Any] = {**top.get("$defs", {}), **shown.pop("$defs", {})}
    shown["properties"] |= {
        "number": {"type": "integer", "description": "Change number at this site."},
        "current": {"type": "boolean", "description": "Whether it is what holds."},
        "counted": {
            "type": "boolean",
            "description": "Whether it counts for any of its targets.",
        },
    }
    schemas["Annotation"] = shown
    record = {
        "type": "object",
        "required": ["record_id", "kind", "annotation_id", "author", "created_at"],
        "additionalProperties": True,
    }
    schemas["Review"] = {
        **record,
        "description": "A review, or a redaction: one record.",
    }
    schemas["Batch"] = {
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "type": "array",
                "description": "One for each item, in order.",
                "items": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "status": {"type": "integer"},
                        "annotation": {"$ref": _REF.format(model="Annotation")},
                        "problem": {"$ref": _REF.format(model="Problem")},
                    },
                },
            }
        },
    }
    schemas["Object"] = {"type": "object", "additionalProperties": True}
    for said in contracts.values():
        for given in said["gives"].values():
            if isinstance(given, PageOf):
                schemas[_name(given)] = _page(given)
    return schemas


def _page(page: PageOf) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": _ref(page.item)},
            "next": {
                "type": ["string", "null"],
                "description": "`cursor` of the next page; null at the end.",
            },
            "count": {
                "type": ["integer", "string"],
                "description": "Only with `count=true`.",
            },
            "scan_stopped": {
                "type": "boolean",
                "description": "The search paused: go on with `next`.",
            },
        },
    }


def _name(schema: Schema) -> str:
    match schema:
        case PageOf(item):
            return f"{_name(item)}Page"
        case ListOf(item):
            return f"{_name(item)}List"
        case str():
            return schema
        case None:
            return "Nothing"
        case _:
            return schema.__name__


def _ref(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, ListOf):
        return {"type": "array", "items": _ref(schema.item)}
    return {"$ref": _REF.format(model=_name(schema))}


def _parameters(model: type[BaseModel], known: set[str]) -> list[dict[str, Any]]:
    needed = parameters.required(model)
    found = []
    for name, described in parameters.schemas(model).items():
        if name not in known:
            schema = dict(described)
            words = schema.pop("description", "")
            found.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in needed,
                    "description": words,
                    "schema": schema,
                }
            )
    return found


def _answer(schema: Schema, produces: Sequence[str]) -> dict[str, Any]:
    if schema is None:
        return {"description": "Done; nothing is said."}
    if not isinstance(schema, PageOf):
        content = {
            kind: {"schema": {"type": "string"} if _is_lines(kind) else _ref(schema)}
            for kind in produces
        }
        return {"description": "Done", "content": content}
    columns = f"Columns: {', '.join(schema.columns)}."
    return {
        "description": "A page of the list; `Link` leads to the next one.",
        "content": {
            "application/json": {"schema": _ref(schema)},
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "One item a line."}
            },
            "text/csv": {"schema": {"type": "string", "description": columns}},
        },
    }


def _is_lines(kind: str) -> bool:
    """Tell a table of lines from one JSON value and from what is shown as it is."""
    return kind in {"text/csv", "text/x-ecsv"}


def _is_json(kind: str) -> bool:
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


def _describe(operation: dict[str, Any], said: Mapping[str, Any]) -> None:
    if said["takes"] is not None:
        schema: dict[str, Any] = _ref(said["takes"])
        if said["many"]:
            schema = {"type": "array", "items": schema}
        operation["requestBody"] = {
            "required": not said["optional"],
            "content": {
                kind: {"schema": schema if _is_json(kind) else {"type": "string"}}
                for kind in said["types"]
            },
        }
    if said["asks"] is not None:
        listed = operation.setdefault("parameters", [])
        listed += _parameters(said["asks"], {one["name"] for one in listed})
    if said["if_match"]:
        operation.setdefault("parameters", []).append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": "The revision that was looked at (its ETag).",
                "schema": {"type": "string"},
            }
        )
    operation["responses"] = {
        str(status): _answer(schema, said["produces"])
        for status, schema in said["gives"].items()
    }


def _problems(operation: dict[str, Any], said: Mapping[str, Any], path: str) -> None:
    answers = operation.setdefault("responses", {})
    if path.startswith(("/health", "/metrics")):
        return
    wanted = dict(_ALWAYS)
    if said.get("takes") is not None:
        wanted |= _BODY
    if said.get("missing") or "{" in path:
        wanted[404] = "There is no such thing"
    if said.get("conflict"):
        wanted[409] = "It contradicts what is there"
    if said.get("conditional"):
        wanted |= {412: "Another revision is current", 428: "If-Match is missing"}
    errors = said.get("errors")
    content: dict[str, Any] = {"application/problem+json": {"schema": _ref("Problem")}}
    if errors is not None:
        wanted[422] = "A parameter or the body is wrong; `detail` names the places"
        content = {"application/json": {"schema": _ref(errors)}}
    for status, words in wanted.items():
        answers[str(status)] = {"description": words, "content": content}
