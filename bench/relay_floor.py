"""The floor: a bare C loop (relay_floor.c) on the same libsrtp, in a process of its own, over the same path.

    echo '{"host": "127.0.0.1", "ports": [4000], "seconds": 4}' | python -m bench.relay_floor

Prints CPU µs a packet with GSO and with `sendto`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cffi import FFI
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from bench.relay_load import FRAME_HZ, FRAME_PACKETS, PAYLOAD_BYTES, SOUND_BYTES
from bench.relay_process import Place

ROOT = Path(__file__).parent.parent


class Floor:
    """The C loop, compiled here."""

    def __init__(self, folder: Path, host: str, ports: list[int]) -> None:
        library = folder / "relay_floor.so"
        source = Path(__file__).with_name("relay_floor.c")
        subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source], check=True)
        ffi = FFI()
        ffi.cdef(
            "long floor_loop(uintptr_t, const uintptr_t *, const uint16_t *, int, int, int, int, int, int, int, int,"
            " uint32_t);"
        )
        self._lib: Any = ffi.dlopen(str(library))
        self._protect = int(srtp_ffi.cast("uintptr_t", srtp_ffi.addressof(srtp_lib, "srtp_protect")))
        profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        self._sessions = [
            Session(Policy(key=secrets.token_bytes(28), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
            for _ in ports
        ]
        self._contexts = [int(srtp_ffi.cast("uintptr_t", session._srtp[0])) for session in self._sessions]
        self._ports = ports
        self._host = int.from_bytes(socket.inet_aton(host), sys.byteorder)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._seq = 1

    def us_a_packet(self, *, gso: bool, seconds: float) -> float:
        frames = max(10, int(seconds * FRAME_HZ))
        begun = _cpu_s()
        sent = self._lib.floor_loop(
            self._protect, self._contexts, self._ports, len(self._ports), self._out.fileno(), frames,
            FRAME_PACKETS, PAYLOAD_BYTES + 12, SOUND_BYTES + 12, gso, self._seq, self._host,
        )  # fmt: skip
        self._seq = self._seq + frames * FRAME_PACKETS & 0xFFFF
        if sent <= 0:
            raise SystemExit("the C loop could not send")
        return (_cpu_s() - begun) / sent * 1e6


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def _readers(host: str, count: int) -> Iterator[list[int]]:
    """Sockets that nobody reads, as most of the bench's viewers are."""
    with contextlib.ExitStack() as open_ones:
        ports = []
        for _ in range(count):
            sock = open_ones.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((host, 0))
            ports.append(sock.getsockname()[1])
        yield ports


def measure_floor(viewers: int, seconds: float, core: int, place: Place) -> dict[str, float]:
    """Both figures, for that many viewers over that path."""
    with _readers(place.load, viewers) as ports:
        order = json.dumps({"host": place.load, "ports": ports, "seconds": seconds, "core": core})
        command = [*place.prefix, sys.executable, "-m", "bench.relay_floor"]
        done = subprocess.run(command, input=order, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"the C loop: {done.stderr[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    asked = json.load(sys.stdin)
    os.sched_setaffinity(0, {asked["core"]} if "core" in asked else os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        floor = Floor(Path(folder), asked["host"], asked["ports"])
        floor.us_a_packet(gso=True, seconds=0.5)
        found = {
            f"c_{way}_us_a_packet": round(floor.us_a_packet(gso=way == "gso", seconds=asked["seconds"]), 3)
            for way in ("gso", "sendto")
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
