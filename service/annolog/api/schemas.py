"""The JSON Schemas of events, for whoever reads a topic: open to anyone."""

from typing import Any

from litestar import MediaType, Response, get
from litestar.params import FromPath

from annolog.api.contract import ANY, contract
from annolog.domain.errors import NotFoundError
from annolog.domain.schemas import FILES, shipped

PATH = "/annolog/v1/schemas"
"""Where the list is; the schemas are below it."""

_TYPE = "application/schema+json"


def _anyone(said: dict[str, Any]) -> dict[str, Any]:
    """Open a route: who may read a topic need not have a token here."""
    return {**said, "opt": {**said["opt"], "anyone": True}}


@get(
    PATH,
    summary="List the schemas of events",
    description="The JSON Schemas of the bodies of events: the `uri` by which an event "
    "names its schema (`dataschema`), and the path where it is.",
    media_type=MediaType.JSON,
    sync_to_thread=False,
    **_anyone(contract(gives={200: ANY})),
)
def list_schemas() -> dict[str, Any]:
    """Answer with the list."""
    return {
        "items": [
            {"name": name, "uri": uri, "link": f"{PATH}/{name}"}
            for name, uri in FILES.items()
        ]
    }


@get(
    PATH + "/{name:str}",
    summary="Read a schema of events",
    description="A JSON Schema (2020-12) by its name, or by the URI that an event's "
    "`dataschema` gives.",
    sync_to_thread=False,
    **_anyone(contract(gives={200: ANY}, missing=True, produces=(_TYPE,))),
)
def give_schema(name: FromPath[str]) -> Response[bytes]:
    """Answer with a schema."""
    found = shipped(name)
    if found is None:
        raise NotFoundError(
            f"there is no schema {name!r}; known are {', '.join(FILES)}"
        )
    return Response(
        found, media_type=_TYPE, headers={"Cache-Control": "public, max-age=3600"}
    )


HANDLERS = (list_schemas, give_schema)
"""All routes of this module."""
