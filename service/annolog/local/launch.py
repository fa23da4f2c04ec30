"""Become a child: leave a record, step down from root, die with the parent, exec.

Run as a script between the parent and the program that it starts, because what
happens between fork and exec must not run Python in a process with threads. It
imports nothing of annolog, so that it runs under any path and before any package.
The process id and start time stay those of the program.
"""

import argparse
import ctypes
import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""prctl: the signal to get when the parent dies. Linux only."""

PR_SET_SECUREBITS = 28
"""prctl: how capabilities and user ids hang together, for this process and children."""

SECBIT_NO_SETUID_FIXUP = 1 << 2
"""Neither `setuid` nor `access` takes capabilities away. Without it `initdb`, which
asks by `access` whether `postgres` is beside it, would not see it in a closed home."""

PR_CAP_AMBIENT = 47
"""prctl: capabilities that survive exec of an ordinary program."""

PR_CAP_AMBIENT_RAISE = 2
"""prctl: add one capability to the ambient ones."""

CAP_DAC_OVERRIDE = 1
"""To pass directories whose modes keep others out."""

CAPABILITY_VERSION_3 = 0x20080522
"""Layout of capset's argument: two records of 32 bits each."""


def started(pid: int) -> str | None:
    """When a process began, to tell it from a later one with the same id.

    Parameters
    ----------
    pid
        The process asked about, of any user.

    Returns
    -------
    str or None
        A word that no two processes of this id share, on this machine and across
        its restarts; None if there is no such process or only its zombie.
    """
    if not sys.platform.startswith("linux"):
        found = subprocess.run(
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split(maxsplit=1)
        return None if not found or found[0].startswith("Z") else found[-1].strip()
    try:
        # The name in parentheses may hold anything, so count from its end.
        state, *rest = (
            Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
        ).split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
    return None if state in "ZX" else f"{boot}/{rest[18]}"


def leave_record(path: Path) -> None:
    """Say who this process is, before it becomes the program.

    Parameters
    ----------
    path
        The file that the next start looks at for what was left over.
    """
    pid = os.getpid()
    draft = path.with_name(f"{path.name}.{pid}")
    draft.write_text(json.dumps({"pid": pid, "started": started(pid)}), "ascii")
    draft.replace(path)


def step_down(account: str, *, reach: bool) -> None:
    """Give up root for an account.

    Parameters
    ----------
    account
        Name of the account to become.
    reach
        Whether to keep the one right to pass closed directories: a clone and its
        environment may lie in root's home, whose mode is not ours to change.
    """
    entry = pwd.getpwnam(account)
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(*arguments: int) -> None:
        filled = [ctypes.c_ulong(number) for number in arguments]
        filled += [ctypes.c_ulong(0)] * (5 - len(filled))
        if libc.prctl(*filled):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    if reach:
        prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if reach:
        bit = 1 << CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        # Effective, permitted, inheritable: the low halves, then the high ones.
        data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        if libc.capset(header, data):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def die_with(parent: int, number: int) -> None:
    """Get a signal when the parent dies, however it dies.

    Parameters
    ----------
    parent
        Process id of the parent, which may have died meanwhile.
    number
        The signal to get.
    """
    if sys.platform.startswith("linux"):
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number))
    if os.getppid() != parent:
        sys.exit(f"the parent {parent} is gone")


def main() -> None:
    """Do what the arguments say, and become the program behind `--`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--account")
    parser.add_argument("--reach", action="store_true")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, default=signal.SIGTERM)
    parser.add_argument("program", nargs="+")
    wanted = parser.parse_args()
    try:
        if wanted.record is not None:
            leave_record(wanted.record)
        if wanted.account is not None:
            step_down(wanted.account, reach=wanted.reach)
        die_with(wanted.parent, wanted.signal)
        os.execvp(wanted.program[0], wanted.program)  # noqa: S606 - its whole purpose
    except OSError as error:
        sys.exit(f"cannot start {wanted.program[0]}: {error}")


if __name__ == "__main__":
    main()
