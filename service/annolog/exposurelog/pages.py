"""Pages for people: what this API is, and its contract to read and to try."""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.params import FromPath

from annolog.api import docs, openapi
from annolog.api.direct import DirectRoute
from annolog.exposurelog import problems

DOCS = problems.PREFIX + "/docs"
"""Where the interactive page is; its files are below it."""

CONTRACT = problems.PREFIX + "/openapi.json"
"""Where the OpenAPI document is."""

DESCRIPTION = (
    "Messages about exposures, as clients of exposurelog know them; annolog answers. "
    "Dates are TAI, ISO 8601 without a zone. Errors are JSON with `detail`."
)
"""What the document says of itself."""

_SCHEMAS = "#/components/schemas/"

_ROOT = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Exposure log</title>
</head>
<body>
<h1>Exposure log</h1>
<p>Messages about exposures: find, add, edit and delete them. annolog answers.</p>
<p>OpenAPI: <a href="{DOCS}">read and try the API</a>, or take
<a href="{CONTRACT}">the contract itself</a>.</p>
</body>
</html>
"""


@DirectRoute(
    problems.PREFIX,
    http_method="GET",
    include_in_schema=False,
    opt={"anyone": True},
    exception_handlers=problems.HANDLERS,
)
async def show_root() -> Response[bytes]:
    """Show what this API is."""
    return Response(_ROOT.encode(), media_type="text/html")


@DirectRoute(
    DOCS,
    http_method="GET",
    include_in_schema=False,
    opt={"anyone": True},
    exception_handlers=problems.HANDLERS,
)
async def show_docs() -> Response[bytes]:
    """Show the API, to be tried."""
    return docs.page("Exposure log: API", CONTRACT, DOCS)


@DirectRoute(
    DOCS + "/{name:str}",
    http_method="GET",
    include_in_schema=False,
    opt={"anyone": True},
    exception_handlers=problems.HANDLERS,
)
async def give_file(name: FromPath[str]) -> Response[bytes]:
    """Give a file of the page."""
    return docs.file(name)


@DirectRoute(
    CONTRACT,
    http_method="GET",
    include_in_schema=False,
    opt={"anyone": True},
    exception_handlers=problems.HANDLERS,
)
async def show_contract(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Give the contract as JSON."""
    content = msgspec.json.encode(document(request.app))
    return Response(content, media_type="application/json")


HANDLERS = (show_root, show_docs, give_file, show_contract)
"""All routes of this module."""


def document(app: Litestar) -> dict[str, Any]:
    """Make the OpenAPI document of exposurelog's API alone.

    Parameters
    ----------
    app
        The whole application.

    Returns
    -------
    dict
        The part of the whole contract that is about it; paths are below `PREFIX`,
        which is the server's address.
    """
    whole = openapi.document(app)
    paths = {
        path.removeprefix(problems.PREFIX): item
        for path, item in whole["paths"].items()
        if path.startswith(problems.PREFIX + "/")
    }
    schemas = whole["components"]["schemas"]
    used: dict[str, Any] = {}
    wanted = set(_references(paths))
    while wanted:
        name = wanted.pop()
        used[name] = schemas[name]
        wanted |= set(_references(schemas[name])) - used.keys()
    return {
        "openapi": whole["openapi"],
        "info": whole["info"] | {"title": "Exposure log", "description": DESCRIPTION},
        "servers": [{"url": problems.PREFIX}],
        "paths": paths,
        "components": {"schemas": {name: used[name] for name in sorted(used)}},
    }


def _references(value: object) -> Iterator[str]:
    match value:
        case {"$ref": str(reference)}:
            yield reference.removeprefix(_SCHEMAS)
        case dict():
            for member in value.values():
                yield from _references(member)
        case list():
            for member in value:
                yield from _references(member)
        case _:
            pass
