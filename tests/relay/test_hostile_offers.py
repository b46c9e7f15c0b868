"""Offers made to hurt: mutations of real ones. The answer is a refusal or a good answer, in bounded time and size."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yardstick import cpu_s

from live.relay import sdp
from live.relay.errors import BadOffer, Unsupported

OFFERS = {path.stem: path.read_text() for path in (Path(__file__).parent / "offers").glob("*.sdp")}
# werift's shape: session-level credentials, one m-line a transceiver, lower-case codec names, extmap-allow-mixed.
OFFERS["werift"] = (
    "v=0\r\no=- 51397821 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n"
    "a=msid-semantic:WMS *\r\nm=video 9 UDP/TLS/RTP/SAVPF 97 98\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:ab5d\r\n"
    "a=ice-pwd:b1e7cd29c0df44f3a1b8bd7f0\r\na=ice-options:trickle\r\na=fingerprint:sha-256 "
    + ":".join(["A1"] * 32)
    + "\r\na=setup:actpass\r\na=recvonly\r\na=mid:0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=rtcp-mux\r\n"
    "a=rtpmap:97 H264/90000\r\na=rtcp-fb:97 nack\r\na=rtcp-fb:97 nack pli\r\na=rtcp-fb:97 goog-remb\r\na=fmtp:97 "
    "packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=recvonly\r\na=mid:1\r\na=rtcp-mux\r\n"
    "a=rtpmap:96 opus/48000/2\r\n"
)
OURS = sdp.Ours("ourUfrag", "ourPasswordOf24Characters", "sha-256 AA:BB", [("192.0.2.9", 8189), ("fd00::2", 8189)])
STREAMS: dict[sdp.Kind, sdp.Stream] = {
    "audio": sdp.Stream(sdp.Format("OPUS", 48000, {}), 1, 2),
    "video": sdp.Stream(sdp.Format("H264", 90000, {"packetization-mode": "1", "profile-level-id": "42e01f"}), 3, 4),
}
NUMBERS = ["0", "-1", "127", "128", "65536", "4294967296", "9" * 400, "1e9", "٣", "+5", "1_0", "0x10", "*", ""]
SPICE = ["\r", "\n", "\x00", "\x85", "\u2028", " ", ":", ";", "=", "/", "a=", "m=video 9 X 1", "\r\na=ice-lite", "🎭"]

Edit = tuple[str, int, int, str]
edits = st.lists(
    st.tuples(
        st.sampled_from(["drop", "twice", "swap", "number", "spice", "cut", "noise", "many"]),
        st.integers(0, 300),
        st.integers(0, 200),
        st.one_of(st.sampled_from(NUMBERS + SPICE), st.text(max_size=40)),
    ),
    min_size=1,
    max_size=8,
)


def edited(text: str, changes: list[Edit]) -> str:
    lines = text.splitlines()
    for how, where, at, what in changes:
        if not lines:
            break
        index = where % len(lines)
        line = lines[index]
        if how == "drop":
            del lines[index]
        elif how == "twice":
            lines.insert(at % len(lines), line)
        elif how == "swap":
            other = at % len(lines)
            lines[index], lines[other] = lines[other], lines[index]
        elif how == "number":
            numbers = list(re.finditer(r"\d+", line))
            if numbers:
                found = numbers[at % len(numbers)]
                lines[index] = line[: found.start()] + what + line[found.end() :]
        elif how == "spice":
            lines[index] = line[: at % (len(line) + 1)] + what + line[at % (len(line) + 1) :]
        elif how == "cut":
            lines[index] = line[: at % (len(line) + 1)]
        elif how == "noise":
            lines.insert(index, what)
        else:
            lines[index:index] = [line] * (at * 10)
    return "\r\n".join(lines) + "\r\n"


def answers(text: str) -> list[str]:
    """All answers that we would give; a refusal is none. Anything but a refusal of ours is a fault."""
    found = []
    try:
        offer = sdp.read_offer(text)
    except BadOffer:
        return []
    with contextlib.suppress(Unsupported):
        found.append(sdp.answer_publisher(offer, OURS)[0])
    with contextlib.suppress(Unsupported):
        found.append(sdp.answer_viewer(offer, OURS, STREAMS)[0])
    return found


def good(answer: str, offer: str) -> None:
    assert answer.endswith("\r\n")
    lines = answer.split("\r\n")[:-1]
    assert all(re.match(r"[a-z]=\S", line) for line in lines)
    assert not re.search(r"[\r\n\x00\x85\u2028]", "".join(lines))
    read = sdp.read_offer(answer)
    theirs = sdp.read_offer(offer)
    assert [(media.kind, media.mid) for media in read.medias] == [(media.kind, media.mid) for media in theirs.medias]
    assert answer.count("a=candidate:") == len(OURS.candidates)
    assert "a=ice-lite" in lines
    assert len(answer) < 2 * len(offer) + 4000


def test_the_offers_are_answered_before_they_are_spoilt() -> None:
    assert len(OFFERS) == 5
    for name, text in OFFERS.items():
        given_back = answers(text)
        assert given_back, name
        for answer in given_back:
            good(answer.replace("AA:BB", ":".join(["AA"] * 32)), text)


@settings(max_examples=400)
@given(st.sampled_from(sorted(OFFERS)), edits)
def test_a_mutated_offer_is_refused_or_answered_well(name: str, changes: list[Edit]) -> None:
    text = edited(OFFERS[name], changes)
    began = time.process_time()
    given_back = answers(text)
    # Its own time, not the wall's; a slow machine is forgiven, an offer whose cost explodes is not.
    assert time.process_time() - began < 5
    for answer in given_back:
        good(answer.replace("AA:BB", ":".join(["AA"] * 32)), text)


@settings(max_examples=200)
@given(
    st.one_of(st.text(max_size=400), st.lists(st.tuples(st.sampled_from("aamics"), st.text(max_size=60)), max_size=60))
)
def test_a_fragment_of_anything_is_read_or_refused(what: str | list[tuple[str, str]]) -> None:
    text = what if isinstance(what, str) else "\r\n".join(f"{kind}={value}" for kind, value in what)
    with contextlib.suppress(BadOffer):
        ufrag, _ = sdp.read_fragment(text)
        assert not ufrag or re.fullmatch(r"[A-Za-z0-9+/=_-]{4,256}", ufrag)


HEAD = (
    "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdabcdabcdabcdabcdabcd\r\na=fingerprint:sha-256 "
    + ":".join(["AB"] * 32)
    + "\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n"
)


@pytest.mark.parametrize(
    "flood",
    [
        "".join(f"a=rtpmap:{number} a/1\r\n" for number in range(1600)) + "a=rtcp-fb:* nack\r\n" * 1600,
        "".join(f"a=rtpmap:{number % 128} a/1\r\n" for number in range(128)) + "a=rtcp-fb:* nack\r\n" * 1800,
        "a=simulcast:send " + ";".join(f"r{number}" for number in range(9000)) + "\r\n",
        "".join(f"a=fingerprint:sha-256 {number:064d}\r\n" for number in range(600)),
        "".join(f"a=ssrc:{number} cname:x\r\n" for number in range(2500)),
        "a=rid:" + "x" * 60_000 + " send\r\n",
        "a=fmtp:96 " + "a=b;" * 15_000 + "\r\n",
        "a=rtpmap:97 OPUS/" + "9" * 4000 + "\r\n",
        "a=\r\n" * 15_000,
    ],
)
def test_no_offer_holds_the_relay_up_for_longer_than_a_frame(flood: str) -> None:
    assert answers(HEAD), "premise"
    text = HEAD + flood
    assert cpu_s(lambda: answers(text)) < 0.033, "everybody's picture waits meanwhile"
    assert all(len(answer) < 2 * len(text) + 4000 for answer in answers(text))


def test_a_clock_of_a_codec_is_the_one_its_rfc_names() -> None:
    for wrong in ("VP8/0", "VP8/1", "VP8/48000"):
        with pytest.raises(Unsupported):
            sdp.answer_publisher(sdp.read_offer(HEAD.replace("VP8/90000", wrong)), OURS)
    sdp.answer_publisher(sdp.read_offer(HEAD), OURS)


def test_an_extensions_name_that_does_not_fit_a_header_is_left_out() -> None:
    mid = "urn:ietf:params:rtp-hdrext:sdes:mid"
    for number, kept in (("3", True), ("255", True), ("256", False), ("4096", False), ("0", False)):
        answer, _ = sdp.answer_publisher(sdp.read_offer(HEAD + f"a=extmap:{number} {mid}\r\n"), OURS)
        assert (f"a=extmap:{number} " in answer) is kept
