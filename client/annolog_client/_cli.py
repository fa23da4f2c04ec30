"""`annolog`: the command of users and bots, over HTTP.

Exit codes: 0 done, 1 failed (standard error says why), 2 wrong use. `diff` has its own,
like the program of that name: 0 the same, 1 changed, 2 it could not be told.
"""

import click

from annolog.domain import calls
from annolog_client import __version__
from annolog_client._dataidset import dataidset
from annolog_client._terminal import Place


def _url(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not value.startswith(("http://", "https://")):
        reason = f"{value!r} is no address like https://annolog.example.org"
        raise click.BadParameter(reason)
    return calls.service_address(value)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="annolog")
@click.option(
    "--url",
    envvar=calls.URL,
    default="http://127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    callback=_url,
    help="Where the service is, as https://annolog.example.org.",
)
@click.option(
    "--user",
    envvar=calls.USER,
    show_envvar=True,
    help="Who calls, where no token says so; or for whom a delegate's token calls.",
)
@click.pass_context
def main(  # numpydoc ignore=PR01
    context: click.Context, url: str, user: str | None
) -> None:
    """Say and ask what holds for exposures and datasets.

    A token is taken from the variable ANNOLOG_TOKEN, never from an option, which others
    on the machine could see.

    Commands end with 0 if it is done, with 1 if it could not be done (standard error
    says why), and with 2 if they were used wrongly. `diff` has codes of its own.
    """
    context.obj = Place(url, user)


main.add_command(dataidset)
