"""The fan-out's inner loop and the reading of sockets in C, where a compiler is there: built once into the data folder,
loaded by ctypes.

Whatever is missing or wrong (no compiler, no Linux, a folder that others may write to) is said once in the log, and
Python does the same work: `fanout.py` and `udp.py` have it; tests/relay/test_kernel.py and test_kernel_in.py compare.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog

from live.relay.members import Members
from live.relay.peer import PROTECT_ADDRESS

log = structlog.get_logger(__name__)

SOURCES = [Path(__file__).with_name(name) for name in ("kernel.c", "kernel_in.c")]
REFUSED_BY_SRTP = -1
GSO_REFUSED = 0x10000
GSO_REFUSED_LOST = 0x20000
_BUILT_WITHIN_S = 30
_WORK_BYTES = 256 * 1024  # several viewers' frames: stays in a core's cache
_FLAGS = ("-O2", "-shared", "-fPIC", "-Wall", "-Wextra")


class Unavailable(Exception):
    """`why`, in a word or two."""


class Kernel:
    """Sends one run to all members of a group; the GIL is free meanwhile. One per process; not for threads."""

    def __init__(self, library: Path) -> None:
        """Raises OSError when it is no library of ours."""
        number, pointer = ctypes.c_int, ctypes.c_void_p
        self.library = ctypes.CDLL(str(library))
        self._send = self.library.frontrow_send
        self._send.restype = number
        self._send.argtypes = [
            ctypes.c_uint64, number, pointer, number, number, pointer, number,
            pointer, pointer, number, number, number, pointer, number, pointer,
        ]  # fmt: skip
        self._work = ctypes.create_string_buffer(_WORK_BYTES)

    def send(
        self, fd: int, plain: ctypes.Array[ctypes.c_char], total: int, stride: int, sizes: Sequence[int],
        members: Members, *, gso: bool,
    ) -> list[int]:  # fmt: skip
        """What went wrong, one number a member it went wrong for: an errno, or one of the above."""
        packed = members.packed()
        lengths = (ctypes.c_int32 * len(sizes))(*sizes)
        bad = self._send(
            PROTECT_ADDRESS, fd, plain, total, stride, lengths, len(sizes),
            packed.contexts, packed.addresses, packed.address_bytes, packed.size, gso,
            self._work, _WORK_BYTES, packed.status,
        )  # fmt: skip
        assert bad >= 0, "a run longer than MAX_SEGMENTS or the work buffer"
        return [status for status in packed.status if status] if bad else []


def load(cache: Path) -> Kernel | None:
    """The kernel, built if need be; None, and a line in the log, when it can't be had."""
    try:
        kernel = Kernel(_built(cache))
    except (Unavailable, OSError, AttributeError, subprocess.SubprocessError) as error:
        log.info("relay.kernel", used=False, why=str(error) or type(error).__name__)
        return None
    log.info("relay.kernel", used=True)
    return kernel


def _built(cache: Path) -> Path:
    if sys.platform != "linux":
        raise Unavailable("GSO is Linux's")
    source = b"".join(source.read_bytes() for source in SOURCES)
    name = hashlib.sha256(source + " ".join(_FLAGS).encode()).hexdigest()[:16]
    library = cache / f"relay-kernel-{platform.machine()}-{name}.so"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _ours(cache):
        raise Unavailable(f"others may write to {cache}")
    if library.exists():
        if not _ours(library):
            raise Unavailable(f"others may write to {library}")
        return library
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("no C compiler")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder) / library.name
        command = [compiler, *_FLAGS, "-o", str(fresh), *map(str, SOURCES)]
        done = subprocess.run(command, capture_output=True, timeout=_BUILT_WITHIN_S, check=False)  # noqa: S603
        if done.returncode:
            raise Unavailable(f"the compiler said: {done.stderr.decode('utf-8', 'replace').strip()[:200]}")
        fresh.replace(library)  # another relay that starts now does the same, and either is whole
    return library


def _ours(path: Path) -> bool:
    """A library that another account may put there would run as us."""
    facts = path.stat()
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
