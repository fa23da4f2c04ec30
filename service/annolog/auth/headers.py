"""Headers of a request, read one by one.

A request asks for three or four of its headers, and the framework would make an object
of all of them first, of which proxies and browsers send twenty.
"""

from typing import Any

from litestar.connection import ASGIConnection


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
    wanted, found = name.encode(), []
    for sent, value in connection.scope["headers"]:
        if sent == wanted:
            found.append(value.decode("latin-1"))
    return found


def first_of(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str | None:
    """Give the first value of a header; None if it was not sent.

    Parameters
    ----------
    connection
        The request.
    name
        The header, in lower case.
    """
    wanted = name.encode()
    for sent, value in connection.scope["headers"]:
        if sent == wanted:
            return value.decode("latin-1")
    return None
