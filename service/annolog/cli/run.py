"""`annologd run`: everything on one machine, as `make run` starts it."""

import sys

import click

from annolog import settings
from annolog.cli.main import FailedError, WrongUseError
from annolog.local.errors import FailedError as PartFailedError
from annolog.local.errors import LocalError
from annolog.local.jars import default_cache
from annolog.local.supervisor import Plan, Supervisor


@click.command(name="run")
def command() -> None:
    """Run PostgreSQL, Kafka, the service and the relay on this machine.

    What ANNOLOG_DATABASE_URL or ANNOLOG_KAFKA_BOOTSTRAP name is used in place of a
    server of its own. Data and logs are kept under ANNOLOG_HOME. Ctrl-C stops all.
    """
    given = settings.load()
    plan = Plan(
        home=given.home,
        host=given.host,
        port=given.port,
        annologd=(sys.executable, "-m", "annolog.cli"),
        cache=default_cache(),
        database_url=given.database_url,
        kafka_bootstrap=given.kafka_bootstrap,
    )
    try:
        Supervisor(plan, click.echo).run()
    except PartFailedError as error:
        raise FailedError(f"annologd: {error}") from None
    except LocalError as error:
        raise WrongUseError(f"annologd: {error}") from None
