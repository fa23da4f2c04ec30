"""`annologd openapi`: write the contract of the HTTP interface, or check the file."""

from pathlib import Path

import click
import yaml
from typing_extensions import override

from annolog.api.openapi import document
from annolog.app import create_app
from annolog.cli.main import FailedError
from annolog.settings import Settings

_HEAD = "# The contract of annolog's HTTP interface, written by `annologd openapi`.\n"


def contract() -> str:
    """Give the contract as openapi.yaml holds it: keys sorted, the same every time.

    Returns
    -------
    str
        YAML. No database is needed: routes and models say it all.
    """
    found = document(create_app(Settings()))
    return _HEAD + yaml.dump(
        found, Dumper=_Plain, sort_keys=True, allow_unicode=True, width=88
    )


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice: anchors are no part of OpenAPI's YAML."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


@click.command("openapi")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("openapi.yaml"),
    show_default=True,
    help="The file; - for standard output.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; exit with 1 if the file is not what would be written.",
)
def command(*, output: Path, check: bool) -> None:  # numpydoc ignore=PR01
    """Write the contract of the HTTP interface."""
    found = contract()
    if str(output) == "-":
        click.echo(found, nl=False)
    elif check:
        if not output.is_file() or output.read_text(encoding="utf-8") != found:
            raise FailedError(
                f"annologd: {output} is not what the service does: run annologd openapi"
            )
    else:
        output.write_text(found, encoding="utf-8")
