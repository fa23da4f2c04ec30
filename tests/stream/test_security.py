"""What does not let us in is told in one line, by a broker that lets in a few only."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from kafka import KafkaAdminClient

from annolog.domain.errors import AnnologError
from annolog.stream.consume import Until, follow
from annolog.stream.entrance import RefusedError, try_entrance
from annolog.stream.security import Security, SecurityError
from annolog.stream.topics import Access, Topics, demand_reachable, ensure
from tests.support.certificates import Certificate
from tests.support.kafka import PASSWORD, USER, SecuredKafka
from tests.support.relay import RelayProcess

WRONG_PASSWORD = "hammerhead"
ALL_RIGHTS = ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE")
_prefixes = count()

MakeRelay: TypeAlias = Callable[[Mapping[str, str]], RelayProcess]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Run the secured broker; it costs a few seconds."""
    server = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def prefix(broker: SecuredKafka) -> str:
    """Give topics of the test's own, which nobody may use yet."""
    del broker
    return f"secured{next(_prefixes)}"


@pytest.fixture
def make_relay(
    broker: SecuredKafka, prefix: str, database_url: str, tmp_path: Path
) -> Iterator[MakeRelay]:
    """Make relays that come by passwords over TLS, with these settings."""
    made: list[RelayProcess] = []

    def make(more: Mapping[str, str]) -> RelayProcess:
        out = tmp_path / "relay.log"
        made.append(
            RelayProcess(database_url, broker.at("SCRAM"), prefix, out, more=more)
        )
        return made[-1]

    yield make
    for one in made:
        one.clean()


def security(broker: SecuredKafka, **given: Any) -> Security:  # noqa: ANN401 - a builder
    """Give what lets `USER` in by a password over TLS, but for what is said."""
    protocol = given.get("protocol", "SASL_SSL")
    fitting: dict[str, Any] = {"protocol": protocol}
    if protocol.startswith("SASL_"):
        fitting |= {"username": USER, "password": PASSWORD}
    if protocol.endswith("SSL"):
        fitting["cafile"] = str(broker.certificates.authority.file)
    return Security(**fitting | given)


def with_certificate(own: Certificate, **given: str) -> dict[str, Any]:
    return {
        "protocol": "SSL",
        "certfile": str(own.file),
        "keyfile": str(own.key),
        **given,
    }


def allow_topics(broker: SecuredKafka, prefix: str, *operations: str) -> Topics:
    names = Topics.named(prefix)
    for name in (names.changes, names.targets):
        broker.allow("TOPIC", name, *operations)
    return names


# --------------------------------------------------------------- ways that lead in


@pytest.mark.parametrize(
    ("listener", "protocol"),
    [
        ("PLAINTEXT", "PLAINTEXT"),
        ("TLS", "SSL"),
        ("SCRAM", "SASL_SSL"),
        ("CLEAR", "SASL_PLAINTEXT"),
    ],
)
def test_each_protocol_leads_in(
    broker: SecuredKafka, listener: str, protocol: str
) -> None:
    given = security(broker, protocol=protocol)
    demand_reachable(Access.secured(broker.at(listener), given))


def test_our_certificate_leads_in_with_its_key_beside_it_or_apart(
    broker: SecuredKafka,
) -> None:
    own = broker.certificates.client
    apart = security(broker, **with_certificate(own))
    beside = security(broker, protocol="SSL", certfile=str(own.both))
    for given in (apart, beside):
        demand_reachable(Access.secured(broker.at("MUTUAL"), given))


def test_strimzis_certificates_are_taken_where_one_says_so(
    broker: SecuredKafka,
) -> None:
    given = security(broker, protocol="SSL", strict=False)
    demand_reachable(Access.secured(broker.at("LAX"), given))


def test_one_broker_that_lets_us_in_is_enough(broker: SecuredKafka) -> None:
    all_of_them = f"127.0.0.1:1,{broker.at('CLEAR')},{broker.at('SCRAM')}"
    demand_reachable(Access.secured(all_of_them, security(broker)))


# -------------------------------------------------------------- ways that do not


def refused(broker: SecuredKafka, listener: str, **given: Any) -> str:  # noqa: ANN401
    """Give the line by which it is said that a way does not lead in."""
    access = Access.secured(broker.at(listener), security(broker, **given))
    with pytest.raises(RefusedError) as caught:
        demand_reachable(access)
    line = caught.value.detail
    assert "\n" not in line
    assert not any(one in line for one in (PASSWORD, WRONG_PASSWORD))
    assert PASSWORD not in repr(access)
    return line


@pytest.mark.parametrize(
    ("listener", "given", "told"),
    [
        ("SCRAM", {"password": WRONG_PASSWORD}, "wrong name or password"),
        ("SCRAM", {"username": "nobody"}, "refuses user 'nobody'"),
        ("SCRAM", {"mechanism": "PLAIN"}, "it takes SCRAM-SHA-512"),
        ("SCRAM", {"protocol": "PLAINTEXT"}, "speaks TLS, and ANNOLOG_KAFKA_SEC"),
        ("SCRAM", {"protocol": "SASL_PLAINTEXT"}, "set SSL or SASL_SSL"),
        ("SCRAM", {"protocol": "SSL"}, "set SASL_SSL, with ANNOLOG_KAFKA_SASL_USER"),
        ("CLEAR", {"protocol": "PLAINTEXT"}, "set SASL_PLAINTEXT, with ANNOLOG_KAFKA"),
        ("CLEAR", {}, "does not speak TLS"),
        ("PLAINTEXT", {"protocol": "SSL"}, "does not speak TLS"),
        ("PLAINTEXT", {"protocol": "SASL_PLAINTEXT"}, "asks for no password"),
        ("TLS", {}, "asks for no password: its port is for ANNOLOG_KAFKA_SECURITY_"),
        ("OTHERNAME", {"protocol": "SSL"}, "is not made out to '127.0.0.1'"),
        ("EXPIRED", {"protocol": "SSL"}, "certificate has expired; it must be renewed"),
        ("LAX", {"protocol": "SSL"}, "set ANNOLOG_KAFKA_SSL_STRICT=false"),
        ("MUTUAL", {"protocol": "SSL"}, "asks for a certificate of ours"),
        ("TLS", {"protocol": "SSL", "cafile": ""}, "another authority signed it"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    broker: SecuredKafka, listener: str, given: Mapping[str, Any], told: str
) -> None:
    assert told in refused(broker, listener, **given)


def test_an_authority_that_did_not_sign_is_told(broker: SecuredKafka) -> None:
    stranger = str(broker.certificates.stranger.file)
    line = refused(broker, "SCRAM", cafile=stranger)
    assert "another authority signed it than ANNOLOG_KAFKA_SSL_CAFILE holds" in line


def test_a_certificate_of_ours_that_the_broker_does_not_trust_is_told(
    broker: SecuredKafka,
) -> None:
    foreign = broker.certificates.foreign
    line = refused(broker, "MUTUAL", **with_certificate(foreign))
    assert "refuses the certificate in ANNOLOG_KAFKA_SSL_CERTFILE" in line


def test_files_that_cannot_be_used_are_told_before_any_broker_is_asked(
    broker: SecuredKafka, tmp_path: Path
) -> None:
    own, expired = broker.certificates.client, broker.certificates.expired
    foreign = broker.certificates.foreign
    empty = tmp_path / "empty.pem"
    empty.touch()
    cases: list[tuple[dict[str, Any], str]] = [
        (with_certificate(expired), "has expired"),
        (
            with_certificate(own, keyfile=str(foreign.key)),
            "belongs to another certificate",
        ),
        (with_certificate(own, keyfile=str(empty)), "cannot be used"),
        (with_certificate(own, keyfile="/none"), "KEYFILE: cannot read"),
        ({"cafile": str(tmp_path / "none.pem")}, "CAFILE: cannot read"),
        ({"cafile": str(empty)}, "holds no certificate"),
    ]
    for given, told in cases:
        with pytest.raises(SecurityError) as caught:
            security(broker, **given).options()
        assert told in caught.value.detail
        assert "\n" not in caught.value.detail


def test_a_broker_that_sends_us_where_nobody_answers_is_told(
    broker: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a broker with other advertised listeners would say.
    monkeypatch.setattr(
        "annolog.stream.entrance._brokers", lambda _: ["127.0.0.1:1", "127.0.0.1:2"]
    )
    with pytest.raises(RefusedError, match=r"sends us on to 127.0.0.1:1, 127.0.0.1:2"):
        try_entrance(broker.at("TLS"), security(broker, protocol="SSL").options())


# ------------------------------------------------------------------------- rights


def test_with_all_rights_topics_are_made_and_read(
    broker: SecuredKafka, prefix: str
) -> None:
    names = allow_topics(broker, prefix, *ALL_RIGHTS)
    for listener, given in (
        ("SCRAM", security(broker)),
        ("MUTUAL", security(broker, **with_certificate(broker.certificates.client))),
    ):
        access = Access.secured(broker.at(listener), given)
        ensure(access, names)
        assert list(follow(access, names.changes, until=Until(end=True))) == []


def test_topics_that_we_may_neither_see_nor_make_are_told(
    broker: SecuredKafka, prefix: str
) -> None:
    with pytest.raises(AnnologError) as caught:
        ensure(
            Access.secured(broker.at("SCRAM"), security(broker)), Topics.named(prefix)
        )
    assert f"no topic {prefix}.changes that we may see" in caught.value.detail
    assert "needs Create and Describe on it" in caught.value.detail
    assert "6 partitions and cleanup.policy=delete" in caught.value.detail


@pytest.mark.parametrize("missing", ["READ", "WRITE"])
def test_a_right_that_is_missing_is_named(
    broker: SecuredKafka, prefix: str, missing: str
) -> None:
    ensure(Access(broker.bootstrap), Topics.named(prefix))
    rights = {"DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE"} - {missing}
    names = allow_topics(broker, prefix, *sorted(rights))
    with pytest.raises(AnnologError) as caught:
        ensure(Access.secured(broker.at("SCRAM"), security(broker)), names)
    assert caught.value.detail == (
        f"the broker forbids us to use topic {names.changes}: our user needs"
        f" {missing.title()} on it"
    )


def test_topics_that_are_there_and_hidden_are_told(
    broker: SecuredKafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(Access(broker.bootstrap), Topics.named(prefix))
    names = allow_topics(broker, prefix, "CREATE")
    # Ten seconds are for brokers that are slow to tell of a new topic.
    wait = KafkaAdminClient.wait_for_topics
    monkeypatch.setattr(
        KafkaAdminClient,
        "wait_for_topics",
        lambda self, wanted: wait(self, wanted, timeout_ms=300),
    )
    with pytest.raises(AnnologError) as caught:
        ensure(Access.secured(broker.at("SCRAM"), security(broker)), names)
    assert f"topic {names.changes} is there and we may not see it" in (
        caught.value.detail
    )


def test_without_a_look_at_the_configuration_a_relay_works_and_says_so(
    broker: SecuredKafka, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    ensure(Access(broker.bootstrap), Topics.named(prefix))
    names = allow_topics(broker, prefix, "DESCRIBE", "READ", "WRITE")
    ensure(Access.secured(broker.at("SCRAM"), security(broker)), names)
    assert f"topic {names.changes}: our user lacks DescribeConfigs" in caplog.text


# ------------------------------------------------------------------- the processes


def variables(given: Security) -> dict[str, str]:
    """Give the settings that say the same."""
    said = {
        "SECURITY_PROTOCOL": given.protocol,
        "SASL_USERNAME": given.username,
        "SASL_PASSWORD": given.password,
        "SSL_CAFILE": given.cafile,
        "SSL_CERTFILE": given.certfile,
        "SSL_KEYFILE": given.keyfile,
    }
    return {f"ANNOLOG_KAFKA_{name}": value for name, value in said.items() if value}


@pytest.mark.parametrize(
    ("given", "rights", "told"),
    [
        ({"password": WRONG_PASSWORD}, (), "wrong name or password"),
        ({}, (), "we may not make it"),
        ({}, ALL_RIGHTS, "the transactional id annolog-relay-summit: our user needs"),
    ],
)
def test_a_relay_that_is_not_let_in_ends_with_one_line(
    broker: SecuredKafka,
    make_relay: MakeRelay,
    prefix: str,
    given: Mapping[str, Any],
    rights: tuple[str, ...],
    told: str,
) -> None:
    if rights:
        allow_topics(broker, prefix, *rights)
    relay = make_relay(variables(security(broker, **given)))
    relay.start()
    assert relay.wait(40) == 1
    line = relay.lines()[-1]
    assert line.startswith("relay ends: ")
    assert told in line
    # It makes the topics first, and says so.
    assert len(relay.lines()) == (3 if rights else 1)
    assert not any(one in relay.said() for one in (PASSWORD, WRONG_PASSWORD))


def test_a_relay_with_all_rights_goes_on(
    broker: SecuredKafka, make_relay: MakeRelay, prefix: str, tmp_path: Path
) -> None:
    allow_topics(broker, prefix, *ALL_RIGHTS)
    broker.allow("TRANSACTIONAL_ID", "annolog-relay-usdf", "DESCRIBE", "WRITE")
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    given = variables(security(broker)) | {
        "ANNOLOG_SITE_ID": "usdf",
        "ANNOLOG_KAFKA_SASL_PASSWORD_FILE": str(password),
    }
    del given["ANNOLOG_KAFKA_SASL_PASSWORD"]
    relay = make_relay(given)
    relay.start()
    relay.wait_for("relay of usdf goes on after change 0", seconds=40)
    assert relay.stop() == 0
    assert PASSWORD not in relay.said()


@pytest.mark.parametrize("command", ["relay", "consume"])
def test_a_command_with_an_expired_certificate_is_wrong_use(
    broker: SecuredKafka, command: str
) -> None:
    expired = security(broker, **with_certificate(broker.certificates.expired))
    done = annologd(command, broker.at("MUTUAL"), expired)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("annologd: ANNOLOG_KAFKA_SSL_CERTFILE: ")
    assert "has expired" in line


def test_a_reader_that_is_not_let_in_is_told_why(broker: SecuredKafka) -> None:
    wrong = security(broker, password=WRONG_PASSWORD)
    done = annologd("consume", broker.at("SCRAM"), wrong)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "wrong name or password" in line
    assert WRONG_PASSWORD not in line


def annologd(
    command: str, bootstrap: str, given: Security
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        **variables(given),
        "PYTHONPATH": str(Path(__file__).parents[2] / "service"),
        "ANNOLOG_KAFKA_BOOTSTRAP": bootstrap,
        "ANNOLOG_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    return subprocess.run(
        [sys.executable, "-m", "annolog.cli", command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
