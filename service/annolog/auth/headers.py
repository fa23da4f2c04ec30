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
    wanted = name.encode()
    if _sent(connection).get(wanted) is None:
        return []
    headers = connection.scope["headers"]
    return [value.decode("latin-1") for each, value in headers if each == wanted]


def first_of(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str | None:
    """Give the first value of a header; None if it was not sent.

    Parameters
    ----------
    connection
        The request.
    name
        The header, in lower case.
    """
    value = _sent(connection).get(name.encode())
    return None if value is None else value.decode("latin-1")


def _sent(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[bytes, bytes]:
    """Give the first value of each header; sorted out once a request."""
    state = connection.scope["state"]
    found: dict[bytes, bytes] | None = state.get(_SENT)
    if found is None:
        # The last one of a name stays, so the first one is to be the last.
        found = state[_SENT] = dict(reversed(list(connection.scope["headers"])))
    return found
