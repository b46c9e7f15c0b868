"""Packets to frames: whole ones only, in order, and nothing that a decoder can't show."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_made import Numbering, audio_rtp, h264_payloads, pictures, rtp, sounds, video_rtp

from live.relay.depacketise import (
    AUDIO_HZ,
    VIDEO_HZ,
    Frame,
    Frames,
    H264Frames,
    OpusFrames,
    Reorder,
    VP8Frames,
    opus_ticks,
    parse,
)


@pytest.fixture(scope="module")
def h264() -> list[bytes]:
    return pictures("h264", 2.0, gop=15)


@pytest.fixture(scope="module")
def vp8() -> list[bytes]:
    return pictures("vp8", 2.0, gop=15)


def frames_of(packets: list[bytes], maker: Frames, rate_hz: int = VIDEO_HZ) -> list[Frame]:
    order = Reorder(rate_hz)
    out = []
    for packet in packets:
        parsed = parse(packet)
        assert parsed is not None
        for ordered in order.push(parsed):
            out += maker.push(ordered)
    for ordered in order.flush():
        out += maker.push(ordered)
    return out


def bare(access_unit: bytes) -> list[bytes]:
    return [nal.rstrip(b"\0") for nal in access_unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if nal]


def test_h264_frames_come_out_as_they_went_in(h264: list[bytes]) -> None:
    packets = [sent.rtp for sent in video_rtp("h264", h264, Numbering())]
    assert len(packets) > 2 * len(h264), "no frame was big enough to be fragmented"
    frames = frames_of(packets, H264Frames())
    assert [sorted(bare(frame.payload)) for frame in frames] == [sorted(bare(unit)) for unit in h264]
    assert [number for number, frame in enumerate(frames) if frame.key] == [0, 15, 30, 45]
    steps = {later.ts - earlier.ts for earlier, later in pairwise(frames)}
    assert steps == {3000}, "the timestamp's wrap shows"


def test_vp8_frames_come_out_as_they_went_in(vp8: list[bytes]) -> None:
    frames = frames_of([sent.rtp for sent in video_rtp("vp8", vp8, Numbering())], VP8Frames())
    assert [frame.payload for frame in frames] == vp8
    assert [number for number, frame in enumerate(frames) if frame.key] == [0, 15, 30, 45]
    assert struct.unpack("<HH", frames[0].format) == (320, 240)


def test_opus_packets_come_out_as_they_went_in() -> None:
    packets = sounds(0.5)
    frames = frames_of([sent.rtp for sent in audio_rtp(packets, Numbering())], OpusFrames(), AUDIO_HZ)
    assert [frame.payload for frame in frames] == packets
    assert {frame.ticks for frame in frames} == {960}


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_packets_out_of_order_and_twice_change_nothing(codec: str, h264: list[bytes], vp8: list[bytes]) -> None:
    source = h264 if codec == "h264" else vp8
    packets = [sent.rtp for sent in video_rtp(codec, source, Numbering())]
    dice = random.Random(7)
    shuffled = [packets[0]]
    for start in range(1, len(packets), 8):
        part = packets[start : start + 8]
        dice.shuffle(part)
        shuffled += [*part, dice.choice(part)]
    make = H264Frames if codec == "h264" else VP8Frames
    assert frames_of(shuffled, make()) == frames_of(packets, make())


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_lost_packet_costs_the_frames_up_to_the_next_key_frame(
    codec: str, h264: list[bytes], vp8: list[bytes]
) -> None:
    source = h264 if codec == "h264" else vp8
    sent = video_rtp(codec, source, Numbering())
    lost = next(index for index, packet in enumerate(sent) if packet.at_s >= 20 / 30)
    packets = [packet.rtp for index, packet in enumerate(sent) if index != lost]
    maker = H264Frames() if codec == "h264" else VP8Frames()
    frames = frames_of(packets, maker)
    numbers = [round((frame.ts - Numbering().ts) / 3000) for frame in frames]
    assert numbers == [*range(20), *range(30, 60)]
    assert frames[20].key
    assert not maker.wants_key


def test_after_a_loss_a_key_frame_without_its_beginning_is_not_taken(h264: list[bytes]) -> None:
    sent = video_rtp("h264", h264, Numbering())
    begins = next(index for index, packet in enumerate(sent) if packet.at_s >= 0.5)
    packets = [packet.rtp for index, packet in enumerate(sent) if index != begins]  # frame 15's parameter sets
    maker = H264Frames()
    frames = frames_of(packets, maker)
    assert [round((frame.ts - Numbering().ts) / 3000) for frame in frames] == [*range(15), *range(30, 60)]


def test_nothing_comes_before_the_first_key_frame(h264: list[bytes]) -> None:
    sent = [packet.rtp for packet in video_rtp("h264", h264, Numbering()) if packet.at_s > 0.1]
    frames = frames_of(sent, H264Frames())
    assert frames[0].key
    assert len(frames) == 45


def test_parameter_sets_told_outside_the_stream_are_put_before_the_key_frame(h264: list[bytes]) -> None:
    sets = [nal for nal in bare(h264[0]) if nal[0] & 31 in (7, 8)]
    idr = [nal for nal in bare(h264[0]) if nal[0] & 31 == 5]
    packets, seq = [], 0
    for ts in (0, 3000):
        payloads = [payload for nal in idr for payload in h264_payloads(b"\0\0\1" + nal)]
        for number, payload in enumerate(payloads):
            packets.append(rtp(seq, ts, payload, marker=number == len(payloads) - 1))
            seq += 1
    assert not frames_of(packets, H264Frames()), "the premise: without its sets it can't be shown"
    frames = frames_of(packets, H264Frames(sets))
    # The first is not known to be whole: it has no beginning of its own. The second follows a frame's end.
    assert [bare(frame.payload)[:2] for frame in frames] == [sets]


def test_padding_and_header_extensions_are_no_payload(h264: list[bytes]) -> None:
    plain = [packet.rtp for packet in video_rtp("h264", h264[:5], Numbering(seq=10, ts=0))]
    dressed, seq = [], 10
    for packet in plain:
        parsed = parse(packet)
        assert parsed is not None
        dressed.append(rtp(seq, parsed.timestamp, parsed.payload, marker=parsed.marker, padding=9, extension=True))
        # Padding alone, as a relay sends to fill a burst.
        dressed.append(rtp(seq + 1, parsed.timestamp, b"", marker=False, padding=200))
        seq += 2
    assert frames_of(dressed, H264Frames()) == frames_of(plain, H264Frames())


def test_a_numbering_that_starts_anew_is_followed(h264: list[bytes]) -> None:
    first = [packet.rtp for packet in video_rtp("h264", h264, Numbering(seq=30_000, ts=0))]
    again = [packet.rtp for packet in video_rtp("h264", h264, Numbering(seq=100, ts=180_000))]
    frames = frames_of(first + again, H264Frames())
    assert len(frames) > 60
    assert frames[60].key


@pytest.mark.parametrize(
    ("toc", "ticks"),
    [
        (b"\x00", 480), (b"\x18", 2880), (b"\x60", 480), (b"\x80", 120), (b"\xf8", 960), (b"\xf9", 1920),
        (b"\xfb\x03", 2880), (b"\xfb", 0), (b"\xfb\x3f", 0), (b"", 0),
    ],
)  # fmt: skip
def test_an_opus_packet_states_its_length(toc: bytes, ticks: int) -> None:
    assert opus_ticks(toc) == ticks


@given(st.lists(st.binary(max_size=60), max_size=30))
@settings(max_examples=200)
def test_garbage_makes_no_frame_and_no_error(payloads: list[bytes]) -> None:
    for maker in (H264Frames(), VP8Frames(), OpusFrames()):
        order = Reorder(VIDEO_HZ)
        for number, payload in enumerate(payloads):
            parse(payload)
            parsed = parse(rtp(number, number // 3, payload, marker=number % 3 == 2))
            assert parsed is not None
            for ordered in order.push(parsed):
                assert all(frame.payload for frame in maker.push(ordered))


@given(st.binary(max_size=40))
def test_a_packet_is_taken_apart_or_refused(packet: bytes) -> None:
    parsed = parse(packet)
    assert parsed is None or len(parsed.payload) <= len(packet) - 12
