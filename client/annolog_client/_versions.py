"""Versions of data-ID sets, as people name them, and what else they may have meant."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

import click
from typing_extensions import override

from annolog.domain.errors import NotFoundError
from annolog_client._connection import Connection
from annolog_client._dataidset_text import Shown, version_name

SETS = "/data-id-sets"
"""Where the service has them."""

NEWEST = "newest"
"""In place of a version's number."""

_DIGEST = 4


class SetVersion(NamedTuple):
    """A set and one of its versions, as people name them."""

    name: str
    version: str
    """Its number, number-DIGEST, a label, `newest` or `now`."""

    @property
    def path(self) -> str:
        """Where the service has it."""
        return f"{set_path(self.name)}/versions/{quote(self.version, safe='')}"


class SetVersionType(click.ParamType[SetVersion]):
    """What a command takes as `NAME@VERSION`."""

    name = "NAME[@VERSION]"

    @override
    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> SetVersion:
        if isinstance(value, SetVersion):
            return value
        name, at, version = str(value).removeprefix("set:").partition("@")
        if not name or (at and not version):
            self.fail(f"{value!r} is not like DRP1-bad or DRP1-bad@3", param, ctx)
        return SetVersion(name, version or NEWEST)


def set_path(name: str) -> str:
    """Give where the service has a set."""
    return f"{SETS}/{quote(name, safe='')}"


def pages(connection: Connection, path: str, member: str) -> Iterator[Shown]:
    """Read a list of the service page by page.

    Parameters
    ----------
    connection
        Where it is.
    path
        What lists.
    member
        Where the items of a page are.

    Yields
    ------
    Mapping
        The items.
    """
    cursor: dict[str, str | int] = {}
    while True:
        page = connection.get(path, {"limit": 1_000, **cursor}).json()
        yield from page[member]
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


@contextlib.contextmanager
def hinting(connection: Connection, name: str, *versions: str) -> Iterator[None]:
    """Tell of a version that is not there what there is.

    Parameters
    ----------
    connection
        Where sets are.
    name
        The set.
    *versions
        What is asked for, as people wrote it.

    Raises
    ------
    NotFoundError
        With a hint; or that there is no such set, where there is none.
    """
    try:
        yield
    except NotFoundError as error:
        if error.reason_code != "unknown_version":
            raise
        found = [*pages(connection, set_path(name), "versions")]
        raise NotFoundError(
            f"{error.detail}; {_hint(name, versions, found)}", code=error.reason_code
        ) from None


def _hint(name: str, wanted: Sequence[str], found: Sequence[Shown]) -> str:
    labels = sorted({one["label"] for one in found if one["label"]})
    meant = [f"{name}@{one}" for one in labels if _is_meant(one, wanted)]
    meant += [version_name(one) for one in found if _has_digest(one, wanted)]
    newest = max(one["version"] for one in found)
    numbers = f"versions 1 to {newest}" if newest > 1 else "version 1"
    known = f"labels of {name}: {', '.join(labels) or 'none'}; {numbers}"
    return f"did you mean {' or '.join(meant)}? ({known})" if meant else known


def _is_meant(label: str, wanted: Sequence[str]) -> bool:
    return label not in wanted and label.casefold() in map(str.casefold, wanted)


def _has_digest(version: Shown, wanted: Sequence[str]) -> bool:
    digest: str = version["digest"]
    return any(len(one) >= _DIGEST and digest.startswith(one.lower()) for one in wanted)
