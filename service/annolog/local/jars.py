"""The jars of the Kafka broker, and the Java that runs them.

Maven fetches them once into a cache that all homes of a user share. Each is compared
with the hash that annolog ships before any of it is run.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from annolog.local.errors import FailedError, NoBrokerError
from annolog.local.processes import Command, last_line, run

VERSION = "4.3.1"
"""The release of Apache Kafka that `kafka_jars/pom.xml` names."""

JAVA_AT_LEAST = 17
"""The oldest Java that this release runs on."""

FETCH_PATIENCE = 300.0
"""Seconds that Maven may take for 45 MB and what it needs itself."""

SHIPPED = files("annolog.local") / "kafka_jars"
"""The folder of what annolog says about the jars: which, from where, their hashes."""


def find_java() -> Path:
    """Find a Java that runs the broker.

    Returns
    -------
    Path
        The program: that of `JAVA_HOME` if it is set, else the first on the path.

    Raises
    ------
    NoBrokerError
        There is none, or it is too old.
    """
    wanted = f"a Kafka broker needs Java >= {JAVA_AT_LEAST}"
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if found is None:
        raise NoBrokerError(f"{wanted}, and there is no java on the path")
    try:
        said = subprocess.run(
            [found, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stderr
    except (OSError, subprocess.SubprocessError):
        raise NoBrokerError(f"{wanted}, and {found} does not run") from None
    # `17.0.15`, `25`, and of old `1.8.0_412`.
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) < JAVA_AT_LEAST:
        is_one = f"is Java {version[1]}" if version else "does not tell its version"
        raise NoBrokerError(f"{wanted}, and {found} {is_one}")
    return Path(found)


def find_jars(cache: Path) -> Path:
    """Give the broker's jars, fetching them by Maven where they are not there yet.

    Parameters
    ----------
    cache
        A directory for downloads, which many homes may share.

    Returns
    -------
    Path
        The directory of exactly the jars that annolog lists, each with the hash
        that annolog lists.

    Raises
    ------
    NoBrokerError
        There is no Maven, it could not fetch them, or what came is not what is
        listed.
    """
    jars = cache.absolute() / f"kafka-{VERSION}"
    if not _difference(jars):
        return jars
    try:
        jars.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(jars.parent):
            if _difference(jars):
                _fetch(jars)
    except OSError as error:
        raise NoBrokerError(
            f"the Kafka broker's jars cannot be kept in {jars}: {error.strerror}"
        ) from None
    return jars


def default_cache() -> Path:
    """Say where downloads are kept for all homes of this user.

    Returns
    -------
    Path
        A directory below `XDG_CACHE_HOME`, else below the user's `.cache`.
    """
    above = os.environ.get("XDG_CACHE_HOME")
    return (Path(above) if above else Path.home() / ".cache") / "annolog"


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoBrokerError(
            "a Kafka broker needs Maven once, to fetch its jars, and there is no mvn "
            "on the path"
        )
    with tempfile.TemporaryDirectory(dir=jars.parent) as place:
        pom, draft = Path(place, "pom.xml"), Path(place, "jars")
        pom.write_bytes((SHIPPED / "pom.xml").read_bytes())
        command = Command(
            "the download of the Kafka broker by Maven",
            (
                maven,
                "--batch-mode",
                "--quiet",
                f"--file={pom}",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={draft}",
                "-DincludeScope=runtime",
                *_own_repository(jars.parent),
            ),
        )
        try:
            run(command, timeout=FETCH_PATIENCE, reason=_first_error)
        except FailedError as error:
            raise NoBrokerError(str(error)) from None
        wrong = _difference(draft)
        if wrong:
            raise NoBrokerError(
                f"the Kafka broker's jars are not those that annolog knows: {wrong}"
            )
        shutil.rmtree(jars, ignore_errors=True)
        draft.replace(jars)


# Maven keeps its repository in the home that the machine knows, whatever HOME says,
# and accounts of services have none that they may write to.
def _own_repository(cache: Path) -> list[str]:
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
        usable = os.access(home / ".m2" if (home / ".m2").exists() else home, os.W_OK)
    except KeyError:
        usable = False
    return [] if usable else [f"-Dmaven.repo.local={cache / 'maven'}"]


# The last lines of a failed Maven say where to read about it.
def _first_error(lines: Sequence[str]) -> str:
    errors = [line for line in lines if line.startswith("[ERROR]")]
    return errors[0] if errors else last_line(lines)


# What is wrong with a directory of jars; nothing if it is as listed.
def _difference(jars: Path) -> str:
    lines = (SHIPPED / "SHA256SUMS").read_text("ascii").splitlines()
    listed = {name: digest for digest, name in map(str.split, lines)}
    found = {path.name: path for path in jars.glob("*")}
    if odd := sorted(listed.keys() ^ found.keys()):
        return f"{odd[0]} is {'missing' if odd[0] in listed else 'not listed'}"
    for name, path in sorted(found.items()):
        with path.open("rb") as jar:
            if hashlib.file_digest(jar, "sha256").hexdigest() != listed[name]:
                return f"{name} has another sha256"
    return ""


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    with (directory / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
