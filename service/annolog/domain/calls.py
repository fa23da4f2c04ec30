"""How commands call the service: where it is, and which variables tell them so."""

import re

URL = "ANNOLOG_URL"
"""The variable that says where the service is."""
TOKEN = "ANNOLOG_TOKEN"  # noqa: S105 - the variable's name
"""The variable that holds a caller's token."""
USER = "ANNOLOG_USER"
"""The variable that names the caller."""
VARIABLES = frozenset({URL, TOKEN, USER})
"""What callers set; a process of the service may find them in its environment too."""

V1 = "/annolog/v1"
"""Where the native API is, below the address of the service."""

# Not of a host that is called so: https://annolog.
_ITS_PATH = re.compile(r"(?:(?<!/)/annolog(?:/v1)?)?/*$")


def service_address(written: str) -> str:
    """Give the address of the service as what is called is put behind it.

    Parameters
    ----------
    written
        As people write it: with slashes at its end, `/annolog` or `/annolog/v1`.

    Returns
    -------
    str
        Without any of these.
    """
    return _ITS_PATH.sub("", written, count=1)
