"""The directory of a test session, removed even if the session was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def session_home() -> Iterator[Path]:
    """Make a directory for this session's servers, and remove it at the end.

    Those of killed sessions are found by their locks, which died with them, and
    removed too; their servers got a signal when their parent died.
    """
    parent = Path(tempfile.gettempdir()) / f"annolog-tests-{os.geteuid()}"
    parent.mkdir(exist_ok=True)
    with ExitStack() as held:
        # Nobody removes a directory between its making and its lock.
        with (parent / "lock").open("a") as one_at_a_time:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            for lock in parent.glob("*/lock"):
                with lock.open("a") as left:
                    if _locked(left.fileno()):
                        shutil.rmtree(lock.parent, ignore_errors=True)
            home = Path(tempfile.mkdtemp(dir=parent))
            # Its servers may run as another user than root.
            home.chmod(0o711)
            own = held.enter_context((home / "lock").open("a"))
            fcntl.flock(own, fcntl.LOCK_EX)
        try:
            yield home
        finally:
            shutil.rmtree(home)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
