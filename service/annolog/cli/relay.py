"""`annologd relay`: everything in the log goes to Kafka."""

import click

from annolog import settings
from annolog.cli import brokers
from annolog.stream import relay as stream_relay
from annolog.stream.relay import RelayConfig
from annolog.stream.topics import Topics


@click.command("relay")
@click.option(
    "--replication",
    type=click.IntRange(1, 9),
    help="Copies of each partition if the topics must be made.  [default: the"
    " brokers' own]",
)
def relay(replication: int | None) -> None:
    """Publish the log to Kafka until stopped.

    Ends with 0 when asked to (SIGTERM, SIGINT), with 1 when it should be started
    again (so also where the broker does not let us in: rights and passwords may come
    later), with 2 when a setting or a file that it names is wrong, and with 3 when log
    and topic contradict each other and a person must look.
    """
    chosen = settings.load()
    if not chosen.kafka_bootstrap:
        raise click.UsageError(
            "ANNOLOG_KAFKA_BOOTSTRAP is not set: there is no broker to publish to"
        )
    if not chosen.database_url:
        raise click.UsageError(
            "ANNOLOG_DATABASE_URL is not set: there is no log to publish"
        )
    stream_relay.main(
        RelayConfig(
            chosen.database_url,
            brokers.access(chosen),
            chosen.site_id,
            Topics.named(chosen.kafka_topic_prefix),
            replication=replication,
        )
    )
