"""The traps that every WebRTC relay meets, and where each has its test; those that had none have it here.

1 libsrtp's own `protect` stops at 1,356 bytes        test_kinds.py: the biggest packets pass whole
2 no REMB, no rate                                     test_ingest.py: the rate she is allowed; test_in_a_browser.py
3 goog-remb and nothing else downstream                test_sdp.py: well_formed, chromium gets h264
4 an ignored simulcast                                 test_sdp.py: every layer of chromium's; test_simulcast.py
5 encoders that ignore PLI                             test_end_to_end.py: a joiner gets the key frame at once
6 one number with two contents (AES-GCM)               test_rungs.py: the laws; test_leaves.py; test_kernel.py
7 a queue where a full socket should drop              here
8 a refused m-line in BUNDLE; H.264 that plays         test_sdp.py: left out of bundle; here
9 the duties of ICE-lite                               test_leaves.py, test_proven_paths.py, test_end_to_end.py
10 numbers and picture ids over a change               test_rungs.py, test_leaves.py, test_simulcast.py
11 N joins that become N key frames                    test_ingest.py, test_end_to_end.py: requests of many become one
12 FFmpeg is passive, OBS names no candidates          test_sdp.py
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pylibsrtp import Policy, Session

from live.relay import sdp
from live.relay.fanout import Counters, Fanout, Variant
from live.relay.members import Members
from live.relay.rtp import Packet

OURS = sdp.Ours("ourUfrag", "ourPasswordOf24Characters", "sha-256 AA:BB", [("192.0.2.9", 8189)])
FORMATS = {
    96: "profile-level-id=640c1f;packetization-mode=1",
    97: "profile-level-id=42001f;packetization-mode=1",
    98: "profile-level-id=42e01f;packetization-mode=0",
    99: "profile-level-id=42e01f;packetization-mode=1",
}


def offer(numbers: list[int], *others: str) -> sdp.Offer:
    """One that sends a picture in H.264 of these payload types, in this order, after `others`."""
    text = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=ice-ufrag:abcd\na=ice-pwd:efghijklmnopqrstuvwxyz\n"
    text += f"a=fingerprint:sha-256 {':'.join(['AA'] * 32)}\na=setup:actpass\n"
    first = range(35, 35 + len(others))
    text += f"m=video 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, [*first, *numbers]))}\nc=IN IP4 0.0.0.0\na=mid:0\n"
    text += "a=sendonly\na=rtcp-mux\n"
    text += "".join(f"a=rtpmap:{number} {codec}/90000\n" for number, codec in zip(first, others, strict=True))
    text += "".join(f"a=rtpmap:{number} H264/90000\na=fmtp:{number} {FORMATS[number]}\n" for number in numbers)
    return sdp.read_offer(text)


@pytest.mark.parametrize(
    ("numbers", "chosen"), [([96, 97, 98, 99], 99), ([96, 97], 97), ([96, 98], 96), ([98, 97], 97), ([96], 96)]
)
def test_of_what_is_offered_the_answer_takes_the_h264_that_plays_in_most_places(
    numbers: list[int], chosen: int
) -> None:
    for order in (numbers, numbers[::-1]):
        _, incoming = sdp.answer_publisher(offer(order, "AV1", "VP9", "VP8"), OURS)
        assert list(incoming.formats) == [chosen], "whatever comes first in the offer"


def test_a_full_socket_drops_and_counts_and_later_packets_go_on(tmp_path: Path) -> None:
    """A Unix socket, since loopback's UDP is never full: its queue holds a few datagrams, then says EAGAIN."""
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    reader.bind(str(tmp_path / "viewer"))
    sender.setblocking(False)
    key = Session(
        Policy(key=bytes(28), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    )
    counters, members = Counters(), Members()
    members.put("her", key._srtp[0], str(tmp_path / "viewer"))
    fanout = Fanout([sender], counters)
    for number in range(1000):
        fanout.frame([Packet(number, 0, 0x80, bytes(1000))], [(Variant(0, 16, 102, 7, 0, 0), members)])
    assert counters.dropped > 0, "the premise: it got full"
    assert counters.packets + counters.dropped == 1000
    reader.setblocking(False)
    arrived = [reader.recv(2048) for _ in range(counters.packets)]
    fanout.frame([Packet(1000, 0, 0x80, bytes(10))], [(Variant(0, 16, 102, 7, 0, 0), members)])
    assert reader.recv(2048)[2:4] == (1000).to_bytes(2, "big"), "nothing was kept for later"
    assert len(arrived) == counters.packets - 1
    reader.close()
    sender.close()
