"""A viewer's numbers over any run of switches, losses and late packets: real lanes, real fan-out, real SRTP, read back
packet by packet. Only the line between is left out: a socket pair a viewer."""

from __future__ import annotations

import socket
import struct
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pylibsrtp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from live.relay import ladder as ladder_module
from live.relay import rtp
from live.relay.codecs import picture_ids, stap, starts_key_frame
from live.relay.fanout import Counters, Fanout
from live.relay.ladder import Ladder
from live.relay.lane import House, Lane
from live.relay.sdp import Format, Outgoing
from live.relay.source import Layer
from live.relay.track import Track
from live.relay.watching import Seat, Watching

FORMATS = {
    "H264": Format("H264", 90000, {"packetization-mode": "1"}),
    "VP8": Format("VP8", 90000, {}),
    "VP9": Format("VP9", 90000, {}),
}
KEY_NTP_MS = 1_750_000_000_000


@pytest.fixture(autouse=True)
async def a_loop() -> None:
    """Lanes set a timer for a frame that trickles in."""


class Stream:
    """A layer as its publisher sends it: numbered from anywhere, frames of three packets."""

    def __init__(self, rid: str, codec: str, seq: int, timestamp: int, *, sets: bool, reports: bool) -> None:
        self.codec = codec
        self.layer = Layer({"f": 7, "q": 17}[rid], "video", FORMATS[codec], 0, rid)
        self.seq, self.timestamp, self.frames = seq, timestamp, 0
        self.sets = sets
        self.picture = seq & 0x7FFF
        if reports:
            self.layer.sender_clock = (KEY_NTP_MS, timestamp)

    def frame(self, now_ms: int, *, key: bool) -> list[tuple[rtp.Header, bool]]:
        out = []
        timestamp = self.timestamp + now_ms * 90 & 0xFFFFFFFF
        self.frames += 1
        self.picture += 1
        for place in range(3):
            mark = self.layer.rid.encode() + struct.pack("!IB", self.frames, place)
            payload = self._payload(place, key) + mark
            header = rtp.Header(place == 2, 102, self.seq, timestamp, self.layer.ssrc, {}, payload)
            out.append((header, starts_key_frame(self.codec, payload)))
            self.seq = self.seq + 1 & 0xFFFF
        return out

    def _payload(self, place: int, key: bool) -> bytes:
        if self.codec == "H264":
            if key and place == 0 and (self.sets or self.frames == 1):
                return stap([b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80"])
            return b"\x65" if key else b"\x41"
        ids = struct.pack("!HB", self.picture & 0x7FFF | 0x8000, self.picture & 0xFF)
        if self.codec == "VP8":
            return bytes((0x90 if place == 0 else 0x80, 0xC0)) + ids + (b"\0" if key else b"\1") * (place == 0)
        first = 0xA0 | (0x08 if place == 0 else 0) | (0 if key else 0x40)
        return bytes((first,)) + ids[:2] + b"\0" + ids[2:]


class Guest:
    """A viewer with a real key and a real socket."""

    def __init__(self, name: str, house: House, main: Lane, *, rtx: bool = True) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        key, profile = name.encode().ljust(28, b"k"), Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        policy.allow_repeat_tx = True
        self._tx = Session(policy)
        inbound = Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile)
        inbound.window_size = 8192
        self._rx = Session(inbound)
        peer = SimpleNamespace(
            connected=True, tag_bytes=16, context=self._tx._srtp[0], protect=lambda plain: self._tx.protect(plain)
        )
        address = (0, self.socket.getsockname())
        session: Any = SimpleNamespace(id=name, peer=peer, ice=SimpleNamespace(address=address))
        agreed = Outgoing(96, 97 if rtx else None, True)
        self.seat = Seat("video", agreed, main)
        self.watching = Watching(session, {"video": self.seat}, 0, house, lambda watching: None)
        self.got: dict[int, bytes] = {}
        self.wire: dict[int, bytes] = {}
        self.headers: dict[int, rtp.Header] = {}
        self.twice: list[int] = []

    def start(self, track: Track) -> None:
        """From the newest key frame, as a joiner who caught up."""
        packets = track.join()
        assert packets is not None
        lent = packets[0] if track.ring.get(packets[0].seq) is not packets[0] else None
        self.seat.start(track, packets[0].seq, lent)
        self.seat.burst_for(self.watching.session, packets)
        self.seat.join(self.watching.session)

    def take(self, protected: bytes) -> None:
        number, seq = protected[1] & 127, int.from_bytes(protected[2:4], "big")
        if number == 96 and self.wire.setdefault(seq, protected) != protected:
            self.twice.append(seq)
        try:
            header = rtp.parse(self._rx.unprotect(protected))
        except pylibsrtp.Error:
            return  # the same number again, without RTX: libsrtp's receiver knows it
        assert header is not None
        if number == 97:
            header = header._replace(seq=int.from_bytes(header.payload[:2], "big"), payload=header.payload[2:])
        if self.got.setdefault(header.seq, header.payload) != header.payload:
            self.twice.append(header.seq)
        self.headers[header.seq] = header

    def read(self) -> None:
        while True:
            try:
                protected = self.socket.recv(2048)
            except BlockingIOError:
                return
            self.take(protected)

    def in_order(self) -> list[rtp.Header]:
        """By her numbers, from her first."""
        first = next(iter(self.headers))
        return [self.headers[seq] for seq in sorted(self.headers, key=lambda seq: (seq - first + 0x4000) & 0xFFFF)]

    def close(self) -> None:
        self.socket.close()


class Hall:
    """A picture in two sizes, viewers, and a clock that stands still until told."""

    def __init__(self, codec: str, *, sets: bool = True, reports: bool = True, seq: int = 65_500) -> None:
        self.now_ms = 1000
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.counters = Counters()
        fanout = Fanout([self.out], self.counters)
        port: Any = SimpleNamespace(send=self._resent)
        self.house = House(port, fanout, lambda: self.now_ms, lambda: self.now_ms)
        self.big = Stream("f", codec, seq, 0xFFFFFFFF - 900_000, sets=sets, reports=reports)
        self.small = Stream("q", codec, 100, 5_000, sets=sets, reports=reports)
        self.main = Lane(Track("video", FORMATS[codec]), self.house, lambda lane, packets: self.ladder.flushed(lane))
        self.asked: list[Layer | None] = []
        self.ladder = Ladder(self.main, self.house, self.asked.append, lambda lane, packets: None)
        self.guests: list[Guest] = []
        self.late: list[tuple[Stream, rtp.Header, bool]] = []
        source: Any = SimpleNamespace(
            forwarded=lambda kind: self.big.layer, layers={1: self.big.layer, 2: self.small.layer}
        )
        self.source = source
        self.big.layer.usual_kbps, self.small.layer.usual_kbps = 2000, 300

    def guest(self, **more: Any) -> Guest:
        made = Guest(f"guest{len(self.guests)}", self.house, self.main, **more)
        self.guests.append(made)
        made.start(self.main.track)
        return made

    def feed(self, stream: Stream, header: rtp.Header, key: bool) -> None:
        stream.layer.last_ms = self.now_ms
        if stream is self.big:
            self.main.layer = stream.layer
            packet = self.main.track.take(header, key, self.now_ms)
            if packet is not None:
                self.main.put(packet)
        else:
            self.ladder.lower(stream.layer, header, key)

    def frame(self, stream: Stream, *, key: bool = False, lose: int | None = None, late: int | None = None) -> None:
        for place, (header, starts) in enumerate(stream.frame(self.now_ms, key=key)):
            if place == late:
                self.late.append((stream, header, starts))
            elif place != lose:
                self.feed(stream, header, starts)

    def both(self, *, key: bool = False) -> None:
        self.frame(self.big, key=key)
        self.frame(self.small, key=key)
        self.pass_ms(33)

    def come(self) -> None:
        """What was late is here."""
        waiting, self.late = self.late, []
        for stream, header, key in waiting:
            self.feed(stream, header, key)

    def send_to(self, guest: Guest, place: int) -> None:
        self.ladder._listed_ms = None
        self.ladder._send_to(guest.watching, self.ladder.rungs(self.source, self.now_ms)[place])

    def pass_ms(self, step: int) -> None:
        self.now_ms += step
        self.ladder.tick(self.now_ms)

    def end(self) -> None:
        self.main.flush()
        for lane in self.ladder._rungs.values():
            lane.flush()
        for guest in self.guests:
            guest.read()

    def close(self) -> None:
        self.main.close()
        self.ladder.close()
        self.out.close()
        for guest in self.guests:
            guest.close()

    def _resent(self, session: Any, protected: bytes) -> None:
        next(guest for guest in self.guests if guest.watching.session is session).take(protected)


def layer_of(header: rtp.Header) -> str:
    """Which layer's mark it has; "" for parameter sets made for her."""
    mark = header.payload[-6:-5]
    return mark.decode() if mark in (b"f", b"q") else ""


def hold(guest: Guest, codec: str, *, whole: bool = False) -> list[str]:
    """The laws, over all she got. The layers she saw, in order, each stretch once."""
    assert guest.twice == [], "one number with two contents"
    seen = guest.in_order()
    assert len({header.ssrc for header in seen if header.payload_type == 96}) == 1
    layers: list[str] = []
    for before, now in pairwise(seen):
        gap = now.seq - before.seq & 0xFFFF
        step = (now.timestamp - before.timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        assert 0 < gap < 100
        assert gap == 1 or not whole, f"{gap - 1} numbers left out before {now}"
        assert step >= 0, f"time goes back at {now}"
        if gap == 1 and before.marker:
            assert step > 0, "two frames under one timestamp"
    for header in seen:
        layer = layer_of(header)
        if layer and (not layers or layers[-1] != layer):
            layers.append(layer)
            if whole:
                place = seen.index(header)
                first = seen[place - 1] if place and not layer_of(seen[place - 1]) else header
                assert starts_key_frame(codec, first.payload), "a switch begins with a key frame"
    if codec != "H264" and whole:
        ids = [picture_ids(codec, header.payload) for header in seen]
        pictures = [found.picture for found in ids if found.picture is not None]
        assert all((b - a & 0x7FFF) in (0, 1) for a, b in pairwise(pictures)), "picture ids jump"
        tl0 = [found.tl0 for found in ids if found.tl0 is not None]
        assert all((b - a & 0xFF) in (0, 1) for a, b in pairwise(tl0)), "TL0PICIDX jumps"
    return layers


# ---- one by one --------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["H264", "VP8", "VP9"])
@pytest.mark.parametrize("reports", [True, False], ids=["sender reports", "arrival"])
@pytest.mark.parametrize("sets", [True, False], ids=["sets with each key", "sets once"])
async def test_a_viewer_goes_down_and_up_again_without_a_gap(codec: str, reports: bool, sets: bool) -> None:
    hall = Hall(codec, sets=sets, reports=reports)
    hall.both(key=True)
    her, him = hall.guest(), hall.guest()
    for _ in range(3):
        hall.both()
    hall.send_to(her, 0)
    assert hall.asked[-1] is hall.small.layer, "its key frame was asked for"
    hall.both()
    assert her.seat.lane is hall.main, "not before a key frame"
    hall.both(key=True)
    assert her.seat.lane is not hall.main
    for _ in range(40):
        hall.both()
    hall.send_to(her, 1)
    hall.both()
    hall.both(key=True)
    hall.both()
    hall.end()
    assert hold(her, codec, whole=True) == ["f", "q", "f"]
    assert hold(him, codec, whole=True) == ["f"]
    assert len(him.headers) == 3 * hall.big.frames
    assert (hall.counters.refused, hall.counters.dropped) == (0, 0)
    if reports:
        # Both layers took a picture at the same time: after the switch hers are where they belong.
        last = her.in_order()[-1].timestamp
        assert abs((last - him.in_order()[-1].timestamp + 0x8000 & 0xFFFF) - 0x8000) <= 3000
    hall.close()


async def test_a_switch_waits_for_the_end_of_a_frame_but_not_for_a_lane_that_fell_silent() -> None:
    hall = Hall("H264")
    hall.both(key=True)
    her = hall.guest()
    hall.send_to(her, 0)
    for header, key in hall.big.frame(hall.now_ms, key=False)[:2]:
        hall.feed(hall.big, header, key)
    hall.main.flush()
    hall.frame(hall.small, key=True)
    assert her.seat.lane is hall.main, "in the middle of a frame"
    hall.pass_ms(ladder_module.SILENT_MS + 1)
    assert her.seat.lane is not hall.main
    hall.end()
    assert hold(her, "H264", whole=True) == ["f", "q"]
    hall.close()


async def test_a_switch_waits_for_a_frame_of_which_nothing_has_left_yet() -> None:
    hall = Hall("H264")
    hall.both(key=True)
    her = hall.guest()
    hall.send_to(her, 0)
    *begun, (last, key) = hall.big.frame(hall.now_ms, key=False)
    for header, starts in begun:
        hall.feed(hall.big, header, starts)  # they wait for the rest of their frame
    hall.frame(hall.small, key=True)
    assert her.seat.lane is hall.main, "in the middle of a frame"
    hall.feed(hall.big, last, key)
    assert her.seat.lane is not hall.main
    hall.end()
    assert hold(her, "H264", whole=True) == ["f", "q"]
    hall.close()


async def test_who_goes_to_a_key_frame_that_is_still_coming_gets_it_once() -> None:
    hall = Hall("H264")
    hall.both(key=True)
    her = hall.guest()
    hall.send_to(her, 0)
    hall.both(key=True)
    hall.send_to(her, 1)
    *begun, (last, key) = hall.big.frame(hall.now_ms, key=True)
    for header, starts in begun:
        hall.feed(hall.big, header, starts)
    hall.frame(hall.small)
    hall.feed(hall.big, last, key)
    hall.end()
    assert hold(her, "H264", whole=True) == ["f", "q", "f"]
    payloads = [header.payload for header in her.in_order()]
    assert len(payloads) == len(set(payloads)), "a packet twice, under two numbers"
    hall.close()


async def test_sound_alone_and_back_goes_on_in_the_same_numbers() -> None:
    hall = Hall("VP8")
    hall.both(key=True)
    her = hall.guest()
    hall.both()
    hall.ladder._leaving[her.watching] = None
    hall.pass_ms(20)
    assert her.watching.paused
    for _ in range(100):
        hall.both()
    hall.send_to(her, 0)
    hall.both(key=True)
    hall.both()
    hall.end()
    assert not her.watching.paused
    assert hold(her, "VP8", whole=True) == ["f", "q"]
    before, after = [header for header in her.in_order() if header.marker][1:3]
    passed_ms = (after.timestamp - before.timestamp & 0xFFFFFFFF) / 90
    assert passed_ms == pytest.approx(101 * 33 + 20, abs=70), "the pause is in the timestamps"
    hall.close()


async def test_what_she_lost_before_a_switch_comes_from_the_ring_she_left() -> None:
    hall = Hall("VP8")
    hall.both(key=True)
    her = hall.guest()
    hall.both()
    lost = her.seat.span.seq_offset + hall.main.track.ring.newest & 0xFFFF  # type: ignore[union-attr,operator]
    hall.send_to(her, 0)
    hall.both(key=True)
    hall.both()
    hall.end()
    expected = her.got[lost]
    assert layer_of(her.headers[lost]) == "f", "the premise"
    resent = her.seat.resend(lost, hall.now_ms, 20)
    assert resent is not None
    assert resent[0].payload == expected
    hall.now_ms += 6000
    assert her.seat.resend(lost, hall.now_ms, 20) is None, "the number may be another packet's by now"
    hall.close()


async def test_a_late_packet_from_before_a_switch_does_not_reach_her_under_a_used_number() -> None:
    hall = Hall("H264")
    hall.both(key=True)
    her, him = hall.guest(rtx=False), hall.guest()
    hall.send_to(him, 0)
    hall.both(key=True)
    hall.send_to(her, 0)
    hall.frame(hall.big, late=1)
    hall.frame(hall.small, late=1)
    hall.pass_ms(33)
    hall.both(key=True)
    hall.both()
    hall.come()  # both are older than her first of the new size
    hall.end()
    assert hold(her, "H264") == ["f", "q"]
    before = len(him.headers)
    missed = next(a.seq + 1 & 0xFFFF for a, b in pairwise(him.in_order()) if b.seq - a.seq & 0xFFFF == 2)
    him.watching._resend(him.seat, missed, hall.now_ms)
    assert len(him.headers) == before + 1, "he who was there before gets it by asking"
    assert hall.counters.refused == 0
    hall.close()


async def test_those_who_switch_at_the_same_key_frame_share_a_layout() -> None:
    hall = Hall("VP8")
    hall.both(key=True)
    guests = [hall.guest() for _ in range(8)]
    for guest in guests:
        hall.send_to(guest, 0)
    hall.both(key=True)
    (lane,) = hall.ladder._rungs.values()
    assert lane.viewers == 8
    assert [len(groups) for groups in lane._groups.values() if groups] == [1]
    hall.end()
    hall.close()


async def test_a_rung_that_nobody_watches_costs_nothing_and_starts_at_a_key_frame_when_somebody_does() -> None:
    hall = Hall("H264")
    hall.both(key=True)
    her = hall.guest()
    hall.both(key=True)
    assert not hall.ladder._rungs
    hall.send_to(her, 0)
    hall.both(key=True)
    (lane,) = hall.ladder._rungs.values()
    hall.send_to(her, 1)
    hall.both(key=True)
    hall.both()
    taken = lane.track.packets
    for _ in range(5):
        hall.both()
    assert lane.track.packets == taken
    hall.send_to(her, 0)
    hall.both()
    assert lane.track.packets == taken, "from the middle of a GOP nothing is taken"
    hall.both(key=True)
    hall.both()
    hall.end()
    assert hold(her, "H264", whole=True) == ["f", "q", "f", "q"]
    hall.close()


# ---- in any order ------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["both", "key", "big", "small", "lossy", "late", "come", "down", "up", "pause", "wait"]),
        st.integers(0, 2),
    ),
    min_size=5,
    max_size=80,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    STEPS, st.sampled_from(["H264", "VP8", "VP9"]), st.booleans(), st.booleans(), st.sampled_from([0, 32_700, 65_500])
)
async def test_the_laws_hold_in_any_order(
    steps: list[tuple[str, int]], codec: str, sets: bool, reports: bool, seq: int
) -> None:
    hall = Hall(codec, sets=sets, reports=reports, seq=seq)
    try:
        hall.both(key=True)
        guests = [hall.guest(rtx=index > 0) for index in range(3)]
        for what, number in steps:
            guest = guests[number]
            if what in ("both", "key"):
                hall.both(key=what == "key")
            elif what in ("big", "small"):
                hall.frame(hall.big if what == "big" else hall.small, key=number == 0)
            elif what in ("lossy", "late"):
                place = {"lose" if what == "lossy" else "late": number}
                hall.frame(hall.big, **place)
                hall.frame(hall.small, **place)
                hall.pass_ms(33)
            elif what == "come":
                hall.come()
            elif what in ("down", "up"):
                hall.send_to(guest, 0 if what == "down" else 1)
            elif what == "pause":
                hall.ladder._forget(guest.watching)
                hall.ladder._leaving[guest.watching] = None
            hall.pass_ms(1 + 7 * number)
            newest = guest.seat.span.track.ring.newest if guest.seat.span is not None else None
            if newest is not None and guest.seat.span is not None:
                # She asks for what she may have missed, before and after a switch.
                for back in (1, 2, 5, 9):
                    guest.watching._resend(guest.seat, newest - back + guest.seat.span.seq_offset & 0xFFFF, hall.now_ms)
        hall.end()
        for guest in guests:
            hold(guest, codec)
        assert hall.counters.refused == 0
    finally:
        hall.close()
