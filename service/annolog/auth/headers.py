"""Headers of a request, read one by one.

A request asks for three or four of its headers, and the framework would make an object
of all of them first, of which proxies and browsers send twenty.
"""

from typing import Any

from litestar.connection import ASGIConnection

_SENT = "annolog.headers"


def all_of(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> list[str]:
    """Give all values of a header, in the order in which they were sent.

    Parameters
    ----------
    connection
        The request.
    name
        The header, in lower case.

    Returns
    -------
    list of str
        Read as Latin-1, which takes any bytes; empty if it was not sent.
    """
    values = _sent(connection).get(name)
    return [value.decode("latin-1") for value in values] if values else []


def first_of(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str | None:
    """Give the first value of a header; None if it was not sent.

    Parameters
    ----------
    connection
        The request.
    name
        The header, in lower case.
    """
    values = _sent(connection).get(name)
    return values[0].decode("latin-1") if values else None


def _sent(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, list[bytes]]:
    """Give the values of all headers by name; sorted out once a request."""
    state = connection.scope["state"]
    found: dict[str, list[bytes]] | None = state.get(_SENT)
    if found is None:
        found = state[_SENT] = {}
        for name, value in connection.scope["headers"]:
            found.setdefault(name.decode("latin-1"), []).append(value)
    return found
