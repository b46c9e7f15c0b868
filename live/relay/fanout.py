"""A frame to everybody: laid out once, protected per viewer in one buffer, sent with one call a viewer.

Viewers whose headers are the same (payload type, offsets, socket, tag) share a layout. Packets of a frame are made
equally long by RTP padding where 255 bytes are enough, so that one `sendto` with UDP_SEGMENT (GSO) carries them all:
the kernel's path a datagram is what costs most. A device that can't do it (EIO) turns GSO off for good; a viewer whose
path takes smaller packets than ours (EMSGSIZE, EINVAL) gets hers one by one, and nobody else loses by it.
The loop over the viewers runs in C where that could be built (`kernel.py`), else here; the bytes are the same.
What a full socket does not take is dropped and counted: a queue would only make late what NACK can heal.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from live.relay.kernel import GSO_REFUSED, GSO_REFUSED_LOST, REFUSED_BY_SRTP, Kernel
from live.relay.members import Members
from live.relay.peer import buffer_of, memmove, new_buffer, srtp_protect
from live.relay.rtp import Packet, padding

_UDP = 17
_UDP_SEGMENT = 103
MAX_SEGMENTS = 44  # 44 x 1450 bytes stay below the 65,507 of one datagram
_MAX_BURST_BYTES = 64_000
_MAX_PADDING = 255
_UNPROVEN = 100  # refusals before the first success: then it is the host and not a viewer's path
_HEADER = struct.Struct("!BBHII")


class Variant(NamedTuple):
    """What a group of viewers has in common."""

    socket_index: int
    tag_bytes: int
    payload_type: int
    ssrc: int
    seq_offset: int
    timestamp_offset: int


class Counters:
    """Packets and bytes that left, packets a full socket did not take, those libsrtp refused, and resends; what came
    from publishers; key frames and packets that viewers wanted and that publishers were asked for; viewers who changed
    to another size. All count from the process's start."""

    __slots__ = (
        "bytes", "dropped", "gso", "keys_asked", "keys_wanted", "nacks_heard", "nacks_sent", "never_came", "packets",
        "received", "received_bytes", "refused", "resent", "switches"
    )  # fmt: skip

    def __init__(self) -> None:
        self.packets = self.bytes = self.dropped = self.refused = self.resent = 0
        self.received = self.received_bytes = self.never_came = self.switches = 0
        self.keys_asked = self.keys_wanted = self.nacks_heard = self.nacks_sent = 0
        self.gso = True


def runs(packets: Sequence[Packet]) -> Iterator[list[Packet]]:
    """Cut packets into runs that can leave in one call: of one length, or made so by padding; the last may be shorter.

    A sealed packet keeps the padding it was first sent with.
    """
    run: list[Packet] = []
    longest = shortest = 0
    sealed = False
    for packet in packets:
        size = len(packet.payload) + packet.pad
        if run:
            top = max(longest, size)
            room = len(run) < MAX_SEGMENTS and (len(run) + 1) * (top + 28) <= _MAX_BURST_BYTES
            if sealed or packet.sealed:
                sealed = True
                alike = size == longest == shortest
            else:
                alike = top - min(shortest, size) <= _MAX_PADDING
            if room and alike:
                run.append(packet)
                longest, shortest = top, min(shortest, size)
                continue
            if room and size < shortest and (longest == shortest or not sealed):
                run.append(packet)  # shorter by far, so it can only be the last
                yield run
                run = []
                continue
            yield run
        run, longest, shortest, sealed = [packet], size, size, packet.sealed
    if run:
        yield run


def seal(run: list[Packet]) -> None:
    """Fix the padding of a run for good: all but the last get the longest one's length."""
    if not any(packet.sealed for packet in run):
        longest = max(len(packet.payload) for packet in run)
        for packet in run[:-1]:
            packet.pad = longest - len(packet.payload)
    for packet in run:
        packet.sealed = True


class Fanout:
    """Sends runs of packets to groups of viewers. One per process; not for threads."""

    def __init__(self, sockets: list[socket.socket], counters: Counters, kernel: Kernel | None = None) -> None:
        self._sockets = sockets
        self.counters = counters
        self._kernel = kernel
        self._proven = False  # GSO worked once
        self._refusals = 0
        self._plain = bytearray(_MAX_BURST_BYTES + 4096)
        self._plain_in_c = (ctypes.c_char * len(self._plain)).from_buffer(self._plain)
        self._work = new_buffer("char[]", _MAX_BURST_BYTES + 4096)
        self._view = memoryview(buffer_of(self._work))
        self._lengths = new_buffer("int[]", MAX_SEGMENTS)
        self._length_at = [self._lengths + index for index in range(MAX_SEGMENTS)]

    def frame(self, packets: Sequence[Packet], groups: Iterable[tuple[Variant, Iterable[tuple[Any, Any]]]]) -> None:
        """Send packets, in order, to every member (libsrtp context, address) of every group."""
        cut = list(runs(packets))
        for run in cut:
            seal(run)
        for variant, members in groups:
            for run in cut:
                self.run(run, variant, members)

    def run(self, run: list[Packet], variant: Variant, members: Iterable[tuple[Any, Any]]) -> None:
        """One run to one group."""
        count = len(run)
        tag = variant.tag_bytes
        stride = 12 + len(run[0].payload) + run[0].pad + tag
        sizes = self._lay_out(run, variant, stride)
        total = stride * (count - 1) + sizes[-1] + tag
        if self._kernel is not None and isinstance(members, Members):
            self._run_in_c(self._kernel, self._sockets[variant.socket_index], total, stride, sizes, members)
            return
        plain, work, lengths = self._plain, self._work, self._lengths
        starts = [work + stride * index for index in range(count)]
        length_at = self._length_at[:count]
        fresh_lengths = struct.pack(f"={count}i", *sizes)
        lengths_bytes = 4 * count
        out = self._view[:total]
        sock = self._sockets[variant.socket_index]
        counters = self.counters
        one_call = count == 1 or counters.gso
        if count > 1 and one_call:
            one_call = self._segment(sock, stride)
        sent = 0
        for context, address in members:
            memmove(work, plain, total)
            memmove(lengths, fresh_lengths, lengths_bytes)
            # map() runs the loop in C; a sum other than 0 means that some packet is still in the clear.
            if sum(map(srtp_protect, repeat(context, count), starts, length_at)):
                counters.refused += count
                continue
            try:
                if one_call:
                    sock.sendto(out, address)
                    self._proven = self._proven or count > 1
                else:
                    self._one_by_one(sock, stride, count, total, address)
            except BlockingIOError:
                counters.dropped += count
                continue
            except OSError as error:
                if count > 1 and one_call and error.errno in (errno.EINVAL, errno.EIO, errno.EMSGSIZE):
                    self._segment(sock, 0)
                    self._try_one_by_one(sock, stride, count, total, address)
                    self._gso_refused(error.errno)
                    one_call = counters.gso and self._segment(sock, stride)
                else:
                    counters.dropped += count  # unreachable, no buffer space: her ICE will time out
                continue
            sent += 1
        if count > 1 and one_call:
            self._segment(sock, 0)  # the socket's other datagrams must leave whole
        counters.packets += sent * count
        counters.bytes += sent * total

    def _run_in_c(
        self, kernel: Kernel, sock: socket.socket, total: int, stride: int, sizes: list[int], members: Members
    ) -> None:
        counters, count = self.counters, len(sizes)
        wrong = kernel.send(sock.fileno(), self._plain_in_c, total, stride, sizes, members, gso=counters.gso)
        sent = len(members)
        self._proven = self._proven or (count > 1 and counters.gso and sent > len(wrong))
        for status in wrong:
            if status == REFUSED_BY_SRTP:
                counters.refused += count
                sent -= 1
            elif not status & (GSO_REFUSED | GSO_REFUSED_LOST):
                counters.dropped += count
                sent -= 1
            else:
                self._gso_refused(status & 0xFFFF)
                if status & GSO_REFUSED_LOST:
                    counters.dropped += count
                    sent -= 1
        counters.packets += sent * count
        counters.bytes += sent * total

    def _gso_refused(self, why: int) -> None:
        self._refusals += 1
        if why == errno.EIO or (not self._proven and self._refusals >= _UNPROVEN):
            self.counters.gso = False

    def _lay_out(self, run: list[Packet], variant: Variant, stride: int) -> list[int]:
        """Headers, payloads and padding into `_plain`, each packet at its stride; their lengths."""
        sizes = []
        at = 0
        for packet in run:
            first = 0xA0 if packet.pad else 0x80
            _HEADER.pack_into(
                self._plain,
                at,
                first,
                packet.marker | variant.payload_type,
                packet.seq + variant.seq_offset & 0xFFFF,
                packet.timestamp + variant.timestamp_offset & 0xFFFFFFFF,
                variant.ssrc,
            )
            body = packet.payload + padding(packet.pad)
            size = 12 + len(body)
            self._plain[at + 12 : at + size] = body
            sizes.append(size)
            at += stride
        return sizes

    def _segment(self, sock: socket.socket, size: int) -> bool:
        try:
            sock.setsockopt(_UDP, _UDP_SEGMENT, size)
        except OSError:
            self.counters.gso = False  # a kernel or a platform without GSO
            return False
        return True

    def _one_by_one(self, sock: socket.socket, stride: int, count: int, total: int, address: Any) -> None:
        for index in range(count):
            sock.sendto(self._view[stride * index : min(stride * (index + 1), total)], address)

    def _try_one_by_one(self, sock: socket.socket, stride: int, count: int, total: int, address: Any) -> None:
        try:
            self._one_by_one(sock, stride, count, total, address)
        except OSError:
            self.counters.dropped += count
