"""The picture from a relay to other processes of this machine: mirrors, and the process that packages HLS.

Each relay has one Unix datagram socket (`pipe_server.py`). Whoever wants a show subscribes from a socket of its own,
hears what the show is made of, gets everything since the newest key frame, and then each frame as it leaves for the
viewers: a datagram a frame, since many hosts queue ten a socket.

That the other side died is told by the kernel: a send to its address is refused. Quiet pipes are probed for that.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from live.relay import piped
from live.relay.piped import Clock, PipedPacket, StreamInfo, Told
from live.relay.rtp import newer

SOCKET_PATH_BYTES = 100  # the kernels take 104 to 108
NAME_BYTES = 16  # of these, a socket's name in the folder
BUFFER_BYTES = 1 << 20  # asked of the kernel; it gives what it allows
QUIET_S = 0.1  # no packet for so long: ask whether the other side lives
BEAT_EVERY_S = 1.0
LET_IN_WITHIN_S = 1.0
FIND_EVERY_S = 0.25
_MAX_READS = 64

Gone = Literal["unreachable", "dead", "ended", "going", "not_origin", "unknown", "refused"]


def folder_of(data_dir: Path) -> Path:
    """Where the sockets are: in the data folder, where its path is short enough for one; else a folder of this user's
    beside the other temporary ones. Only this user may enter. Raises OSError."""
    folder = data_dir.absolute() / "pipes"
    if len(os.fsencode(folder)) > SOCKET_PATH_BYTES - NAME_BYTES:
        folder = Path(tempfile.gettempdir()) / f"frontrow-pipes-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        raise PermissionError(f"{folder} is another's")
    if facts.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def open_socket(path: Path | None) -> socket.socket:
    """A datagram socket, bound to `path`. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        if path is not None:
            sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    return sock


class PipeClient:
    """Follows one show's origin, whichever that is. Its owner runs `run()` as a task; callbacks come on the loop.

    `find(show)`: the path of the present origin's pipe, or None (`live.media.relays.Relays.pipe_of`).
    `on_start` comes first, and again whenever the description changes or after `on_gone`: another origin may number
    anew. `on_packets` comes in order but for packets asked for again; `on_gone` when the origin died, ended or moved.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[str | None]],
        show: str,
        token: str,
        folder: Path,
        *,
        on_start: Callable[[StreamInfo], None],
        on_packets: Callable[[list[PipedPacket]], None],
        on_clock: Callable[[int, float, int], None] = lambda track, wall_ms, timestamp: None,
        on_state: Callable[[str, int | None], None] = lambda state, first_wall_ms: None,
        on_gone: Callable[[Gone], None] = lambda why: None,
        mirror: bool = False,
    ) -> None:
        self.show = show
        self._find = find
        self._token = token
        self._folder = folder
        self._on_start = on_start
        self._on_packets = on_packets
        self._on_clock = on_clock
        self._on_state = on_state
        self._on_gone = on_gone
        self._mirror = mirror
        self._socket: socket.socket | None = None
        self._origin = ""
        self._ended: asyncio.Future[Gone] | None = None
        self._let_in = False
        self._heard = 0.0
        self._newest: dict[int, int] = {}
        self.asked_again = 0

    async def run(self) -> None:
        """For ever: find the origin, follow it, find the next."""
        while True:
            path = await self._find(self.show)
            if path is not None:
                await self.follow(path)
            await asyncio.sleep(FIND_EVERY_S)

    async def follow(self, path: str) -> Gone:
        """One origin, until it is gone; why. `on_gone` was called, unless it never let us in."""
        loop = asyncio.get_running_loop()
        self._origin, self._ended, self._let_in = path, loop.create_future(), False
        self._newest.clear()
        own = self._folder / f"c{secrets.token_hex(6)}"
        self._socket = open_socket(own)
        loop.add_reader(self._socket, self._readable)
        try:
            self._heard = beaten = began = loop.time()
            self._say(piped.encode_request(piped.Subscribe(self.show, self._token, self._mirror)))
            while not self._ended.done():
                await asyncio.wait([self._ended], timeout=QUIET_S)
                now = loop.time()
                if not self._let_in and now - began > LET_IN_WITHIN_S:
                    self._end("unreachable")
                elif now - self._heard > QUIET_S or now - beaten > BEAT_EVERY_S:
                    beaten = now
                    self._say(piped.BEAT)
            why = self._ended.result()
        finally:
            self._say(piped.LEAVE)
            loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            own.unlink(missing_ok=True)
            was_in, self._let_in = self._let_in, False
            if was_in:
                self._on_gone(self._ended.result() if self._ended.done() else "ended")
        return why

    def want_key(self, rid: str = "") -> None:
        """A key frame, please, of the layer `rid`; the origin asks its publisher at most once in 700 ms."""
        self._say(piped.encode_request(piped.WantKey(rid)))

    def _say(self, datagram: bytes) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(datagram, self._origin)
        except BlockingIOError:
            return  # it is busy; the next beat will do
        except OSError:
            self._end("dead" if self._let_in else "unreachable")

    def _end(self, why: Gone) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(why)

    def _readable(self) -> None:
        for _ in range(_MAX_READS):
            if self._socket is None:
                return
            try:
                datagram = self._socket.recv(BUFFER_BYTES)
            except OSError:
                return
            self._heard = asyncio.get_running_loop().time()
            try:
                message = piped.decode(datagram)
            except ValueError:
                continue
            self._take(message)

    def _take(self, message: piped.Message | list[PipedPacket]) -> None:
        if isinstance(message, list):
            self._ask_for_gaps(message)
            self._on_packets(message)
        elif isinstance(message, StreamInfo):
            self._let_in = True
            self._on_start(message)
        elif isinstance(message, Clock):
            self._on_clock(message.track, message.wall_ms, message.timestamp)
        elif isinstance(message, Told):
            self._on_state(message.state, message.first_wall_ms)
        else:
            self._end(message.why)

    def _ask_for_gaps(self, packets: list[PipedPacket]) -> None:
        """A hole is what the origin let go when our queue was full; a wide one ends at a key frame anyway."""
        for packet in packets:
            newest = self._newest.get(packet.track)
            if newest is not None and not newer(packet.seq, newest):
                continue
            self._newest[packet.track] = packet.seq
            gap = (packet.seq - newest & 0xFFFF) - 1 if newest is not None else 0
            if 0 < gap <= piped.MAX_AGAIN and newest is not None:
                self.asked_again += gap
                missing = [newest + step & 0xFFFF for step in range(1, gap + 1)]
                self._say(piped.encode_request(piped.Again(packet.track, missing)))
