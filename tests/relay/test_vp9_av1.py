"""VP9 and AV1 out of RTP: whole frames as they went in, whatever the network did, and never an error."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_made import Numbering, Sent, av1_obus, av1_payloads, pictures, rtp, video_rtp, vp9_payloads

from live.relay import av1, vp9
from live.relay.depacketise import VIDEO_HZ, Frame, Frames, Reorder, VideoCodec, parse
from live.relay.frames import video_frames

CODECS: list[VideoCodec] = ["vp9", "av1"]


@pytest.fixture(scope="module")
def made() -> dict[str, list[bytes]]:
    return {codec: pictures(codec, 2.0, gop=15) for codec in CODECS}


def frames_of(packets: list[bytes], maker: Frames) -> list[Frame]:
    order, out = Reorder(VIDEO_HZ), []
    for packet in packets:
        parsed = parse(packet)
        assert parsed is not None
        for ordered in order.push(parsed):
            out += maker.push(ordered)
    for ordered in order.flush():
        out += maker.push(ordered)
    return out


def numbers(frames: list[Frame]) -> list[int]:
    return [round((frame.ts - Numbering().ts) / 3000) for frame in frames]


def as_recorded(codec: str, frame: bytes) -> bytes:
    """VP9 as it is; AV1 without its temporal delimiter, each OBU with its size."""
    return frame if codec == "vp9" else b"".join(av1.sized(obu) or b"" for obu in av1_obus(frame))


@pytest.mark.parametrize("codec", CODECS)
def test_frames_come_out_as_they_went_in(codec: VideoCodec, made: dict[str, list[bytes]]) -> None:
    sent = video_rtp(codec, made[codec], Numbering())
    assert len(sent) > len(made[codec]), "the premise: some frame took more than one packet"
    frames = frames_of([packet.rtp for packet in sent], video_frames(codec))
    assert [frame.payload for frame in frames] == [as_recorded(codec, frame) for frame in made[codec]]
    assert [number for number, frame in enumerate(frames) if frame.key] == [0, 15, 30, 45]
    assert numbers(frames) == list(range(60))
    assert all(bool(frame.format) == frame.key for frame in frames)


def test_a_key_frame_states_its_size(made: dict[str, list[bytes]]) -> None:
    assert struct.unpack("<HHBB", vp9.key_format(made["vp9"][0]) or b"") == (320, 240, 0, 8)
    (frame, *_) = frames_of([sent.rtp for sent in video_rtp("av1", made["av1"], Numbering())], video_frames("av1"))
    assert frame.payload.startswith(frame.format)
    assert frame.format[0] >> 3 & 15 == av1.SEQUENCE_HEADER


@pytest.mark.parametrize("codec", CODECS)
def test_packets_out_of_order_and_twice_change_nothing(codec: VideoCodec, made: dict[str, list[bytes]]) -> None:
    packets = [sent.rtp for sent in video_rtp(codec, made[codec], Numbering())]
    dice = random.Random(7)
    shuffled = [packets[0]]
    for start in range(1, len(packets), 8):
        part = packets[start : start + 8]
        dice.shuffle(part)
        shuffled += [*part, dice.choice(part)]
    assert frames_of(shuffled, video_frames(codec)) == frames_of(packets, video_frames(codec))


@pytest.mark.parametrize("codec", CODECS)
def test_a_lost_packet_costs_the_frames_up_to_the_next_key_frame(
    codec: VideoCodec, made: dict[str, list[bytes]]
) -> None:
    sent = video_rtp(codec, made[codec], Numbering())
    for number in range(1, 15):  # each frame after a key frame, then the key frame's own parts
        assert numbers(frames_of(without(sent, 15 + number), video_frames(codec))) == [
            *range(15 + number),
            *range(30, 60),
        ]
    maker = video_frames(codec)
    assert numbers(frames_of(without(sent, 15), maker)) == [*range(15), *range(30, 60)]
    assert not maker.wants_key


def without(sent: list[Sent], number: int) -> list[bytes]:
    """All but the first packet of frame `number`."""
    lost = next(index for index, packet in enumerate(sent) if packet.at_s >= number / 30 - 1e-6)
    return [packet.rtp for index, packet in enumerate(sent) if index != lost]


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_comes_before_the_first_key_frame(codec: VideoCodec, made: dict[str, list[bytes]]) -> None:
    sent = [packet.rtp for packet in video_rtp(codec, made[codec], Numbering()) if packet.at_s > 0.1]
    frames = frames_of(sent, video_frames(codec))
    assert frames[0].key
    assert len(frames) == 45


# ---- VP9 alone -----------------------------------------------------------------------------------


@given(
    picture_id=st.sampled_from([None, 7, 15]),
    layers=st.booleans(),
    flexible=st.booleans(),
    references=st.integers(0, 3),
    sizes=st.integers(-1, 3),
    groups=st.lists(st.integers(0, 3), max_size=5),
    structure=st.booleans(),
    edges=st.integers(0, 3),
)
def test_every_shape_of_a_vp9_descriptor_is_measured(
    picture_id: int | None,
    layers: bool,
    flexible: bool,
    references: int,
    sizes: int,
    groups: list[int],
    structure: bool,
    edges: int,
) -> None:
    predicted = flexible and references > 0
    flags = (0x80 if picture_id else 0) | (0x40 if predicted else 0) | (0x20 if layers else 0)
    flags |= (0x10 if flexible else 0) | edges << 2 | (0x02 if structure else 0)
    head = bytes([flags])
    head += {None: b"", 7: b"\x11", 15: b"\x91\x22"}[picture_id]
    if layers:
        head += bytes([2 << 5 | 1 << 1]) + (b"" if flexible else b"\x07")
    if predicted:
        head += bytes([number << 1 | (number < references) for number in range(1, references + 1)])
    if structure:
        head += bytes([max(sizes, 0) << 5 | (0x10 if sizes >= 0 else 0) | (0x08 if groups else 0)])
        head += bytes(4 * (sizes + 1)) if sizes >= 0 else b""
        if groups:
            head += bytes([len(groups)]) + b"".join(bytes([count << 2, *range(count)]) for count in groups)
    found = vp9.read_descriptor(head + b"frame")
    assert found == vp9.Descriptor(len(head), predicted, bool(edges & 2), bool(edges & 1), 1 if layers else 0)
    assert vp9.read_descriptor(head) is None, "nothing follows it"


def test_flexible_mode_makes_the_same_frames(made: dict[str, list[bytes]]) -> None:
    packets, seq = [], 0
    for number, frame in enumerate(made["vp9"]):
        payloads = vp9_payloads(frame, number, key=number % 15 == 0, flexible=True)
        for index, payload in enumerate(payloads):
            packets.append(rtp(seq, number * 3000, payload, marker=index == len(payloads) - 1))
            seq += 1
    assert [frame.payload for frame in frames_of(packets, vp9.VP9Frames())] == made["vp9"]


def test_spatial_layers_become_one_superframe(made: dict[str, list[bytes]]) -> None:
    below, above = made["vp9"][0], b"\x86" + bytes(700)
    packets = [
        rtp(1, 0, b"\x2c\x00\x00" + below, marker=False),
        rtp(2, 0, b"\x28\x02\x00" + above[:300], marker=False),
        rtp(3, 0, b"\x24\x02\x00" + above[300:], marker=True),
    ]
    (frame,) = frames_of(packets, vp9.VP9Frames())
    assert frame.key
    mark = frame.payload[-1]
    assert (mark & 0xE0, mark & 7) == (0xC0, 1)
    assert struct.unpack("<II", frame.payload[-9:-1]) == (len(below), len(above))
    assert frame.payload[:-10] == below + above


# ---- AV1 alone -----------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from([1, 3, 4, 5, 6]), st.binary(min_size=1, max_size=400)), min_size=1, max_size=6),
    st.booleans(),
    st.integers(30, 200),
)
@settings(max_examples=150, deadline=None)
def test_any_obus_come_back_together(obus: list[tuple[int, bytes]], counted: bool, mtu: int) -> None:
    # A sequence header and a key frame lead, so that nothing is held back.
    unit = [b"\x08\0\0", b"\x30\x10abc", *(bytes([kind << 3]) + body for kind, body in obus)]
    whole = b"".join(av1.sized(obu) or b"" for obu in unit)
    payloads = av1_payloads(whole, key=True, counted=counted, mtu=mtu)
    packets = [rtp(number, 0, payload, marker=number == len(payloads) - 1) for number, payload in enumerate(payloads)]
    (frame,) = frames_of(packets, av1.AV1Frames())
    assert (frame.payload, frame.key) == (whole, True)


def test_temporal_delimiters_and_sizes_that_were_sent_all_the_same_do_no_harm() -> None:
    header, picture = b"\x08\0\0", b"\x30\x10abc"
    told = [b"\x12\x00", av1.sized(header), av1.sized(picture)]
    body = b"".join(av1.to_leb128(len(obu or b"")) + (obu or b"") for obu in told)
    (frame,) = frames_of([rtp(1, 0, b"\x08" + body, marker=True)], av1.AV1Frames())
    assert frame.payload == (av1.sized(header) or b"") + (av1.sized(picture) or b"")


@given(st.integers(0, (1 << 32) - 1))
def test_leb128_comes_back(value: int) -> None:
    coded = av1.to_leb128(value)
    assert av1.leb128(b"x" + coded + b"y", 1) == (value, 1 + len(coded))
    assert av1.leb128(coded[:-1], 0) is None


# ---- garbage -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 2), st.booleans()), max_size=30))
@settings(max_examples=300)
def test_garbage_makes_no_error_and_no_empty_frame(payloads: list[tuple[bytes, int, bool]]) -> None:
    for codec in CODECS:
        maker, order, seq, ts = video_frames(codec), Reorder(VIDEO_HZ), 0, 0
        for payload, step, marker in payloads:
            seq, ts = seq + 1 + (step == 2), ts + step
            parsed = parse(rtp(seq, ts, payload, marker=marker))
            assert parsed is not None
            for ordered in order.push(parsed):
                assert all(frame.payload for frame in maker.push(ordered))
