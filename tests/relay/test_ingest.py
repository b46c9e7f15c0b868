"""The publisher's side, bytes in and bytes out: what she is reported, asked for again, and told about her rate."""

from __future__ import annotations

import struct

import pytest

from live.relay import rtcp
from live.relay.ingest import FIRST_RTT_MS, Ingest
from live.relay.sdp import Format, Incoming, Kind
from live.relay.source import KEY_EVERY_MS, Layer

VIDEO = Format("H264", 90000, {"packetization-mode": "1"})
OPUS = Format("OPUS", 48000, {})
FORMATS: dict[int, tuple[Kind, Format]] = {102: ("video", VIDEO), 111: ("audio", OPUS)}
RID, REPAIRED_RID = 4, 5
IDR, P_SLICE = b"\x65\x88", b"\x41\x9a"


class Desk:
    """An `Ingest` with a clock, a line that loses what it is told to, and what went upstream."""

    def __init__(self, *, rtx: bool = True, rids: list[str] | None = None, max_kbps: int = 4000) -> None:
        incoming = Incoming(FORMATS, {103: 102} if rtx else {}, RID, REPAIRED_RID, rids or [], {})
        self.said: list[rtcp.Feedback] = []
        self.ingest = Ingest(incoming, ssrc=1, max_kbps=max_kbps, send_rtcp=lambda c: self.said.append(rtcp.parse(c)))
        self.forwarded: list[tuple[Layer, int, bytes, bool]] = []
        self.lower: list[tuple[str, int]] = []
        self.ingest.forward = lambda layer, header, key, switched: self.forwarded.append(
            (layer, header.seq, header.payload, switched)
        )
        self.ingest.lower = lambda layer, header, key: self.lower.append((layer.rid, header.seq))
        self.now_ms = 0

    def video(self, seq: int, payload: bytes = P_SLICE, *, ssrc: int = 7, rid: str = "", timestamp: int = 0) -> None:
        self.packet(102, seq, payload, ssrc=ssrc, timestamp=timestamp, extension=(RID, rid.encode()))

    def resend(self, seq: int, payload: bytes = P_SLICE, *, ssrc: int = 8, rid: str = "", own_seq: int = 0) -> None:
        extension = (REPAIRED_RID, rid.encode())
        self.packet(103, own_seq, struct.pack("!H", seq) + payload, ssrc=ssrc, extension=extension)

    def packet(
        self, number: int, seq: int, payload: bytes, *, ssrc: int, timestamp: int = 0,
        extension: tuple[int, bytes] = (0, b""),
    ) -> None:  # fmt: skip
        name, value = extension
        more = b""
        if value:
            block = bytes((name << 4 | len(value) - 1,)) + value
            block += bytes(-len(block) % 4)
            more = struct.pack("!HH", 0xBEDE, len(block) // 4) + block
        head = struct.pack("!BBHII", 0x80 | 0x10 * bool(more), 0x80 | number, seq & 0xFFFF, timestamp, ssrc)
        self.ingest.rtp(head + more + payload, self.now_ms)

    def pass_ms(self, total: int, step: int = 20) -> None:
        for _ in range(0, total, step):
            self.now_ms += step
            self.ingest.tick(self.now_ms)

    def nacks(self) -> list[int]:
        return [seq for said in self.said for _, seq in said.nacks]

    def plis(self) -> list[int]:
        return [ssrc for said in self.said for ssrc in said.keyframe]

    def report(self, ssrc: int = 7) -> rtcp.Report:
        """The newest block about `ssrc`."""
        return [block for said in self.said for block in said.reports if block.ssrc == ssrc][-1]

    def remb_kbps(self) -> int:
        return [said.remb_bps for said in self.said if said.remb_bps is not None][-1] // 1000


# ---- reports -----------------------------------------------------------------------------------


def test_the_report_tells_the_true_loss_though_resends_healed_it() -> None:
    desk = Desk()
    for seq in range(100):
        if seq % 10 != 5:
            desk.video(seq, IDR if seq == 0 else P_SLICE)
    desk.pass_ms(40)
    assert desk.nacks() == list(range(5, 100, 10))
    for own_seq, seq in enumerate(range(5, 100, 10)):
        desk.resend(seq, own_seq=own_seq)
    desk.pass_ms(1000)
    assert sorted(seq for _, seq, _, _ in desk.forwarded) == list(range(100)), "viewers got all of it"
    assert desk.report().lost == 10
    assert desk.report().highest == 99


def test_the_report_tells_jitter_in_the_streams_own_clock() -> None:
    desk = Desk()
    for index in range(400):
        desk.now_ms = index * 33 + (10 if index % 2 else 0)
        desk.video(index, IDR if index == 0 else P_SLICE, timestamp=index * 33 * 90)
    desk.pass_ms(1000)
    assert desk.report().jitter == pytest.approx(10 * 90, rel=0.1), "RFC 3550 A.8: the mean of what differs"


def test_the_report_answers_the_senders_so_that_she_knows_the_round_trip() -> None:
    desk = Desk()
    desk.video(0, IDR)
    ntp = rtcp.ntp_of(1_750_000_000_000)
    desk.ingest.rtcp(rtcp.sender_report(7, ntp, 90, 1, 1), desk.now_ms, 1_750_000_000_040)
    desk.now_ms += 500
    desk.pass_ms(1020)
    assert desk.report().last_sr == ntp >> 16 & 0xFFFFFFFF
    assert desk.report().delay == pytest.approx(65536 * 1.5, rel=0.3)
    assert desk.ingest.clock_offset_ms == pytest.approx(40, abs=1)


# ---- NACK and RTX ------------------------------------------------------------------------------


def test_a_loss_is_asked_for_again_after_a_round_trip_which_resends_teach() -> None:
    desk = Desk()
    desk.video(0, IDR)
    for seq in range(2, 62, 2):  # thirty losses, each resent 200 ms after it was asked for
        desk.video(seq)
        desk.pass_ms(20)
        asked_ms = desk.now_ms
        assert seq - 1 in desk.nacks()
        desk.now_ms = asked_ms + 200
        desk.resend(seq - 1, own_seq=seq)
    assert desk.ingest.rtt_ms > FIRST_RTT_MS
    assert desk.ingest.rtt_ms == pytest.approx(200, abs=20)
    desk.said.clear()
    desk.video(62)
    desk.pass_ms(180)
    assert desk.nacks() == [61], "not twice within a round trip"
    desk.pass_ms(60)
    assert desk.nacks() == [61, 61]


def test_a_loss_that_nobody_resends_is_given_up_and_a_key_frame_asked_for() -> None:
    desk = Desk()
    desk.video(0, IDR)
    desk.video(2)
    desk.pass_ms(3000)
    asked = len(desk.nacks())
    assert 2 <= asked <= 8
    assert desk.plis() == [7]
    desk.pass_ms(3000)
    assert len(desk.nacks()) == asked


def test_sound_is_not_asked_for_again() -> None:
    desk = Desk()
    desk.packet(111, 0, b"opus", ssrc=9)
    desk.packet(111, 2, b"opus", ssrc=9)
    desk.pass_ms(500)
    assert desk.nacks() == [], "Opus conceals; a resend would come too late"
    assert [seq for _, seq, _, _ in desk.forwarded] == [0, 2]


def test_a_resend_is_unwrapped_into_its_stream() -> None:
    desk = Desk()
    desk.video(65535, IDR)
    desk.video(1)
    desk.resend(0, b"\x41lost")
    assert [(seq, payload) for _, seq, payload, _ in desk.forwarded] == [
        (65535, IDR),
        (1, P_SLICE),
        (0, b"\x41lost"),
    ]
    desk.packet(103, 9, b"", ssrc=8)  # padding that probes for bandwidth
    assert len(desk.forwarded) == 3


def test_resends_of_simulcast_find_their_layer_also_when_browsers_say_it_no_more() -> None:
    desk = Desk(rids=["q", "f"])
    for ssrc, rid in ((7, "q"), (17, "f")):
        desk.video(0, IDR, ssrc=ssrc, rid=rid)
        desk.video(3, ssrc=ssrc)
    desk.lower.clear()
    desk.resend(1, ssrc=18, rid="f")
    desk.resend(2, ssrc=18)
    desk.resend(1, ssrc=99)
    assert desk.lower == [("f", 1), ("f", 2)], "and one that never said whose it is belongs to nobody"


# ---- key frames --------------------------------------------------------------------------------


def test_key_frames_are_asked_for_once_a_period_and_layer_however_many_join() -> None:
    desk = Desk(rids=["q", "f"])
    desk.video(0, IDR, ssrc=7, rid="q")
    desk.video(0, P_SLICE, ssrc=17, rid="f")
    desk.said.clear()
    small, big = desk.ingest.layers[7], desk.ingest.layers[17]
    desk.now_ms = 10_000
    for _ in range(200):
        desk.now_ms += 10
        desk.ingest.want_key(desk.now_ms)
        desk.ingest.want_key(desk.now_ms, big)
    assert desk.ingest.forwarded("video") is small
    expected = 2000 // KEY_EVERY_MS + 1
    assert (desk.plis().count(7), desk.plis().count(17)) == (expected, expected)


# ---- the rate ----------------------------------------------------------------------------------


def test_the_rate_she_is_allowed_is_the_setting_and_falls_while_she_loses_packets() -> None:
    desk = Desk(max_kbps=2500)
    seq = 0

    def second(lost_of_ten: int) -> None:
        nonlocal seq
        for _ in range(100):
            if seq % 10 >= lost_of_ten or seq == 0:
                desk.video(seq, IDR if seq == 0 else P_SLICE)
            seq += 1
        desk.pass_ms(1000)

    second(0)
    assert desk.remb_kbps() == pytest.approx(2500, rel=0.01)
    for _ in range(5):
        second(3)
    low = desk.remb_kbps()
    assert low == pytest.approx(2500 * 0.85**5, rel=0.1)
    for _ in range(40):
        second(0)
    assert desk.remb_kbps() == pytest.approx(2500, rel=0.01), "and never above the setting"
    for _ in range(40):
        second(5)
    assert desk.remb_kbps() >= 300


# ---- layers ------------------------------------------------------------------------------------


def test_every_layer_is_taken_and_the_best_one_takes_over_at_its_key_frame() -> None:
    desk = Desk(rids=["q", "h", "f"])
    sizes = {"q": (7, 100), "h": (17, 300), "f": (27, 900)}
    for frame in range(90):
        for rid, (ssrc, size) in sizes.items():
            key = frame == 0 or (frame == 60 and rid == "f")
            desk.video(frame, (IDR if key else P_SLICE) + bytes(size), ssrc=ssrc, rid=rid)
        desk.pass_ms(40)
    assert {layer.rid for layer in desk.ingest.layers.values()} == set(sizes)
    switches = [(layer.rid, seq) for layer, seq, _, switched in desk.forwarded if switched]
    assert switches[0] == ("q", 0)
    assert switches[-1] == ("f", 60), "not before its key frame"
    assert 27 in desk.plis()
    assert {rid for rid, _ in desk.lower} == set(sizes)


def test_a_publisher_who_invents_streams_gets_no_more_memory() -> None:
    desk = Desk()
    for ssrc in range(100, 1100):
        desk.video(0, IDR, ssrc=ssrc)
        desk.resend(0, ssrc=ssrc + 10_000)
    assert len(desk.ingest.layers) <= 16
    assert len(desk.ingest._resending) <= 16
    assert desk.ingest.unknown > 900
