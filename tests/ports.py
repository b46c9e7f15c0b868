"""Ports of this machine for what a test starts: nobody else is given them before it listens, or while it is away.

A number that is found and let go may be somebody else's by the time a process has loaded, some seconds later; four test
processes take a hundred ports meanwhile.
"""

from __future__ import annotations

import random
import socket

# The kernel gives from 32768 (net.ipv4.ip_local_port_range) to who asks for any port.
NOT_GIVEN = range(20_000, 32_000)

_kept: list[socket.socket] = []


def free_port() -> int:
    """A TCP port, kept until this process ends.

    Bound and never listened on, it is given to nobody who asks for any; who asks for this very one with SO_REUSEADDR,
    as servers do, gets it, and again after a crash.
    """
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
    _kept.append(one)
    return int(one.getsockname()[1])


def free_udp_pair() -> int:
    """The first of two free neighbours. UDP has no way to keep them: they are of those that nobody is given."""
    while True:
        first = random.choice(NOT_GIVEN)
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
            try:
                one.bind(("127.0.0.1", first))
                other.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            return first
