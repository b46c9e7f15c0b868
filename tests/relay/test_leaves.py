"""The pure parts of the relay, each on its own."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.relay import rtcp, rtp, stun
from live.relay.codecs import Pictures, parameter_sets, stap, starts_key_frame
from live.relay.fanout import runs, seal
from live.relay.ice import IceLite
from live.relay.numbering import Numbering
from live.relay.reception import Gaps, Reception
from live.relay.ring import SIZE, Ring
from live.relay.rtp import Packet
from live.relay.sdp import Format, Outgoing
from live.relay.source import Throttle
from live.relay.track import Track
from live.relay.viewer import MAX_RESENDS, RESENDS_BURST, RESENDS_S, Outlet, Reports

H264 = Format("H264", 90000, {"packetization-mode": "1", "profile-level-id": "42e01f"})
SPS, PPS, IDR, P_SLICE = b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80", b"\x65\x88\x84", b"\x41\x9a\x00"


def header(seq: int, timestamp: int, payload: bytes, marker: bool = True) -> rtp.Header:
    return rtp.Header(marker, 102, seq, timestamp, 7, {}, payload)


# ---- RTP ---------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parsers(packet: bytes) -> None:
    rtp.parse(packet)
    rtcp.parse(packet)
    stun.parse_check(packet)
    rtcp.parse(b"\x81\xcd" + packet)
    stun.parse_check(b"\x00\x01" + struct.pack("!HI", max(0, len(packet) - 12), stun.COOKIE) + packet)
    for codec in ("H264", "VP8", "VP9", "AV1"):
        starts_key_frame(codec, packet)
    parameter_sets(packet)
    for codec in ("VP8", "VP9"):
        Pictures().rewrite(codec, packet)


def test_extensions_and_padding_are_left_out_of_the_payload() -> None:
    one_byte = b"\xbe\xde\x00\x01" + b"\x32abc"  # id 3, three bytes
    packet = struct.pack("!BBHII", 0xB0, 0x80 | 96, 5, 6, 7) + one_byte + b"body" + b"\0\0\x03"
    found = rtp.parse(packet)
    assert found is not None
    assert found.extensions == {3: b"abc"}
    assert found.payload == b"body"
    assert found.marker
    assert rtp.parse(packet[:11]) is None
    assert rtp.parse(packet[:-1] + b"\xff") is None, "padding longer than the packet"


def test_a_built_packet_parses_back_with_its_padding_stripped() -> None:
    packet = Packet(65535, 2**32 - 1, 0x80, b"picture")
    packet.pad = 20
    built = rtp.build(packet, payload_type=102, ssrc=9, seq=packet.seq, timestamp=packet.timestamp)
    assert len(built) == 12 + 7 + 20
    assert rtp.parse(built) == rtp.Header(True, 102, 65535, 2**32 - 1, 9, {}, b"picture")
    resent = rtp.parse(rtp.build_rtx(packet, payload_type=103, ssrc=10, seq=1, timestamp=5, original=65535))
    assert resent is not None
    assert resent.payload == b"\xff\xffpicture", "no padding goes into a resend"


# ---- key frames --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "payload", "expected"),
    [
        ("H264", SPS, True),
        ("H264", IDR, True),
        ("H264", stap([SPS, PPS]), True),
        ("H264", stap([PPS, IDR]), True),
        ("H264", stap([b"\x06sei", P_SLICE]), False),
        ("H264", b"\x7c\x85rest", True),  # FU-A, start of an IDR
        ("H264", b"\x7c\x05rest", False),  # FU-A, its middle
        ("H264", b"\x7c\x81rest", False),  # FU-A, start of a P slice
        ("H264", P_SLICE, False),
        ("H264", b"", False),
        ("VP8", b"\x10\x00", True),
        ("VP8", b"\x10\x01", False),
        ("VP8", b"\x00\x00", False),  # not the start of a partition
        ("VP8", b"\x90\xf0\x92\x34\x05\x60\x00", True),  # 15-bit picture id, TL0PICIDX, TID
        ("VP8", b"\x90\xf0\x92\x34\x05\x60\x01", False),
        ("VP9", b"\x88\x81", True),
        ("VP9", b"\xc8\x81", False),
        ("AV1", b"\x18\x0a", True),
        ("AV1", b"\x10\x0a", False),
        ("H266", IDR, False),
    ],
)
def test_a_key_frame_is_told_from_its_first_payload(codec: str, payload: bytes, expected: bool) -> None:
    assert starts_key_frame(codec, payload) is expected


def test_vp8_picture_ids_go_on_over_a_switch_and_around_the_wrap() -> None:
    def payload(picture: int, tl0: int) -> bytes:
        return b"\x90\xe0" + struct.pack("!HBB", picture | 0x8000, tl0, 0x20) + b"\x00"

    def ids(out: bytes) -> tuple[int, int]:
        return int.from_bytes(out[2:4], "big") & 0x7FFF, out[4]

    pictures = Pictures()
    assert ids(pictures.rewrite("VP8", payload(32766, 254))) == (32766, 254)
    assert ids(pictures.rewrite("VP8", payload(32767, 255))) == (32767, 255)
    pictures.switch()
    assert ids(pictures.rewrite("VP8", payload(500, 9))) == (0, 0)
    assert ids(pictures.rewrite("VP8", payload(501, 10))) == (1, 1)
    assert pictures.rewrite("VP8", b"\x10\x00") == b"\x10\x00"


# ---- numbering ---------------------------------------------------------------------------------


def test_numbers_go_on_over_a_publishers_return_and_around_the_wrap() -> None:
    numbering = Numbering(90000, 65534, 1000)
    assert numbering.place(40000, 7_000, 0) == (65534, 1000)
    assert numbering.place(40001, 10_000, 33) == (65535, 4000)
    assert numbering.place(40002, 13_000, 66) == (0, 7000)
    numbering.switch()
    seq, timestamp = numbering.place(3, 0xFFFFFFF0, 2066) or (-1, -1)
    assert seq == 1
    assert timestamp == 7000 + 2000 * 90, "the pause is in the timestamps"
    assert numbering.place(2, 0, 2070) is None, "from before the new source's first packet"
    assert numbering.place(5, 0xFFFFFFF0 + 3000 & 0xFFFFFFFF, 2100) == (3, 7000 + 2000 * 90 + 3000)
    assert numbering.place(4, 0xFFFFFFF0, 2101) == (2, 7000 + 2000 * 90), "late, but in its place"


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(1, 300_000))
def test_a_long_stream_never_repeats_or_skips_a_number(first: int, start: int, length: int) -> None:
    numbering = Numbering(90000, first, 0)
    step = max(1, length // 200)  # holes stay holes
    for index in range(0, length, min(step, 1000)):
        placed = numbering.place(start + index & 0xFFFF, index * 10 & 0xFFFFFFFF, index)
        assert placed is not None
        assert placed[0] == first + index & 0xFFFF


# ---- the ring and the joiner -------------------------------------------------------------------


def test_a_joiner_starts_at_the_newest_key_frame() -> None:
    track = Track("video", H264)
    assert track.join() is None
    assert track.take(header(1, 0, P_SLICE), False, 0) is None, "nothing is shown before the first key frame"
    for seq, payload in enumerate([SPS, PPS, IDR], 2):
        track.take(header(seq, 3000, payload, payload is IDR), payload is not PPS, 10)
    track.take(header(5, 6000, P_SLICE), False, 43)
    joined = track.join()
    assert joined is not None
    assert [packet.payload for packet in joined] == [SPS, PPS, IDR, P_SLICE]
    assert [b.seq - a.seq for a, b in pairwise(joined)] == [1, 1, 1]
    assert joined[0].seq < 32768


def test_parameter_sets_sent_only_once_come_with_every_join() -> None:
    track = Track("video", H264)
    for seq, (timestamp, payload) in enumerate([(0, stap([SPS, PPS])), (0, IDR), (3000, P_SLICE), (6000, IDR)]):
        track.take(header(seq, timestamp, payload), starts_key_frame("H264", payload), seq)
    joined = track.join()
    assert joined is not None
    assert [packet.payload for packet in joined] == [stap([SPS, PPS]), IDR]
    assert joined[1].seq - joined[0].seq == 1


def test_a_key_frame_that_left_the_ring_is_no_start() -> None:
    ring = Ring()
    ring.put(Packet(10, 0, 0, IDR, True))
    ring.start_at(10)
    assert ring.playable_from() == 10
    for seq in range(11, 10 + SIZE + 1):
        ring.put(Packet(seq, 0, 0, P_SLICE))
    assert ring.playable_from() is None
    assert ring.get(10) is None


def test_the_same_number_never_carries_other_bytes() -> None:
    track = Track("video", H264)
    first = track.take(header(1, 0, IDR), True, 0)
    assert first is not None
    assert track.take(header(1, 0, b"\x65other"), True, 1) is None
    assert track.ring.get(first.seq) is first


# ---- the viewer --------------------------------------------------------------------------------


def filled(first: int, count: int) -> Track:
    """A track that sent `count` packets from number `first` on."""
    track = Track("video", H264)
    track.numbering = Numbering(90000, first & 0xFFFF, 0)
    for index in range(count):
        packet = track.take(header(index, index * 3000, IDR if index == 0 else P_SLICE), index == 0, index)
        assert packet is not None
        packet.sealed = True
    return track


def outlet(first: int = 5000) -> Outlet:
    made, track = Outlet(Outgoing(102, 103, True), 1, 2), Track("video", H264)
    track.numbering = Numbering(90000, first & 0xFFFF, 0)
    made.start(track, first & 0xFFFF)
    for index in range(50):
        packet = track.take(header(index, index * 3000, IDR if index == 0 else P_SLICE), index == 0, index)
        assert packet is not None
        packet.sealed = True
    return made


def test_a_viewers_first_number_is_below_32768() -> None:
    span = outlet(5000).span
    assert span is not None
    assert span.seq_offset == 0
    high = outlet(40000)
    assert high.span is not None
    assert 40000 + high.span.seq_offset & 0xFFFF == 7232
    packet = high.resend(7232, 0, 50)
    assert packet is not None
    assert packet[0].seq == 40000, "she asks by her own numbers"


def test_a_packet_is_resent_three_times_at_most_and_not_twice_in_a_round_trip() -> None:
    viewer = outlet()
    assert viewer.resend(5010, 0, 50) is not None
    assert viewer.resend(5010, 49, 50) is None
    for attempt in range(1, MAX_RESENDS):
        assert viewer.resend(5010, attempt * 50, 50) is not None
    assert viewer.resend(5010, MAX_RESENDS * 50 - 1, 50) is None
    assert viewer.given_up == 0, "the last one may be on its way still"
    assert viewer.resend(5010, 10_000, 50) is None
    assert viewer.given_up == 1
    assert viewer.resend(4999, 0, 50) is None, "from before she came"
    assert viewer.resend(5100, 0, 50) is None, "not sent yet"
    assert viewer.resent == MAX_RESENDS


def test_resends_go_on_however_long_she_stays() -> None:
    viewer = outlet(5000)
    assert viewer.span is not None
    track = viewer.span.track
    for index in range(50, 80_000):
        packet = track.take(header(index & 0xFFFF, index * 3000 & 0xFFFFFFFF, P_SLICE), False, index)
        assert packet is not None
        packet.sealed = True
        if index % 5000 == 0:
            assert viewer.resend(5000 + index - 20 & 0xFFFF, index, 20) is not None, f"after {index} packets"


def test_a_viewer_who_asks_for_everything_again_gets_a_bounded_part_of_it() -> None:
    track, viewer = filled(5000, 3000), Outlet(Outgoing(102, 103, True), 1, 2)
    viewer.start(track, 5000)
    for round_trip in range(50):
        for seq in range(5000, 8000):
            viewer.resend(seq, 20 * round_trip, 20)
    assert RESENDS_BURST <= viewer.resent <= RESENDS_BURST + RESENDS_S
    asked = rtcp.nack(1, 2, list(range(0, 6000)))
    assert len(rtcp.parse(asked).nacks) < rtcp.MAX_NACKS + 17


def test_a_packet_that_has_not_left_is_not_resent() -> None:
    track, viewer = filled(5000, 5), Outlet(Outgoing(102, None, True), 1, 2)
    viewer.start(track, 5000)
    waiting = track.ring.get(5004)
    assert waiting is not None
    waiting.sealed = False
    assert viewer.resend(5004, 0, 20) is None, "its padding may still change, and its bytes with it"
    assert viewer.resend(5003, 0, 20) is not None


def test_a_joiners_own_parameter_sets_never_share_a_number_with_another_packet() -> None:
    track = Track("video", H264)
    for number, payload in enumerate((SPS, PPS, IDR, P_SLICE)):
        track.take(header(number, 0, payload), payload != P_SLICE, 0)
    track.take(header(6, 9000, IDR), True, 100)  # 4 is still on its way, 5 is lost
    joined = track.join()
    assert joined is not None
    lent = joined[0]
    viewer = Outlet(Outgoing(102, None, True), 1, 2)  # no RTX: a resend has the number of the first sending
    viewer.start(track, lent.seq, lent)
    assert track.take(header(5, 3000, P_SLICE), False, 120) is None, "5 came late, and its number is taken for her"
    assert track.take(header(4, 3000, P_SLICE), False, 120) is not None
    for packet in joined:
        packet.sealed = True
    offset = viewer.span.seq_offset if viewer.span is not None else 0
    resent = [viewer.resend(packet.seq + offset & 0xFFFF, 130, 20) for packet in joined[:2]]
    assert [found[0] for found in resent if found] == joined[:2]


def test_round_trip_comes_from_the_report() -> None:
    reports = Reports()
    now = rtcp.ntp_of(1_750_000_000_000) >> 16 & 0xFFFFFFFF
    block = rtcp.Report(1, 13, 5, 0, 0, now - 65536 & 0xFFFFFFFF, 65536 - 6554)
    reports.heard(block, now, 0)
    assert reports.rtt_ms == 100
    assert reports.fraction_lost == {1: 13}


# ---- fan-out -----------------------------------------------------------------------------------


def made(*sizes: int) -> list[Packet]:
    return [Packet(index, 0, 0, bytes(size)) for index, size in enumerate(sizes)]


def test_a_frame_becomes_few_runs_of_equal_length() -> None:
    cut = list(runs(made(20, 4, 1200, 1200, 1200, 300, 20)))
    assert [[len(p.payload) for p in run] for run in cut] == [[20, 4], [1200, 1200, 1200, 300], [20]]
    for run in cut:
        seal(run)
    assert [p.pad for p in cut[0]] == [0, 0]


def test_padding_makes_small_differences_equal() -> None:
    (run,) = runs(made(1000, 1100, 1180, 1190))
    seal(run)
    assert [len(p.payload) + p.pad for p in run] == [1190] * 4
    assert all(p.pad <= 255 for p in run)


@given(st.lists(st.integers(1, 1400), min_size=1, max_size=200))
def test_runs_keep_order_and_every_packet_and_fit_a_datagram(sizes: list[int]) -> None:
    packets = made(*sizes)
    cut = list(runs(packets))
    assert [packet for run in cut for packet in run] == packets
    for run in cut:
        seal(run)
        lengths = [len(p.payload) + p.pad for p in run]
        assert len(set(lengths[:-1])) <= 1
        assert lengths[-1] <= lengths[0]
        assert all(0 <= p.pad <= 255 for p in run)
        assert sum(length + 28 for length in lengths) <= 65_000
    pads = [p.pad for p in packets]
    for run in runs(packets):  # a joiner gets them again, cut anew
        seal(run)
    assert [p.pad for p in packets] == pads, "padding changed after it was sent"


# ---- reception ---------------------------------------------------------------------------------


def test_gaps_are_asked_for_after_a_moment_and_again_after_a_round_trip() -> None:
    gaps = Gaps()
    for seq in (65534, 65535, 2, 3):
        gaps.took(seq, 0)
    assert gaps.due(5, 50) == [], "perhaps only reordered"
    assert gaps.due(10, 50) == [0, 1]
    gaps.took(0, 20)
    assert gaps.due(40, 50) == []
    assert gaps.due(60, 50) == [1]
    assert gaps.due(5000, 50) == []
    assert gaps.given_up == 1
    assert len(gaps) == 0


def test_a_wide_gap_is_a_new_start_and_costs_no_memory() -> None:
    gaps = Gaps()
    gaps.took(1, 0)
    gaps.took(20_000, 0)
    assert gaps.due(100, 50) == []


def test_the_report_says_what_was_lost_since_the_last() -> None:
    reception = Reception(7, 90000)
    for seq in (65530, 65531, 65533, 65535, 1):
        reception.take(seq, seq * 3000, 100, seq)
    report = reception.report(0)
    assert report.highest == 65536 + 1
    assert report.lost == 3
    assert report.fraction_lost == 3 * 256 // 8
    assert reception.report(0).fraction_lost == 0


def test_one_key_frame_request_a_period_however_many_join() -> None:
    throttle = Throttle(700)
    assert sum(throttle.ready(ms) for ms in range(0, 2100, 10)) == 3


# ---- RTCP --------------------------------------------------------------------------------------


def test_what_we_write_we_read() -> None:
    missing = [65530, 65531, 65535, 3, 9, 40]
    compound = (
        rtcp.receiver_report(1, [rtcp.Report(7, 12, -5, 70000, 3, 4, 5)])
        + rtcp.nack(1, 7, missing)
        + rtcp.pli(1, 7)
        + rtcp.remb(1, 2_500_000, [7, 8])
        + rtcp.sender_report(9, 1 << 63, 90_000, 3, 400)
        + rtcp.description(9, "frontrow")
    )
    said = rtcp.parse(compound)
    assert said.reports == [rtcp.Report(7, 12, -5, 70000, 3, 4, 5)]
    assert said.nacks == [(7, seq) for seq in missing]
    assert said.keyframe == [7]
    assert said.senders == [rtcp.SenderInfo(9, 1 << 63, 90_000, 3, 400)]
    assert said.remb_bps is not None
    assert abs(said.remb_bps - 2_500_000) < 16
    assert len(compound) % 4 == 0
    assert rtcp.ms_of(rtcp.ntp_of(1_750_000_000_123)) == pytest.approx(1_750_000_000_123, abs=1)


# ---- ICE ---------------------------------------------------------------------------------------


def check_from(ice: IceLite, password: str | None = None, *, nominate: bool = True) -> stun.Check:
    credentials = ice.generation
    packet = stun.request(
        "them", credentials.ufrag, (password or credentials.password).encode(), bytes(12), nominate=nominate
    )
    check = stun.parse_check(packet)
    assert check is not None
    return check


def test_only_an_authentic_check_is_believed() -> None:
    ice = IceLite("them", 0)
    assert ice.believe(check_from(ice, "guess"), 5) is None
    assert ice.heard_ms == 0
    assert ice.believe(check_from(ice), 5) is not None
    assert ice.heard_ms == 5
    assert not ice.lapsed(20_005)
    assert ice.lapsed(20_006)


def test_a_check_altered_on_the_way_is_refused() -> None:
    ice = IceLite("them", 0)
    packet = bytearray(stun.request("them", ice.current.ufrag, ice.current.password.encode(), bytes(12), nominate=True))
    packet[-36] ^= 1  # inside what the integrity covers
    check = stun.parse_check(bytes(packet))
    assert check is None or ice.believe(check, 1) is None


def test_the_address_moves_by_nomination_only() -> None:
    ice = IceLite("them", 0)
    assert ice.follow(check_from(ice, nominate=False), (0, ("192.0.2.1", 1)))
    assert not ice.follow(check_from(ice, nominate=False), (0, ("192.0.2.2", 2)))
    assert ice.address == (0, ("192.0.2.1", 1))
    assert ice.follow(check_from(ice), (0, ("192.0.2.2", 2)))
    assert ice.address == (0, ("192.0.2.2", 2))


def test_a_restart_that_nobody_uses_leaves_the_old_generation_alive() -> None:
    ice = IceLite("them", 0)
    old = check_from(ice)
    ice.restart("them")
    assert ice.believe(old, 1) is not None
    new = check_from(ice)
    assert ice.believe(new, 2) is not None
    assert ice.coming is None
    assert ice.believe(old, 3) is None, "the new one is in use: the old one is over"
