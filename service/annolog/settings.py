"""Settings of a process: from environment variables, or a file, to typed values.

Every setting is a variable `ANNOLOG_<NAME>`. A file named by `ANNOLOG_CONFIG` (TOML,
the names in lower case without the prefix) may hold the same; a variable wins over
the file. What is wrong is said at start, one line a setting, and nothing is guessed:
an unknown name is refused with the nearest known one. The variables of callers, which
have the same beginning, are passed over.

Only `runtime` and `cli` read settings; everything else receives values.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from annolog.domain import calls
from annolog.domain.errors import InvalidError, Problem

PREFIX = "ANNOLOG_"
"""What the names of all our variables begin with."""

CONFIG = "ANNOLOG_CONFIG"
"""The variable that names the file; it cannot stand in the file itself."""

_SITE_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+):(\d{1,5})")
_PORTS = 65535
_BUTLERS = 3

_SECRET_FILES = {"kafka_sasl_password_file": "kafka_sasl_password"}
"""Names of files that hold a secret, as platforms mount them, by what they hold."""

AuthMode: TypeAlias = Literal["none", "tokens"]

KafkaProtocol: TypeAlias = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

KafkaMechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class SettingsError(InvalidError):
    """One or more settings are wrong; each problem is one line for people."""

    code = "setting"

    def lines(self) -> list[str]:
        """Give one line a wrong setting, in the order of the names.

        Returns
        -------
        list of str
            One line a wrong setting; never empty.
        """
        return [problem.reason for problem in self.problems]


class Settings(BaseModel):
    """Everything that an operator may set, checked.

    Each description says what would be right: it is the end of the error line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: str = Field(
        default="",
        repr=False,
        description="postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or nothing for the"
        " embedded PostgreSQL under ANNOLOG_HOME",
    )
    kafka_bootstrap: str = Field(
        default="",
        description="HOST:PORT, several separated by commas, or nothing: changes then"
        " wait in the log",
    )
    kafka_topic_prefix: str = Field(
        default="lsst.annolog",
        description="letters, digits, dots, dashes and underscores, at most 200, such"
        " as lsst.annolog",
    )
    kafka_security_protocol: KafkaProtocol = Field(
        default="PLAINTEXT",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the brokers'"
        " listener has it",
    )
    kafka_sasl_mechanism: KafkaMechanism = Field(
        default="SCRAM-SHA-512",
        description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    )
    kafka_sasl_username: str = Field(
        default="", description="the name of our user at the brokers"
    )
    kafka_sasl_password: str = Field(
        default="",
        repr=False,
        description="that user's password, or ANNOLOG_KAFKA_SASL_PASSWORD_FILE a file"
        " that holds it",
    )
    kafka_ssl_cafile: str = Field(
        default="",
        description="a PEM file with the authority that signed the brokers'"
        " certificates, or nothing for those that this machine trusts",
    )
    kafka_ssl_certfile: str = Field(
        default="", description="a PEM file with our own certificate, or nothing"
    )
    kafka_ssl_keyfile: str = Field(
        default="",
        description="a PEM file with our certificate's key, or nothing where the key"
        " stands in ANNOLOG_KAFKA_SSL_CERTFILE",
    )
    kafka_ssl_strict: bool = Field(
        default=True,
        description="true, or false for brokers whose certificates lack what RFC 5280"
        " asks for, as Strimzi's do",
    )
    site_id: str = Field(
        default="local",
        description="a lower-case word such as summit or usdf: letters, digits and"
        " dashes, at most 32, a letter first",
    )
    auth: tuple[AuthMode, ...] = Field(
        default=("tokens",),
        description="tokens, or none (on a loopback host only)",
    )
    host: str = Field(
        default="127.0.0.1",
        description="an address or host name to listen on, such as 127.0.0.1",
    )
    port: int = Field(
        default=8080, ge=0, le=_PORTS, description="a number from 0 to 65535 (0: any)"
    )
    home: Path = Field(
        default=Path(".annolog"),
        description="a folder that may be written to",
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="json or text"
    )
    butler_uris: tuple[str, ...] = Field(
        default=("",) * _BUTLERS,
        repr=False,
        description="up to three butlers, separated by commas, in the order of their"
        " numbers: folders, addresses or labels; a place may be empty",
    )
    exposurelog_trusted: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="addresses or networks, separated by commas, such as"
        " 10.0.1.7,10.2.0.0/16, that are let in to /exposurelog without credentials",
    )

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"postgresql", "postgres"}:
            raise ValueError
        return value

    @field_validator("kafka_bootstrap")
    @classmethod
    def _brokers(cls, value: str) -> str:
        brokers = [part.strip() for part in value.split(",") if part.strip()]
        for broker in brokers:
            found = _HOST_PORT.fullmatch(broker)
            if found is None or not 0 < int(found[2]) <= _PORTS:
                raise ValueError
        return ",".join(brokers)

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("kafka_topic_prefix")
    @classmethod
    def _topic(cls, value: str) -> str:
        if not _TOPIC.fullmatch(value):
            raise ValueError
        return value

    @field_validator("site_id")
    @classmethod
    def _site(cls, value: str) -> str:
        if not _SITE_ID.fullmatch(value):
            raise ValueError
        return value

    @field_validator("auth", mode="before")
    @classmethod
    def _modes(cls, value: object) -> object:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list | tuple):
            raise ValueError  # noqa: TRY004 - pydantic reports a ValueError only
        modes = tuple(dict.fromkeys(str(word).strip() for word in words))
        # `none` beside another mode would switch that one off without a word.
        if not modes or ("none" in modes and len(modes) > 1):
            raise ValueError
        return modes

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value or any(c.isspace() or c in "/@" for c in value):
            raise ValueError
        return value

    @field_validator("home", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        if value == "":
            raise ValueError
        return value

    @field_validator("butler_uris", mode="before")
    @classmethod
    def _butlers(cls, value: object) -> object:
        uris = value.split(",") if isinstance(value, str) else value
        if not isinstance(uris, list | tuple) or len(uris) > _BUTLERS:
            raise ValueError
        if not all(isinstance(uri, str) and uri.isprintable() for uri in uris):
            raise ValueError
        # Three always: the place of a butler is its number.
        return tuple([uri.strip() for uri in uris] + [""] * (_BUTLERS - len(uris)))

    @field_validator("exposurelog_trusted", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list | tuple):
            raise ValueError  # noqa: TRY004 - pydantic reports a ValueError only
        # Host bits beside a prefix are a slip of the pen that would let others in.
        return tuple(
            ip_network(str(word).strip()) for word in words if str(word).strip()
        )

    @property
    def open_to_anyone(self) -> bool:
        """Say whether callers name themselves (`none`), as loopback alone allows.

        Returns
        -------
        bool
            True in mode `none`.
        """
        return "none" in self.auth

    def topic(self, name: str) -> str:
        """Name a topic of ours: the prefix, a dot and the name.

        Parameters
        ----------
        name
            What the topic holds: "changes" or "targets".

        Returns
        -------
        str
            The name of the topic, as Kafka knows it.
        """
        return f"{self.kafka_topic_prefix}.{name}"

    def shown(self) -> dict[str, Any]:
        """Give all settings as they may be logged: without any password.

        Returns
        -------
        dict
            Every setting by its field, as JSON can hold it.
        """
        values = self.model_dump(mode="json")
        values["database_url"] = without_password(self.database_url)
        values["butler_uris"] = [without_password(uri) for uri in self.butler_uris]
        values["kafka_sasl_password"] = "***" if self.kafka_sasl_password else ""
        return values


def load(
    environ: Mapping[str, str] | None = None,
    *,
    changed: Mapping[str, Any] | None = None,
) -> Settings:
    """Read and check the settings of this process.

    Parameters
    ----------
    environ
        Variables by name; None means those of the process.
    changed
        Settings by field, from a command's options: they win over variables.

    Returns
    -------
    Settings
        What was set, and the defaults of the rest.

    Raises
    ------
    SettingsError
        A name is unknown, a value is wrong, the file cannot be read, or `none` is
        asked for on a host that others can reach. All faults are reported at once.
    """
    variables = os.environ if environ is None else environ
    names = [*Settings.model_fields, *_SECRET_FILES]
    known = {PREFIX + name.upper(): name for name in names}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    if variables.get(CONFIG):
        values = _from_file(variables[CONFIG], known, problems)
        _read_secrets(values, problems)
    said: dict[str, Any] = {}
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name in {CONFIG, *calls.VARIABLES}:
            continue
        if name in known:
            said[known[name]] = variables[name]
        else:
            problems.append(_unknown(name, [*known, CONFIG]))
    _read_secrets(said, problems)
    values |= said
    values.update(changed or {})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        bad = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
        problems.extend(_wrong(name, values[name]) for name in sorted(bad))
        raise SettingsError(_sentence(problems), problems=problems) from None
    if settings.open_to_anyone and not is_loopback(settings.host):
        problems.append(
            Problem(
                "#ANNOLOG_AUTH",
                "none",
                f"ANNOLOG_AUTH: none lets anyone write, so it needs a loopback"
                f" ANNOLOG_HOST (127.0.0.1, ::1, localhost), not {settings.host!r};"
                f" set ANNOLOG_AUTH=tokens",
                "setting_unsafe",
            )
        )
    problems.extend(_kafka_problems(settings))
    if problems:
        raise SettingsError(_sentence(problems), problems=problems)
    return settings


def _read_secrets(values: dict[str, Any], problems: list[Problem]) -> None:
    """Put what a secret's file holds in place of the file's name."""
    for file_name, name in _SECRET_FILES.items():
        path = values.pop(file_name, "")
        if not path:
            continue
        variable = PREFIX + file_name.upper()
        if values.get(name):
            reason = f"{variable}: {PREFIX}{name.upper()} is set too; set one of them"
            problems.append(Problem("#" + variable, path, reason, "setting_twice"))
            continue
        try:
            # Editors end a file with a line break, which no secret does.
            values[name] = Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            reason = f"{variable}: cannot read {path!r}: {why}"
            problems.append(Problem("#" + variable, path, reason, "setting_file"))


def _kafka_problems(settings: Settings) -> list[Problem]:
    """Tell which settings of Kafka do not go together: one would be without effect."""
    protocol = settings.kafka_security_protocol
    sasl, tls = protocol.startswith("SASL_"), protocol.endswith("SSL")
    needed = {"kafka_sasl_username", "kafka_sasl_password"} if sasl else set()
    useless: set[str] = set()
    if not sasl:
        useless |= {"kafka_sasl_username", "kafka_sasl_password"}
    if not tls:
        useless |= {"kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"}
    if settings.kafka_ssl_keyfile:
        needed.add("kafka_ssl_certfile")
    found = []
    for name in sorted(needed | useless):
        given, variable = bool(getattr(settings, name)), PREFIX + name.upper()
        if given and name in useless:
            reason = (
                f"{variable}: has no effect with ANNOLOG_KAFKA_SECURITY_PROTOCOL"
                f"={protocol}; set that to what the brokers' listener has"
            )
        elif not given and name in needed - useless:
            right = Settings.model_fields[name].description
            reason = f"{variable}: is missing; it should be {right}"
        else:
            continue
        found.append(Problem("#" + variable, None, reason, "setting_missing"))
    return found


def is_loopback(host: str) -> bool:
    """Say whether a host to listen on is reachable from this machine alone.

    Names are not looked up: `localhost` is the only one that is trusted.

    Parameters
    ----------
    host
        An address or a name.

    Returns
    -------
    bool
        False for any name that would have to be looked up.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """Give a URL as it may be shown: a password becomes `***`.

    Parameters
    ----------
    url
        Any URL, a wrong one too.

    Returns
    -------
    str
        The URL, or `***` alone where it cannot be taken apart.
    """
    try:
        parts = urlsplit(url)
        # Drivers take the password as a parameter too.
        query = re.sub(r"(?i)(password=)[^&]*", r"\1***", parts.query)
        netloc = parts.netloc
        user, at, place = netloc.rpartition("@")
        if at and ":" in user:
            netloc = f"{user.partition(':')[0]}:***@{place}"
        return urlunsplit((parts.scheme, netloc, parts.path, query, ""))
    except ValueError:
        return "***"


def _from_file(
    path: str, known: Mapping[str, str], problems: list[Problem]
) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        reason = f"{CONFIG}: cannot read {path!r}: {error.strerror}"
        problems.append(Problem("#" + CONFIG, path, reason, "setting_file"))
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = f"{CONFIG}: {path!r} is not TOML: {error}"
        problems.append(Problem("#" + CONFIG, path, reason, "setting_file"))
        return {}
    names = set(known.values())
    problems.extend(
        _unknown(name, sorted(names), f" in {path}")
        for name in sorted(content.keys() - names)
    )
    return {name: content[name] for name in content if name in names}


def _unknown(name: str, known: Sequence[str], place: str = "") -> Problem:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
    # The value stays out of it: a mistyped name may carry a password.
    reason = f"{name}{place}: there is no such setting{hint}"
    return Problem("#" + name, None, reason, "setting_unknown")


def _wrong(name: str, value: object) -> Problem:
    shown = value
    if name in _SECRET_FILES.values():
        shown = "***"
    elif name == "database_url":
        shown = without_password(str(value))
    elif name == "butler_uris":
        shown = ",".join(map(without_password, str(value).split(",")))
    variable = PREFIX + name.upper()
    right = Settings.model_fields[name].description
    reason = f"{variable}: {shown!r} is not right; it should be {right}"
    return Problem("#" + variable, str(shown), reason, "setting_invalid")


def _sentence(problems: Sequence[Problem]) -> str:
    return "\n".join(problem.reason for problem in problems)
