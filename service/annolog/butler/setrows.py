"""Rows of data-ID sets, read out of a butler's tables."""

import msgspec

from annolog.butler import layout
from annolog.butler.scopes import Scope
from annolog.butler.tables import Tables, TablesError


class UnknownSetError(TablesError):
    """A version of a data-ID set that is not in the tables, or not one alone."""

    code = "unknown_set"


def key_of(tables: Tables, scope: Scope, name: str, version: int | None) -> str:
    """Find a version of a set.

    Parameters
    ----------
    tables
        Opened.
    scope
        Which part of what holds they have.
    name
        The set.
    version
        The number of its version; None: the latest that is in the tables.

    Returns
    -------
    str
        The key of the version.

    Raises
    ------
    UnknownSetError
        If there is no such version in the tables, or several are called so: two sites
        made one each.
    """
    known = sorted(
        row
        for row in tables.rows(
            layout.SET_VERSION, ("version", "set_key"), ("name", [name])
        )
        if version in {None, row[0]}
    )
    if not known:
        which = "" if version is None else f" with the version {version}"
        why = "" if scope.has_set(name) else f": export with --set {name} too"
        raise UnknownSetError(f"there is no set {name}{which} in the tables{why}")
    latest = [set_key for number, set_key in known if number == known[-1][0]]
    if len(latest) > 1:
        raise UnknownSetError(f"{name}@{known[-1][0]} is several: {', '.join(latest)}")
    key: str = latest[0]
    return key


def rows(tables: Tables, key: str) -> list[dict[str, int | str]]:
    """Give the data IDs of a version of a set, in its order.

    Parameters
    ----------
    tables
        Opened.
    key
        Of the version.

    Returns
    -------
    list of dict
        The values of the dimensions that a row names: one of a whole exposure has no
        detector beside others that have one.
    """
    found = tables.rows(layout.SET_MEMBER, ("place", "data_id"), ("set_key", [key]))
    return [
        # Tables of an earlier version have null where a row names no value.
        {
            dimension: value
            for dimension, value in msgspec.json.decode(data_id).items()
            if value is not None
        }
        for _, data_id in sorted(found)
    ]
