"""The two topics: their names, how they must be, and making them.

`<prefix>.changes` has one event a change, keyed by what it changes, and is kept.
`<prefix>.targets` has the state of each target, keyed by target, and is compacted.
"""

import contextlib
import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
)

from annolog.domain.errors import AnnologError, UnavailableError
from annolog.stream.entrance import RefusedError, try_entrance
from annolog.stream.security import Security

PREFIX = "lsst.annolog"
"""Rubin's convention is lsst.{system}.{topic}; neither site nor version is named."""

PARTITIONS = 6
"""For ever: adding some would move keys, and so break order and compaction."""

CHANGES_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1"}
"""The log is kept. A cluster that forbids this may set a retention by hand."""

TARGETS_CONFIG = {
    "cleanup.policy": "compact",
    "delete.retention.ms": "604800000",
    "min.compaction.lag.ms": "3600000",
    "segment.ms": "86400000",
}
"""Tombstones stay readable for a week, each state for an hour."""

NEEDED = ("Describe", "Read", "Write")
"""What a relay must be allowed on both topics; it reads its position back."""

_log = logging.getLogger("annolog.stream")

# The client writes several lines a second while a broker is away; we write one.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


class TopicError(AnnologError):
    """A topic is not as it must be; somebody has to change it."""

    code = "topic"


class MissingTopicError(TopicError):
    """There is no such topic."""


class BrokerAwayError(UnavailableError):
    """No Kafka broker answers."""

    code = "broker_away"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the brokers.

    Attributes
    ----------
    bootstrap
        host:port, several by comma.
    options
        Further options of kafka-python (`security_protocol`, `sasl_mechanism`, ...);
        there may be a password among them.
    """

    bootstrap: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def secured(cls, bootstrap: str, security: Security) -> "Access":
        """Give the access by what the brokers' listener asks for; reads its files.

        Parameters
        ----------
        bootstrap
            As above.
        security
            Protocol, password and certificates.

        Raises
        ------
        SecurityError
            If a file cannot be used.
        """
        return cls(bootstrap, security.options())

    def arguments(self) -> dict[str, Any]:
        """Give the arguments that every client of kafka-python takes."""
        servers = [part.strip() for part in self.bootstrap.split(",") if part.strip()]
        return {
            "bootstrap_servers": servers,
            # The default of 30 s would outlast most of our deadlines.
            "reconnect_backoff_max_ms": 500,
            **self.options,
        }


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the two topics."""

    changes: str
    targets: str

    @classmethod
    def named(cls, prefix: str = PREFIX) -> "Topics":
        """Give the topics with a common first part of their names."""
        return cls(f"{prefix}.changes", f"{prefix}.targets")

    def configs(self) -> dict[str, dict[str, str]]:
        """Tell how each topic must be configured."""
        return {self.changes: CHANGES_CONFIG, self.targets: TARGETS_CONFIG}


def reachable(access: Access, seconds: float = 2.0) -> bool:
    """Tell whether any of the brokers takes connections; quiet and quick."""
    for server in access.arguments()["bootstrap_servers"]:
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), seconds):
                return True
        except OSError:
            continue
        except ValueError:
            raise _no_address(server) from None
    return False


def demand_reachable(access: Access) -> None:
    """See that a broker takes connections and lets us in. Blocks.

    Parameters
    ----------
    access
        The brokers; one of them is enough.

    Raises
    ------
    BrokerAwayError
        If nobody answers.
    RefusedError
        If those that answer do not let us in, with the reason in plain words.
    """
    refused: RefusedError | None = None
    for server in access.arguments()["bootstrap_servers"]:
        try:
            try_entrance(server, access.options)
        except OSError:
            continue
        except ValueError:
            raise _no_address(server) from None
        except RefusedError as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused
    raise BrokerAwayError(f"no Kafka broker answers at {access.bootstrap}")


def _no_address(server: str) -> BrokerAwayError:
    return BrokerAwayError(f"{server!r} is no address of a broker; write host:port")


def ensure(access: Access, topics: Topics, *, replication: int | None = None) -> None:
    """Make the topics if they are missing, else see that they are fit. Blocks.

    Parameters
    ----------
    access
        The brokers.
    topics
        Names.
    replication
        Copies of each partition; None leaves it to the brokers' default.

    Raises
    ------
    BrokerAwayError
        If no broker answers in Kafka's protocol.
    RefusedError
        If it does not let us in.
    TopicError
        If a topic may not be made or read, or would lose events as it is.
    """
    admin = administer(access)
    try:
        there = set(admin.list_topics())
        # Before anything is made, so that a refused start leaves nothing behind.
        _verify(admin, topics, there)
        _create_missing(admin, topics, replication, there)
        _verify(admin, topics, topics.configs())
    except AuthorizationError as error:
        raise TopicError(
            f"the broker forbids us {topics.changes} or {topics.targets}"
            f" ({type(error).__name__}): our user needs {', '.join(NEEDED)} on both"
        ) from error
    finally:
        admin.close()


def partitions_of(
    consumer: KafkaConsumer, access: Access, topic: str
) -> list[TopicPartition]:
    """Give the partitions of a topic, in their order. Blocks.

    Raises
    ------
    MissingTopicError
        If there is no such topic, or none that we may see.
    BrokerAwayError
        If the broker does not show it just now. Such a topic is not an empty one: a
        relay that took it for one would publish again what is in it.
    """
    seen = consumer.partitions_for_topic(topic)
    if seen:
        return [TopicPartition(topic, number) for number in sorted(seen)]
    # kafka-python knows none also where its question was lost with the broker, so
    # somebody else is asked, whose question fails if it is lost.
    with contextlib.closing(administer(access)) as admin:
        if topic in admin.list_topics():
            raise BrokerAwayError(f"{access.bootstrap} does not show topic {topic} yet")
    raise MissingTopicError(
        f"there is no topic {topic} at {access.bootstrap}: a relay makes it when it"
        " starts; is the prefix right?"
    )


def administer(access: Access) -> KafkaAdminClient:
    """Connect to ask and to arrange; whoever connects closes. Blocks.

    Raises
    ------
    BrokerAwayError
        If no broker answers in Kafka's protocol.
    RefusedError
        If it does not let us in.
    """
    demand_reachable(access)
    try:
        return KafkaAdminClient(
            **{
                "bootstrap_timeout_ms": 6000,
                "request_timeout_ms": 6000,
                **access.arguments(),
            }
        )
    except KafkaError as error:
        raise mute(access, error) from error


def mute(access: Access, error: KafkaError) -> BrokerAwayError:
    """Give the error that says that somebody is there and is no broker for us."""
    return BrokerAwayError(
        f"{access.bootstrap} takes connections but does not answer as a Kafka broker"
        f" that lets us in ({type(error).__name__}): see that protocol, certificates"
        " and password fit"
    )


def _create_missing(
    admin: KafkaAdminClient,
    topics: Topics,
    replication: int | None,
    there: Collection[str],
) -> None:
    for name, config in topics.configs().items():
        if name in there:
            continue
        try:
            admin.create_topics(
                {
                    name: {
                        "num_partitions": PARTITIONS,
                        "replication_factor": replication or -1,
                        "configs": config,
                    }
                },
                wait_for_metadata=True,
            )
        except TopicAlreadyExistsError:
            # Somebody else made it meanwhile, and `_verify` looks at it; or it was
            # there and we may not see it.
            _wait_to_see(admin, name)
        except KafkaTimeoutError as error:
            raise _unseen(name) from error
        except AuthorizationError as error:
            raise TopicError(
                f"there is no topic {name} that we may see, and we may not make it: our"
                " user needs Create and Describe on it, or an administrator makes it,"
                f" with {PARTITIONS} partitions and {_words(config)}"
            ) from error
        else:
            _log.info("made topic %s with %d partitions", name, PARTITIONS)


def _wait_to_see(admin: KafkaAdminClient, name: str) -> None:
    try:
        admin.wait_for_topics([name])
    except KafkaTimeoutError as error:
        raise _unseen(name) from error


def _unseen(name: str) -> TopicError:
    return TopicError(
        f"topic {name} is there and we may not see it: our user needs"
        f" {', '.join(NEEDED)} on it"
    )


def _words(config: Mapping[str, str]) -> str:
    return ", ".join(f"{setting}={value}" for setting, value in config.items())


def _verify_rights(name: str, granted: Sequence[str]) -> None:
    """See that all that is needed is granted; empty where the broker does not say."""
    missing = [right for right in NEEDED if right.upper() not in granted]
    if granted and missing:
        raise TopicError(
            f"the broker forbids us to use topic {name}: our user needs"
            f" {' and '.join(missing)} on it"
        )


def _verify(admin: KafkaAdminClient, topics: Topics, there: Collection[str]) -> None:
    """See that those topics that are there are fit."""
    wanted = {name: c for name, c in topics.configs().items() if name in there}
    if not wanted:
        return
    for described in admin.describe_topics(list(wanted)):
        name, count = described["name"], len(described["partitions"])
        if count != PARTITIONS:
            raise TopicError(
                f"topic {name} has {count} partitions and must have {PARTITIONS}:"
                " order would break; make it anew or choose another prefix"
            )
        _verify_rights(name, described.get("authorized_operations") or ())
        if "DESCRIBE_CONFIGS" not in described.get("authorized_operations", ()):
            _log.warning(
                "topic %s: our user lacks DescribeConfigs, so it is not known whether"
                " it is kept as it must be (%s)",
                name,
                _words(wanted.pop(name)),
            )
    if not wanted:
        return
    resources = [ConfigResource("TOPIC", name) for name in wanted]
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    for name, config in wanted.items():
        policy = found[name]["cleanup.policy"]["value"]
        if policy != config["cleanup.policy"]:
            raise TopicError(
                f"topic {name} has cleanup.policy={policy} and must have"
                f" {config['cleanup.policy']}: events would be lost"
            )
        for setting, value in config.items():
            actual = found[name][setting]["value"]
            if actual != value:
                _log.warning(
                    "topic %s has %s=%s; %s is meant", name, setting, actual, value
                )
