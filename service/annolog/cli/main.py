"""`annologd`: the operator's command.

Each command lives in a module of its own, which is imported when it is asked for:
`annologd --help` needs nothing but click, and a machine without a broker's library
can still migrate.

Exit codes: 0 done, 1 failed (one line says why), 2 wrong use (a wrong setting, a
taken port and a missing part included).
"""

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import IO

import click
from typing_extensions import override

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "check": ("annolog.cli.check", "Compare every view with what the records give"),
        "consume": ("annolog.cli.consume", "Show what a topic holds"),
        "exposures": ("annolog.cli.exposures", "Bring exposures and visits of butlers"),
        "export": ("annolog.cli.exports", "Export into a butler, or another layout"),
        "import": ("annolog.cli.imports", "Import another log's database"),
        "incarnation": (
            "annolog.cli.incarnation",
            "Show and begin lives of the database",
        ),
        "load": ("annolog.cli.load", "Load a list of exposures as annotations"),
        "migrate": ("annolog.cli.migrate", "Bring the database to this version"),
        "openapi": ("annolog.cli.openapi", "Write the contract of the HTTP interface"),
        "relay": ("annolog.cli.relay", "Publish the log to Kafka"),
        "replay": ("annolog.cli.replay", "Let the relay send again"),
        "run": ("annolog.cli.run", "Run everything on this machine"),
        "sample": ("annolog.cli.sample", "Load a sample night"),
        "serve": ("annolog.cli.serve", "Serve HTTP"),
        "token": ("annolog.cli.token", "Make, list and revoke tokens"),
    }
)
"""Each command: the module that has it, under `command` or the command's own name, and
what it is for."""

FAILED = 1
"""Exit code: it was asked for rightly, and could not be done."""

WRONG_USE = 2
"""Exit code: something has to be put right before it can be tried."""


class WrongUseError(click.ClickException):
    """What has to be put right first; ends the command with `WRONG_USE`."""

    exit_code = WRONG_USE

    @override
    def show(self, file: IO[str] | None = None) -> None:
        """Print the line, or the lines, to standard error.

        Parameters
        ----------
        file
            Where to; None means standard error.
        """
        click.echo(self.format_message(), file=file, err=True)


class FailedError(click.ClickException):
    """What could not be done; ends the command with `FAILED`."""

    exit_code = FAILED

    @override
    def show(self, file: IO[str] | None = None) -> None:
        """Print the line to standard error.

        Parameters
        ----------
        file
            Where to; None means standard error.
        """
        click.echo(self.format_message(), file=file, err=True)


class _Lazy(click.Group):
    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for name in COMMANDS if _is_here(name)]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS or not _is_here(cmd_name):
            return None
        module = COMMANDS[cmd_name][0]
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "annolog":
                raise
            raise WrongUseError(
                f"annologd {cmd_name} needs the package {error.name!r}, which is not"
                f" installed: pip install 'annolog[service]'"
                + (" 'annolog[local]'" if cmd_name == "run" else "")
            ) from None
        command: click.Command = getattr(found, "command", None) or getattr(
            found, cmd_name
        )
        return command

    @override
    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        # click would import every module to ask it for its help.
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in names])

    @override
    def invoke(self, ctx: click.Context) -> object:
        with errors_as_lines():
            return super().invoke(ctx)


def _is_here(name: str) -> bool:
    return importlib.util.find_spec(COMMANDS[name][0]) is not None


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turn errors that are meant for users into one line and an exit code.

    Raises
    ------
    WrongUseError
        A setting is wrong.
    FailedError
        Any other `AnnologError`.
    """
    try:
        yield
    except Exception as error:
        # Here, not above: an error can only be ours if its module was imported.
        from annolog.domain.errors import AnnologError  # noqa: PLC0415 - see above

        if not isinstance(error, AnnologError):
            raise
        if error.reason_code.startswith("setting"):
            raise WrongUseError(f"annologd: {error.detail}") from None
        raise FailedError(f"annologd: {error.detail}") from None


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="annolog", prog_name="annologd")
def main() -> None:
    """Run and look after annolog. Settings are ANNOLOG_* variables."""


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one value, for programs."
)
"""`--json`, as every command has it; the parameter is called `as_json`."""


def emit(value: object, text: str, *, as_json: bool) -> None:
    """Print a command's result to standard output.

    Parameters
    ----------
    value
        The result for programs: what JSON can hold, moments and ids included.
    text
        The same for people.
    as_json
        Which of the two.
    """
    if as_json:
        import msgspec  # noqa: PLC0415 - `annologd --help` does without

        text = msgspec.json.encode(value, order="deterministic").decode()
    click.echo(text)


def database_url() -> str:
    """Give the database that operators' commands work on.

    Returns
    -------
    str
        `ANNOLOG_DATABASE_URL`.

    Raises
    ------
    WrongUseError
        It is not set: the embedded server is up only while `annologd run` is, which
        says its URL.
    SettingsError
        A setting is wrong.
    """
    from annolog import settings  # noqa: PLC0415 - `annologd --help` does without

    url = settings.load().database_url
    if not url:
        raise WrongUseError(
            "annologd: ANNOLOG_DATABASE_URL is not set; it should be"
            " postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return url


if __name__ == "__main__":
    main()
