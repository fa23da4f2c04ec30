"""Files that would take a test's time: on a disk, compiled anew, of 140 authorities."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import certifi

MEMORY = Path("/dev/shm")  # noqa: S108 - the file system in memory, which all may use
"""Where Linux has it."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

ROOM = 4 * 2**30
"""Bytes that must be free; most tests hold a few hundred megabytes at a time."""


def keep_files_in_memory() -> None:
    """Make temporary files of this process and of its children live in memory.

    Each test has a database of its own, 300 files that are made and removed again, and
    ext4 passes over each inode that was freed in the last minutes whenever it looks for
    one: of a test's time most went into that. `TMPDIR`, where it is set, wins.
    """
    if "TMPDIR" not in os.environ and _fit():
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def keep_compiled_modules() -> None:
    """Let processes find annolog compiled, whatever the environment says of that.

    Tests start some hundred of them, and each would compile all of it by itself, which
    takes it half a second. Git ignores what they leave.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def trust_one_authority() -> None:
    """Let clients read one certificate of those that browsers trust, and not all.

    httpx reads them for each client, over HTTP without TLS as well: 25 ms and more. No
    test calls a server that such an authority vouches for.
    """
    bundle = Path(certifi.where()).read_text("ascii")
    first = bundle[bundle.index(_BEGIN) : bundle.index(_END) + len(_END)]
    file = Path(tempfile.mkdtemp(prefix="annolog-tls-")) / "one.pem"
    file.write_text(first + "\n")
    atexit.register(shutil.rmtree, file.parent, ignore_errors=True)
    os.environ["SSL_CERT_FILE"] = str(file)


def _fit() -> bool:
    try:
        found = os.statvfs(MEMORY)
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return False
    kibibytes = {line.split()[0]: int(line.split()[1]) for line in lines}
    return (
        os.access(MEMORY, os.W_OK)
        # Tests put scripts beside their data and run them.
        and not found.f_flag & os.ST_NOEXEC
        # It may have been given more room than there is memory.
        and min(found.f_bavail * found.f_frsize, kibibytes["MemAvailable:"] * 1024)
        >= ROOM
    )
