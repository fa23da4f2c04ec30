"""The ways in which people write down where a PostgreSQL database is.

`postgresql://` URLs as libpq reads them, those of SQLAlchemy, which name a driver, and
libpq's `host=... dbname=...`. All become the one form that our driver reads.
"""

import re
from urllib.parse import parse_qsl, quote, urlencode

from annolog.domain.errors import InvalidError

_SCHEME = re.compile(r"(postgresql|postgres)(\+[a-z0-9_]+)?://(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?:([^:@/?]*)(?::([^@]*))?@)?([^?]*)(?:\?(.*))?", re.DOTALL)
_WORD = re.compile(r"\s*([A-Za-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)\s*")

_KNOWN = frozenset(
    {
        "application_name",
        "dbname",
        "gsslib",
        "host",
        "krbsrvname",
        "options",
        "passfile",
        "password",
        "port",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "user",
    }
)
"""Settings of a connection that our driver or the server understands. Others tune the
driver that they were written for (`connect_timeout`, `prepared_statement_cache_size`)
and are left out."""

_OTHER_NAMES = {"database": "dbname", "hostaddr": "host", "ssl": "sslmode"}
_SWITCHES = {"true": "require", "false": "disable", "1": "require", "0": "disable"}


def database_address(text: str) -> str:
    """Read where a database is.

    Parameters
    ----------
    text
        A URL of libpq or of SQLAlchemy, or libpq's keywords.

    Returns
    -------
    str
        The same as a `postgresql://` URL.

    Raises
    ------
    InvalidError
        It is none of these. The text itself, which may hold a password, is not shown.
    """
    url = _SCHEME.fullmatch(text.strip())
    if url is not None:
        return _from_url(url[3], of_sqlalchemy=url[2] is not None)
    return _written("", _keywords(text))


def _from_url(rest: str, *, of_sqlalchemy: bool) -> str:
    found = _AUTHORITY.fullmatch(rest)
    if found is None:
        raise _refused()
    user, password, place, query = found.groups()
    who = ""
    if user is not None:
        who = user if password is None else f"{user}:{_encoded(password)}"
        who += "@"
    settings = dict(parse_qsl(query or "", keep_blank_values=True))
    host = settings.get("host", "")
    if of_sqlalchemy and ":" in host and not host.startswith(("/", "[")):
        # SQLAlchemy lets HOST:PORT stand in the query.
        settings["host"], _, settings["port"] = host.rpartition(":")
    return _written(who + place, settings)


def _encoded(password: str) -> str:
    """Encode what SQLAlchemy lets stand in a password and a URL does not."""
    return quote(password, safe="%!$&'()*+,;=:~-._")


def _keywords(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise _refused()
        value = found[2]
        if value.startswith("'"):
            value = value[1:-1]
        settings[found[1]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = found.end()
    if not settings:
        raise _refused()
    return settings


def _written(place: str, settings: dict[str, str]) -> str:
    kept: dict[str, str] = {}
    for written, value in settings.items():
        name = _OTHER_NAMES.get(written, written)
        if name == "sslmode":
            value = _SWITCHES.get(value.lower(), value)  # noqa: PLW2901 - one meaning
        # An empty value means the default to libpq, and an error to our driver.
        if name in _KNOWN and value and (written == name or name not in settings):
            kept[name] = value
    database = kept.pop("dbname", "")
    # Where a path stands, even an empty one, our driver does not look at `dbname`.
    place = place.removesuffix("/")
    if database and "/" not in place:
        place += f"/{quote(database, safe='')}"
    query = urlencode(kept, quote_via=quote, safe="")
    return f"postgresql://{place}" + (f"?{query}" if query else "")


def _refused() -> InvalidError:
    return InvalidError(
        "this is no database's address; write it as"
        " postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
        code="setting_address",
    )
