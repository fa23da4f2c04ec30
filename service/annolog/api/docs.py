"""The interactive page of an API: Swagger UI, served by ourselves.

Nothing is loaded from elsewhere: observatories have control rooms without the
internet, and a page that can send requests in a user's name runs no strangers' code.
"""

import html
from functools import cache

from litestar import Response, get
from litestar.params import FromPath

from annolog.domain.errors import NotFoundError

NATIVE = "/annolog/docs"
"""Where the page of the native API is; its files are below it."""

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self';"
    " form-action 'self'; frame-ancestors 'none'"
)
"""Swagger UI has its icons in its style sheet, as images of their own (`data:`)."""

_START = """\
"use strict";
const page = document.getElementById("api");
SwaggerUIBundle({
  url: page.dataset.contract,
  domNode: page,
  deepLinking: true,
  // Otherwise the contract would be sent to a validator elsewhere.
  validatorUrl: null,
});
"""

_TYPES = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{files}/favicon-32x32.png">
<link rel="stylesheet" href="{files}/swagger-ui.css">
</head>
<body>
<div id="api" data-contract="{contract}">
<p>This page needs JavaScript; <a href="{contract}">the contract</a> does not.</p>
</div>
<script src="{files}/swagger-ui-bundle.js"></script>
<script src="{files}/start.js"></script>
</body>
</html>
"""


def page(title: str, contract: str, files: str) -> Response[bytes]:
    """Make the interactive page of an API.

    Parameters
    ----------
    title
        Title of the page.
    contract
        Path of its OpenAPI document.
    files
        Path below which `file` is served.
    """
    words = {"title": title, "contract": contract, "files": files}
    safe = {name: html.escape(text) for name, text in words.items()}
    return Response(
        _PAGE.format(**safe).encode(),
        media_type="text/html",
        headers={"Content-Security-Policy": POLICY},
    )


def file(name: str) -> Response[bytes]:
    """Give a file that the page needs.

    Parameters
    ----------
    name
        Its name, without a folder.

    Raises
    ------
    NotFoundError
        The page needs no such file.
    """
    if name not in _TYPES:
        raise NotFoundError("This page has no such file.")
    return Response(
        _content(name),
        media_type=_TYPES[name],
        headers={"Cache-Control": "public, max-age=86400"},
    )


@cache
def _content(name: str) -> bytes:
    if name == "start.js":
        return _START.encode()
    # Here, not above: most processes never show the page.
    from swagger_ui_bundle import swagger_ui_path  # noqa: PLC0415 - see above

    found: bytes = (swagger_ui_path / name).read_bytes()
    return found


@get(NATIVE, include_in_schema=False, opt={"anyone": True}, sync_to_thread=False)
def show() -> Response[bytes]:
    """Show the native API."""
    return page("annolog: API", "/annolog/openapi.json", NATIVE)


@get(
    NATIVE + "/{name:str}",
    include_in_schema=False,
    opt={"anyone": True},
    sync_to_thread=False,
)
def give(name: FromPath[str]) -> Response[bytes]:
    """Give a file of the page."""
    return file(name)


HANDLERS = (show, give)
"""All routes of this module."""
