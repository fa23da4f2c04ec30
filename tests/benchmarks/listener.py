"""A consumer in a process of its own: tells how old changes are when they come.

    python -m tests.benchmarks.listener BOOTSTRAP TOPIC

It writes "ready" once it has the first of the topic, and when nothing came for some
seconds the number of each change with its age in milliseconds. Age is since the turn
began that brought it: deciding, storing and the commit are in it.
"""

import contextlib
import sys
import time
from datetime import datetime

from annolog.stream.consume import Until, follow
from annolog.stream.topics import Access

IDLE = 5.0
"""Seconds without a change after which it ends."""


def main(bootstrap: str, topic: str) -> None:
    """Follow a topic from its beginning."""
    found: list[str] = []
    until = Until(idle=IDLE)
    with contextlib.closing(follow(Access(bootstrap), topic, until=until)) as received:
        for one in received:
            now = time.time()
            began = datetime.fromisoformat(one.event.attributes["time"]).timestamp()
            if not found:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
            found.append(f"{one.event.number} {(now - began) * 1000:.3f}\n")
    sys.stdout.write("".join(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
