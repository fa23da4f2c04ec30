import json
from pathlib import Path

import pytest

from annolog.domain import calls
from annolog.settings import Settings, SettingsError, is_loopback, load

EXAMPLES = {
    "ANNOLOG_DATABASE_URL": "postgresql://ada:secret@db.example:5432/annolog",
    "ANNOLOG_KAFKA_BOOTSTRAP": "one:9092, [::1]:9093",
    "ANNOLOG_KAFKA_TOPIC_PREFIX": "test.annolog",
    "ANNOLOG_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
    "ANNOLOG_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
    "ANNOLOG_KAFKA_SASL_USERNAME": "annolog",
    "ANNOLOG_KAFKA_SASL_PASSWORD": "secret",
    "ANNOLOG_KAFKA_SSL_CAFILE": "/etc/kafka/ca.pem",
    "ANNOLOG_KAFKA_SSL_CERTFILE": "/etc/kafka/annolog.pem",
    "ANNOLOG_KAFKA_SSL_KEYFILE": "/etc/kafka/annolog.key",
    "ANNOLOG_KAFKA_SSL_STRICT": "false",
    "ANNOLOG_SITE_ID": "summit",
    "ANNOLOG_AUTH": "tokens",
    "ANNOLOG_HOST": "0.0.0.0",  # noqa: S104 - a setting, nothing listens
    "ANNOLOG_PORT": "9000",
    "ANNOLOG_HOME": "/tmp/annolog",  # noqa: S108 - a setting, nothing is written
    "ANNOLOG_LOG_FORMAT": "text",
    "ANNOLOG_BUTLER_URIS": "/repo/main, , https://ada:secret@butler.example/main",
    "ANNOLOG_EXPOSURELOG_TRUSTED": "10.0.1.7, 10.2.0.0/16, fd00::/8",
}


def faults(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load({f"ANNOLOG_{name}": value for name, value in variables.items()})
    return refused.value.lines()


def test_every_setting_has_a_variable() -> None:
    assert set(EXAMPLES) == {f"ANNOLOG_{n.upper()}" for n in Settings.model_fields}


def test_variables_become_typed_values() -> None:
    settings = load(EXAMPLES)
    assert settings.port == 9000
    assert settings.kafka_bootstrap == "one:9092,[::1]:9093"
    assert settings.kafka_security_protocol == "SASL_SSL"
    assert settings.kafka_sasl_mechanism == "SCRAM-SHA-256"
    assert settings.kafka_ssl_strict is False
    assert settings.home == Path("/tmp/annolog")  # noqa: S108 - as above
    assert settings.auth == ("tokens",)
    assert settings.topic("changes") == "test.annolog.changes"
    assert settings.butler_uris == (
        "/repo/main",
        "",
        "https://ada:secret@butler.example/main",
    )
    trusted = [str(network) for network in settings.exposurelog_trusted]
    assert trusted == ["10.0.1.7/32", "10.2.0.0/16", "fd00::/8"]


def test_without_any_variable_the_defaults_are_safe() -> None:
    settings = load({"PATH": "/bin"})
    assert (settings.host, settings.auth) == ("127.0.0.1", ("tokens",))
    assert settings.topic("targets") == "lsst.annolog.targets"
    assert settings.kafka_security_protocol == "PLAINTEXT"
    assert settings.kafka_ssl_strict
    assert settings.butler_uris == ("", "", "")
    assert settings.exposurelog_trusted == ()


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("PORT", "eighty", "a number from 0 to 65535"),
        ("PORT", "65536", "a number from 0 to 65535"),
        ("DATABASE_URL", "mysql://x", "postgresql://USER"),
        ("KAFKA_BOOTSTRAP", "broker", "HOST:PORT"),
        ("KAFKA_BOOTSTRAP", "broker:0", "HOST:PORT"),
        ("KAFKA_TOPIC_PREFIX", "a b", "letters"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "PLAINTEXT, SSL"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI", "SCRAM-SHA-512"),
        ("KAFKA_SSL_STRICT", "maybe", "true, or false"),
        ("SITE_ID", "Summit!", "lower-case word"),
        ("AUTH", "ldap", "tokens, or none"),
        ("BUTLER_URIS", "a,b,c,d", "up to three butlers"),
        ("EXPOSURELOG_TRUSTED", "summit", "addresses or networks"),
        ("EXPOSURELOG_TRUSTED", "10.0.0.1/8", "addresses or networks"),
        ("AUTH", "none,tokens", "tokens, or none"),
        ("AUTH", "", "tokens, or none"),
        ("HOST", "", "an address"),
        ("HOME", "", "a folder"),
        ("LOG_FORMAT", "xml", "json or text"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_would_be_right(
    name: str, value: str, hint: str
) -> None:
    (line,) = faults(**{name: value})
    assert line.startswith(f"ANNOLOG_{name}: {value!r} is not right; it should be")
    assert hint in line
    assert "\n" not in line


def test_variables_of_callers_are_passed_over() -> None:
    variables = dict.fromkeys(calls.VARIABLES, "said")
    assert load(variables) == load({})
    assert "ANNOLOG_URL" in variables
    (line,) = faults(URI="http://annolog")
    assert line.startswith("ANNOLOG_URI: there is no such setting")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    (line,) = faults(DATABASE_URI="postgresql://ada:secret@db/annolog")
    assert line.endswith("did you mean ANNOLOG_DATABASE_URL?")
    assert "secret" not in line


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(PORT="x", SITE_ID="?", COLOUR="red")) == 3


def test_a_password_is_never_shown() -> None:
    (line,) = faults(DATABASE_URL="mysql://ada:secret@db/annolog")
    assert "secret" not in line
    settings = load(
        {"ANNOLOG_DATABASE_URL": "postgresql://ada:secret@db/annolog?password=secret"}
    )
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings.shown())
    assert "ada:***@db" in settings.shown()["database_url"]
    butlers = "/repo/main,https://ada:secret@one,https://bob:secret@two"
    (line,) = faults(BUTLER_URIS=butlers + ",/repo/more")
    assert "secret" not in line
    settings = load({"ANNOLOG_BUTLER_URIS": butlers})
    assert "secret" not in repr(settings)
    assert "secret" not in json.dumps(settings.shown())
    assert settings.shown()["butler_uris"][1] == "https://ada:***@one"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "annolog"},
            "ANNOLOG_KAFKA_SASL_PASSWORD: is missing",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SASL_PASSWORD": "secret"},
            "ANNOLOG_KAFKA_SASL_PASSWORD: has no effect",
        ),
        (
            {"KAFKA_SSL_CAFILE": "/ca.pem"},
            "ANNOLOG_KAFKA_SSL_CAFILE: has no effect",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEYFILE": "/key.pem"},
            "ANNOLOG_KAFKA_SSL_CERTFILE: is missing",
        ),
        (
            {"KAFKA_SASL_PASSWORD": "secret", "KAFKA_SASL_PASSWORD_FILE": "/secret"},
            "ANNOLOG_KAFKA_SASL_PASSWORD_FILE: ANNOLOG_KAFKA_SASL_PASSWORD is set too",
        ),
    ],
)
def test_settings_of_kafka_that_do_not_go_together_are_told(
    variables: dict[str, str], told: str
) -> None:
    lines = faults(**variables)
    assert lines[0].startswith(told)
    assert "secret'" not in lines[0]


def test_a_password_may_stand_in_a_file(tmp_path: Path) -> None:
    variables = {
        "ANNOLOG_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "ANNOLOG_KAFKA_SASL_USERNAME": "annolog",
    }
    file = tmp_path / "password"
    file.write_text("swordfish\n")
    secret = {"ANNOLOG_KAFKA_SASL_PASSWORD_FILE": str(file)}
    settings = load(variables | secret)
    assert settings.kafka_sasl_password == "swordfish"
    assert "swordfish" not in repr(settings)
    assert settings.shown()["kafka_sasl_password"] == "***"
    config = tmp_path / "annolog.toml"
    config.write_text(f'kafka_sasl_password_file = "{file}"\n')
    named = variables | {"ANNOLOG_CONFIG": str(config)}
    assert load(named).kafka_sasl_password == "swordfish"
    assert (
        load(named | {"ANNOLOG_KAFKA_SASL_PASSWORD": "tuna"}).kafka_sasl_password
        == "tuna"
    )
    (line, *_) = faults(KAFKA_SASL_PASSWORD_FILE=str(tmp_path / "none"))
    assert line.startswith("ANNOLOG_KAFKA_SASL_PASSWORD_FILE: cannot read")
    config.write_text("kafka_sasl_password = 12345\n")
    (line, *_) = faults(CONFIG=str(config))
    assert "12345" not in line


def test_none_is_for_loopback_only() -> None:
    assert load({"ANNOLOG_AUTH": "none"}).open_to_anyone
    (line,) = faults(AUTH="none", HOST="0.0.0.0")  # noqa: S104 - it is refused
    assert line.startswith("ANNOLOG_AUTH: none")
    assert "0.0.0.0" in line  # noqa: S104 - as above


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - it is asked about
        ("::", False),
        ("localhost.example.org", False),
        ("192.0.2.7", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(*, host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


def test_a_file_is_read_and_a_variable_wins(tmp_path: Path) -> None:
    file = tmp_path / "annolog.toml"
    file.write_text('site_id = "usdf"\nport = 9001\nauth = ["tokens"]\n')
    settings = load({"ANNOLOG_CONFIG": str(file), "ANNOLOG_PORT": "9002"})
    assert (settings.site_id, settings.port) == ("usdf", 9002)
    assert load({"ANNOLOG_CONFIG": str(file)}, changed={"port": 1}).port == 1


def test_a_file_with_faults_is_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "annolog.toml"
    file.write_text('site = "usdf"\n')
    assert "did you mean site_id?" in faults(CONFIG=str(file))[0]
    file.write_text("site_id = \n")
    assert "is not TOML" in faults(CONFIG=str(file))[0]
    assert "No such file" in faults(CONFIG=str(tmp_path / "missing"))[0]
