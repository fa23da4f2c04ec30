"""An exporter that kills itself the so manieth time that it tells how far it is.

    python -m tests.support.killed_exporter REPO SNAPSHOT MOMENT

One that lives prints how often it told.
"""

import os
import signal
import sys
from pathlib import Path

from annolog.butler import exporter
from annolog.butler.scopes import Scope
from annolog.domain.snapshots import Head, read
from tests.support.snapshots import TAKEN


def main() -> None:
    """Export a snapshot in pieces of 50."""
    repo, path, moment = sys.argv[1:]
    with Path(path).open("rb") as file:
        lines = [read(line) for line in file]
    told = 0

    def tell(_: object) -> None:
        nonlocal told
        told += 1
        if told == int(moment):
            os.kill(os.getpid(), signal.SIGKILL)

    exporter.AT_ONCE = 50
    one = exporter.open_exporter(repo, Scope(), now=lambda: TAKEN, tell=tell)
    head, *rest = lines
    assert isinstance(head, Head)
    one.export(head, rest)
    sys.stdout.write(f"{told}\n")


if __name__ == "__main__":
    main()
