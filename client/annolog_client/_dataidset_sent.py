"""What commands on data-ID sets send: queries, lists, recipes."""

import contextlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from annolog.domain.errors import InvalidError, NotFoundError
from annolog_client._connection import Connection

TYPES: Mapping[str, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "ecsv": "text/x-ecsv",
}
"""Content types by format, which is how file names end."""


def asked(**query: str | int | None) -> dict[str, str | int]:
    """Give a query without what goes without saying: what is false or was not given.

    Parameters
    ----------
    **query
        Values by name.
    """
    return {
        name: "true" if value is True else value
        for name, value in query.items()
        if value is not None and value is not False
    }


def format_of(file: Path, written: str | None) -> str:
    """Tell how a file is written.

    Parameters
    ----------
    file
        The file; its name may say it.
    written
        What the caller says; None: nothing.

    Raises
    ------
    click.UsageError
        Neither does.
    """
    kind = written or file.suffix.removeprefix(".").lower()
    if kind not in TYPES:
        raise click.UsageError(
            f"{file} ends neither with .json nor .csv nor .ecsv: say --format"
        )
    return kind


def instrument_before(connection: Connection, path: str) -> str | None:
    """Give the instrument of the version before, for a list without that column.

    Parameters
    ----------
    connection
        Where the set is.
    path
        The set.

    Returns
    -------
    str or None
        None where there is no version, or its files have that column.
    """
    with contextlib.suppress(NotFoundError):
        versions = connection.get(path, {"limit": 1}).json()["versions"]
        found: str | None = versions[0]["instrument"] if versions else None
        return found
    return None


@contextlib.contextmanager
def telling_of_instruments() -> Iterator[None]:
    """Tell once that an instrument is missing, not once a line.

    Raises
    ------
    InvalidError
        With what else is wrong.
    """
    try:
        yield
    except InvalidError as error:
        others = [one for one in error.problems if one.code != "no_instrument"]
        if len(others) == len(error.problems):
            raise
        raise InvalidError(
            "rows of the list name no instrument, nor does a version before: say it, as"
            " in --instrument LSSTCam",
            problems=others,
        ) from None


def recipe_in(file: Path) -> Any:  # noqa: ANN401 - the service judges what it is
    """Read a recipe, as TOML if its name says so, else as JSON.

    Parameters
    ----------
    file
        The file; `-` is standard input.

    Raises
    ------
    click.UsageError
        It is neither.
    """
    content = _content(file)
    try:
        said = content.decode()
        return tomllib.loads(said) if file.suffix == ".toml" else json.loads(said)
    except ValueError as error:
        raise click.UsageError(f"{file} cannot be read as a recipe: {error}") from None


def json_in(file: Path) -> Any:  # noqa: ANN401 - as above
    """Read JSON.

    Parameters
    ----------
    file
        The file; `-` is standard input.

    Raises
    ------
    click.UsageError
        It is none.
    """
    try:
        return json.loads(_content(file))
    except ValueError as error:
        raise click.UsageError(f"{file} is no JSON: {error}") from None


def _content(file: Path) -> bytes:
    with click.open_file(str(file), "rb") as stream:
        content: bytes = stream.read()
    return content
