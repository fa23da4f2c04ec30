"""The way from the settings to the brokers, for each command that goes there."""

from annolog.settings import Settings
from annolog.stream.security import Security
from annolog.stream.topics import Access


def access(chosen: Settings, bootstrap: str | None = None) -> Access:
    """Give the access that the settings describe; reads the files that they name.

    Parameters
    ----------
    chosen
        The settings.
    bootstrap
        Other brokers than `ANNOLOG_KAFKA_BOOTSTRAP`; None: those.

    Raises
    ------
    SecurityError
        If a file cannot be used.
    """
    return Access.secured(
        bootstrap or chosen.kafka_bootstrap,
        Security(
            protocol=chosen.kafka_security_protocol,
            mechanism=chosen.kafka_sasl_mechanism,
            username=chosen.kafka_sasl_username,
            password=chosen.kafka_sasl_password,
            cafile=chosen.kafka_ssl_cafile,
            certfile=chosen.kafka_ssl_certfile,
            keyfile=chosen.kafka_ssl_keyfile,
            strict=chosen.kafka_ssl_strict,
        ),
    )
