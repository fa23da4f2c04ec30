"""What the commands of `annolog` share: where they call, and how they end."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import click

from annolog.domain import calls
from annolog.domain.errors import AnnologError
from annolog_client import __version__
from annolog_client._connection import Connection

FAILED = 1
"""Exit code: it was asked for rightly, and could not be done."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one value, for programs."
)
"""`--json`, as every command has it; the parameter is called `as_json`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where commands call; nothing is opened before one does.

    Attributes
    ----------
    url
        The service, without /annolog.
    user
        Who calls, or for whom; None: nobody is named.
    """

    url: str
    user: str | None

    def open(self) -> Connection:
        """Open a connection, with the token of the environment if there is one."""
        token = os.environ.get(calls.TOKEN)
        agent = f"annolog/{__version__}"
        return Connection(self.url, token=token, user=self.user, agent=agent)


@contextlib.contextmanager
def connected(*, failed: int = FAILED) -> Iterator[Connection]:
    """Open the connection of a command; errors end it with their lines.

    Parameters
    ----------
    failed
        The exit code then.
    """
    place: Place = click.get_current_context().obj
    try:
        with place.open() as connection:
            yield connection
    except AnnologError as error:
        click.echo(f"annolog: {error.detail}", err=True)
        for one in error.problems:
            if one.reason not in error.detail:
                click.echo(f"  {one.reason}", err=True)
        raise SystemExit(failed) from None


def emit(value: object, text: str, *, as_json: bool, failed: int = FAILED) -> None:
    """Print a command's result to standard output.

    Parameters
    ----------
    value
        The result for programs: what JSON can hold.
    text
        The same for people.
    as_json
        Which of the two.
    failed
        The exit code if it cannot be printed.
    """
    said = json.dumps(value, ensure_ascii=False) if as_json else text
    put_out(f"{said}\n", failed=failed)


def put_out(content: str | bytes, *, failed: int = FAILED) -> None:
    """Write to standard output.

    Parameters
    ----------
    content
        All of it, with the end of its last line.
    failed
        The exit code if that cannot be done.

    Raises
    ------
    SystemExit
        It cannot be written, to a full disk for instance; standard error says why.
    """
    try:
        click.echo(content, nl=False)
    except BrokenPipeError:
        # Whoever reads has read enough; click ends the command without a word.
        raise
    except OSError as error:
        reason = error.strerror or error
        click.echo(f"annolog: the output cannot be written: {reason}", err=True)
        raise SystemExit(failed) from None
