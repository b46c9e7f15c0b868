"""Authentic packets with mad contents, of a publisher and of a viewer: nobody else loses a packet, nothing grows."""

from __future__ import annotations

import asyncio
import gc
import random
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session
from relay_people import Camera, live, watching
from relay_stage import Stage, stage, until
from test_leaves import H264, header

from live.relay import rtcp
from live.relay import show as show_module
from live.relay.ingest import Ingest
from live.relay.reception import Reception
from live.relay.ring import SIZE
from live.relay.rtcp import SenderInfo
from live.relay.sdp import Format, Incoming, Outgoing
from live.relay.track import Track
from live.relay.viewer import Outlet
from live.relay.watching import WISHES

OPUS = Format("OPUS", 48000, {})
INCOMING = Incoming({102: ("video", H264), 111: ("audio", OPUS)}, {103: 102}, 4, 5, ["h", "m", "l"], {})


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


@pytest.fixture
async def running(tmp_path: Any, redis_url: str) -> Any:
    """A stage on which a fault that only the log would tell of fails the test."""
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with stage(tmp_path, redis_url=redis_url) as up:
        yield up
    assert faults == []


def mad_rtp(dice: random.Random) -> bytes:
    """A header that parses, mostly, and whatever behind it."""
    flags = 0x80 | dice.choice((0, 0, 0, 0x20)) | dice.choice((0, 0, 0x10)) | dice.choice((0, 0, dice.randrange(16)))
    payload_type = dice.choice((102, 102, 102, 103, 111, 96, dice.randrange(128))) | dice.choice((0, 0x80))
    if 64 <= payload_type & 127 < 96:
        payload_type = 102  # would be RTCP's
    ssrc = dice.choice((1, 2, 3, 4, dice.getrandbits(32)))
    head = struct.pack("!BBHII", flags, payload_type, dice.getrandbits(16), dice.getrandbits(32), ssrc)
    body = dice.choice((b"", b"\x7c\x85", b"\x67", b"\x78\0", b"\x65", bytes((dice.randrange(256),))))
    return head + (body + dice.randbytes(dice.choice((0, 1, 3, 40, 900, 1200, 1500))))[:1540]


def mad_rtcp(dice: random.Random, ssrc: int) -> bytes:
    """Compounds whose lengths fit, mostly."""
    out = b""
    for _ in range(dice.randrange(1, 12)):
        kind = dice.choice((200, 201, 202, 203, 205, 206, 206, 207, dice.randrange(192, 224)))
        form = {205: 1, 206: dice.choice((1, 4, 15))}.get(kind, dice.randrange(32))
        words = dice.choice((0, 1, 2, 6, 7, 13, 40, dice.randrange(60)))
        body = struct.pack("!I", dice.choice((ssrc, dice.getrandbits(32)))) * 2
        body += b"REMB" if form == 15 else b""
        body = (body + dice.randbytes(4 * words))[: 4 * words]
        out += struct.pack("!BBH", 0x80 | form, kind, dice.choice((words, words, words, dice.getrandbits(16)))) + body
    return out[:1400]


# ---- on real sockets ---------------------------------------------------------------------------


async def test_a_mad_publisher_of_one_show_costs_the_viewers_of_another_nothing(running: Stage) -> None:
    camera, viewer = await live(running), await watching(running)
    running.shows.keys["key-of-show-two"] = "shw_two"
    running.shows.known["two"].status = "live"
    mad, dice = Camera(), random.Random(5)
    response = await running.publish(mad.caller.offer("sendonly", codecs=("H264",)), "key-of-show-two", "two")
    await mad.caller.connect(response.text)
    gc.collect()
    tracemalloc.start()
    for batch in range(40):
        for _ in range(40):
            mad.caller.send(mad_rtp(dice))
            mad.caller.send_rtcp(mad_rtcp(dice, 1))
        camera.frame()
        await until(lambda batch=batch: len(viewer.order) == 6 + 3 * batch)
        if batch == 9:
            before = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert viewer.gaps() == []
    other = running.relay.shows["shw_two"]
    assert len(other.source.layers) <= 16
    assert grown < 12 << 20, "its ring holds 4,096 packets a kind, and nothing else grows"
    mad.frame(key=True)  # and it is no worse for having been mad
    assert (await running.http.delete(running.url + viewer.session)).status_code == 200
    for one in (camera, viewer, mad):
        await one.caller.close()


async def test_a_mad_viewer_costs_the_others_nothing_and_the_publisher_a_few_key_frames(running: Stage) -> None:
    camera, viewer, mad = await live(running), await watching(running), await watching(running)
    dice, hers = random.Random(7), next(iter(list(running.show.viewers.values())[1:]))
    for batch in range(40):
        for _ in range(30):
            mad.caller.send_rtcp(mad_rtcp(dice, mad.ssrc))
            mad.caller.send_rtcp(rtcp.receiver_report(1, []) + rtcp.pli(1, mad.ssrc))
        # Thousands of NACKs: a compound can name six thousand packets.
        mad.caller.send_rtcp(rtcp.nack(1, mad.ssrc, list(range(0, 65536, 17)))[:1400])
        camera.frame()
        await until(lambda batch=batch: len(viewer.order) == 6 + 3 * batch)
    assert viewer.gaps() == []
    assert len(hers.reports.blocks) <= 4
    assert hers.reports.remb_bps is None or 0 <= hers.reports.remb_bps <= 1 << 40
    assert 1 <= hers.reports.rtt_ms <= 5000
    assert len(hers.video._resends or ()) <= 1024
    assert len(camera.heard.keyframe) <= WISHES + 2
    for one in (camera, viewer, mad):
        await one.caller.close()


async def test_one_who_always_asks_for_a_key_frame_gets_four_and_then_one_in_three_seconds(running: Stage) -> None:
    camera, viewer = await live(running), await watching(running)
    hers = next(iter(running.show.viewers.values()))
    asked = []
    for turn in range(500):  # ten seconds
        before = hers._wishes
        hers._wish(1_000_000 + 20 * turn)
        asked.append(hers._wishes < before - 0.5)
    assert asked[:5] == [True] * 4 + [False]
    assert 6 <= sum(asked) <= 8
    for one in (camera, viewer):
        await one.caller.close()


# ---- pure --------------------------------------------------------------------------------------

packets = st.binary(max_size=60).map(lambda rest: b"\x80" + rest) | st.integers(0, 1 << 30).map(
    lambda seed: mad_rtp(random.Random(seed))
)
compounds = st.binary(max_size=80) | st.integers(0, 1 << 30).map(lambda seed: mad_rtcp(random.Random(seed), 1))


@settings(max_examples=150)
@given(st.lists(st.tuples(packets, compounds, st.integers(0, 100_000_000)), max_size=40))
def test_no_packet_of_a_publisher_breaks_the_ingest_or_makes_it_say_nonsense(
    what: list[tuple[bytes, bytes, int]],
) -> None:
    said: list[bytes] = []
    ingest = Ingest(INCOMING, ssrc=9, max_kbps=4000, send_rtcp=said.append)
    kinds: set[tuple[str, str]] = set()
    ingest.forward = lambda layer, found, key, switched: kinds.add((layer.kind, layer.format.codec))
    now_ms = 0
    for packet, compound, passed_ms in what:
        now_ms += passed_ms
        ingest.rtp(packet, now_ms)
        ingest.rtcp(compound, now_ms, 1.7e12 + now_ms)
        ingest.tick(now_ms)
    assert len(ingest.layers) <= 16
    assert kinds <= {("video", "H264"), ("audio", "OPUS")}
    assert all(len(one) <= 1400 and rtcp.parse(one) for one in said)


def test_a_sound_under_the_pictures_ssrc_is_not_taken_for_picture() -> None:
    heard: list[str] = []
    ingest = Ingest(INCOMING, ssrc=9, max_kbps=4000, send_rtcp=lambda _: None)
    ingest.forward = lambda layer, found, key, switched: heard.append(f"{layer.kind} {found.payload_type}")
    for payload_type in (102, 111, 102):
        ingest.rtp(struct.pack("!BBHII", 0x80, payload_type, len(heard), 5, 77) + b"\x65\x88\x84", len(heard))
    assert heard == ["video 102", "video 102"]
    assert ingest.unknown == 1


def test_a_sender_report_of_days_ago_still_makes_a_report() -> None:
    reception = Reception(7, 90000)
    reception.take(1, 1, 100, 0)
    reception.heard_sender(SenderInfo(7, 1 << 63, 5, 1, 1), 0)
    for now_ms in (0, 1000, 19 * 3600 * 1000, -5):
        assert rtcp.receiver_report(1, [reception.report(now_ms)])


def test_a_remb_beyond_all_networks_is_read_as_a_terabit() -> None:
    packed = rtcp.remb(1, 1000, [5])
    mad = packed[:17] + b"\xff\xff\xff" + packed[20:]
    assert rtcp.parse(mad).remb_bps == 1 << 40
    assert rtcp.parse(packed[:17] + b"\0\0\0" + packed[20:]).remb_bps == 0


# ---- the rollover counter ----------------------------------------------------------------------


@given(st.integers(0, 0xFFFF))
def test_a_viewers_first_number_is_neither_near_the_end_of_the_numbers_nor_near_their_start(seq: int) -> None:
    outlet = Outlet(Outgoing(102, 103, True), 7, 8)
    outlet.start(Track("video", H264), seq)
    assert outlet.span is not None
    assert outlet.span.seq_offset % 0x4000 == 0
    assert SIZE <= seq + outlet.span.seq_offset & 0xFFFF < SIZE + 0x4000 < 0x8000


@pytest.mark.parametrize("first", [0, 5, 0x4000, 0x7FFF, 0x8003, 0xFFFE])
def test_what_is_late_and_before_her_first_number_does_not_move_her_rollover(first: int) -> None:
    """With libsrtp itself: the late packet is lost on its way, and she must understand what follows."""
    track, outlet = Track("video", H264), Outlet(Outgoing(102, 103, True), 7, 8)
    outlet.start(track, first)
    assert outlet.span is not None
    key = bytes(range(30))
    ours = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    hers = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_INBOUND))

    def sent(seq: int) -> bytes:
        number = seq + outlet.span.seq_offset & 0xFFFF  # type: ignore[union-attr]
        return ours.protect(struct.pack("!BBHII", 0x80, 102, number, 0, 7) + b"picture")

    hers.unprotect(sent(first))
    sent(first - 3 & 0xFFFF)  # late, and lost
    for step in (1, 2, 3):
        assert hers.unprotect(sent(first + step & 0xFFFF)).endswith(b"picture")


def test_what_is_later_than_the_ring_is_not_sent_at_all() -> None:
    track = Track("video", H264)
    seq = 20_000
    assert track.take(header(seq, 0, b"\x65\x88\x84"), True, 0) is not None
    for step in range(1, 6000):
        track.take(header(seq + step, step, b"\x41\x9a"), False, step)
    assert track.take(header(seq + 5999 - SIZE, 9, b"\x41\x9a"), False, 7000) is None
