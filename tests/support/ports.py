"""Ports for processes that are killed and come back to the same address."""

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL = 32768
_WIDTH = 12_000


def steady_ports(count: int) -> list[int]:
    """Find free ports that no outgoing connection gets while nobody listens there.

    The system gives such connections ports of a range of their own; one of those may be
    taken just while its process is dead.
    """
    least = int(_RANGE.read_text("ascii").split()[0]) if _RANGE.exists() else _USUAL
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(max(1024, least - _WIDTH), least)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
