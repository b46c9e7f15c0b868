"""Offers of real clients, captured, and what we answer; and what is no offer at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.relay import sdp
from live.relay.errors import BadOffer, Unsupported

OFFERS = Path(__file__).parent / "offers"
OURS = sdp.Ours("ourUfrag", "ourPasswordOf24Characters", "sha-256 AA:BB", [("192.0.2.9", 8189), ("fd00::2", 8189)])
H264 = sdp.Format("H264", 90000, {"packetization-mode": "1", "profile-level-id": "42000d"})
VP8 = sdp.Format("VP8", 90000, {})
OPUS = sdp.Format("OPUS", 48000, {})


def offer(name: str) -> sdp.Offer:
    return sdp.read_offer((OFFERS / f"{name}.sdp").read_text())


def streams(video: sdp.Format | None = H264) -> dict[sdp.Kind, sdp.Stream]:
    found: dict[sdp.Kind, sdp.Stream] = {"audio": sdp.Stream(OPUS, 1, 2)}
    if video is not None:
        found["video"] = sdp.Stream(video, 3, 4)
    return found


def sections(answer: str) -> list[str]:
    return re.split(r"(?m)^(?=m=)", answer)[1:]


def well_formed(answer: str) -> None:
    """What every answer of ours keeps to."""
    assert answer.endswith("\r\n")
    assert "\n" not in answer.replace("\r\n", "")
    assert "a=ice-lite" in answer
    taken = [part for part in sections(answer) if not re.match(r"m=\w+ 0 ", part)]
    mids = [re.findall(r"(?m)^a=mid:(\S+)\r$", part)[0] for part in taken]
    assert f"a=group:BUNDLE {' '.join(mids)}\r\n" in answer, "BUNDLE names exactly what is taken"
    assert answer.count("a=candidate:") == len(OURS.candidates)
    assert "transport-cc" not in answer
    for part in taken:
        assert "a=rtcp-mux\r\n" in part
        assert len(re.findall(r"(?m)^a=msid:", part)) <= 1
        numbers = re.match(r"m=\w+ \d+ \S+ ([\d ]+)\r", part)
        assert numbers is not None
        assert set(numbers[1].split()) == set(re.findall(r"a=rtpmap:(\d+)", part))


def test_ffmpeg_is_answered_active_because_it_is_passive() -> None:
    theirs = offer("ffmpeg-9-publishes")
    answer, incoming = sdp.answer_publisher(theirs, OURS)
    well_formed(answer)
    assert theirs.setup == "passive"
    assert answer.count("a=setup:active") == 2
    assert answer.count("a=recvonly") == 2
    assert sdp.role_of_ours(theirs) == "client"
    assert {kind: form.codec for kind, form in incoming.formats.values()} == {"audio": "OPUS", "video": "H264"}
    assert incoming.rtx == {105: 106}
    assert list(incoming.rtx_ssrcs) == [374796435]


def test_obs_which_offers_no_candidates_is_answered_passive() -> None:
    answer, incoming = sdp.answer_publisher(offer("obs-publishes"), OURS)
    well_formed(answer)
    assert answer.count("a=setup:passive") == 2
    assert "stereo=1" in answer
    assert incoming.formats[96][0] == "video"


def test_every_layer_of_chromiums_simulcast_is_taken() -> None:
    answer, incoming = sdp.answer_publisher(offer("chromium-156-publishes-simulcast"), OURS)
    well_formed(answer)
    assert incoming.rids == ["q", "h", "f"]
    assert "a=simulcast:recv q;h;f\r\n" in answer
    assert [rid in answer for rid in ("a=rid:q recv", "a=rid:h recv", "a=rid:f recv")] == [True] * 3
    assert incoming.rid_extension is not None
    video = next(form for kind, form in incoming.formats.values() if kind == "video")
    assert video.codec == "H264"
    assert video.fmtp["profile-level-id"].startswith("42e0")
    assert video.fmtp["packetization-mode"] == "1"


def test_chromium_gets_h264_of_mode_1_under_its_own_payload_type() -> None:
    theirs = offer("chromium-156-plays")
    answer, outgoing = sdp.answer_viewer(theirs, OURS, streams())
    well_formed(answer)
    assert answer.count("a=sendonly") == 2
    video = next(media for media in theirs.medias if media.kind == "video")
    chosen = video.codecs[outgoing["video"].payload_type]
    assert (chosen.name, chosen.fmtp["packetization-mode"]) == ("H264", "1")
    assert chosen.fmtp["profile-level-id"].startswith("42")
    resend = outgoing["video"].rtx_payload_type
    assert resend is not None
    assert video.codecs[resend].apt == chosen.payload_type
    assert "a=ssrc-group:FID 3 4\r\n" in answer
    for feedback in ("goog-remb", "nack", "nack pli", "ccm fir"):
        assert f"a=rtcp-fb:{chosen.payload_type} {feedback}\r\n" in answer


def test_chromium_gets_vp8_when_the_show_is_vp8() -> None:
    theirs = offer("chromium-156-plays")
    _, outgoing = sdp.answer_viewer(theirs, OURS, streams(VP8))
    video = next(media for media in theirs.medias if media.kind == "video")
    assert video.codecs[outgoing["video"].payload_type].name == "VP8"


def test_what_the_show_lacks_is_refused_and_left_out_of_bundle() -> None:
    answer, outgoing = sdp.answer_viewer(offer("chromium-156-plays"), OURS, streams(None))
    well_formed(answer)
    assert set(outgoing) == {"audio"}
    assert re.search(r"(?m)^m=video 0 ", answer)


def test_a_viewer_without_the_shows_codec_is_told() -> None:
    text = (OFFERS / "chromium-156-plays.sdp").read_text().replace("H264/90000", "H266/90000")
    with pytest.raises(Unsupported):
        sdp.answer_viewer(sdp.read_offer(text), OURS, streams())


def test_a_publisher_of_unknown_codecs_is_told() -> None:
    text = (OFFERS / "obs-publishes.sdp").read_text().replace("H264/90000", "H266/90000").replace("opus/", "speex/")
    with pytest.raises(Unsupported):
        sdp.answer_publisher(sdp.read_offer(text), OURS)


@pytest.mark.parametrize(
    ("what", "replacement"),
    [
        ("a=ice-ufrag:ROMH\n", ""),
        ("a=ice-ufrag:ROMH", "a=ice-ufrag:RO MH"),
        ("a=ice-pwd:NKmBCoh+e3IALgwMVbqrpe\n", ""),
        ("a=fingerprint:sha-256", "a=fingerprint:md5"),
        ("a=fingerprint:sha-256 6B", "a=fingerprint:"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("a=mid:1", "a=mid:0"),
        ("a=mid:1", "a=mid:1\x01"),
        ("m=video 9", "m=video nine"),
        ("m=video 9 UDP/TLS/RTP/SAVPF 96", "m=video"),
        ("a=rtpmap:96 H264/90000", "a=rtpmap:96"),
        ("a=rtpmap:96 H264/90000", "a=rtpmap:300 H264/90000"),
        ("v=0", "v=1"),
        ("v=0", "<html>"),
        ("s=-", "s"),
    ],
)
def test_a_broken_offer_is_the_clients_mistake(what: str, replacement: str) -> None:
    text = (OFFERS / "obs-publishes.sdp").read_text()
    assert what in text, "premise"
    sdp.read_offer(text)
    with pytest.raises(BadOffer):
        sdp.read_offer(text.replace(what, replacement, 1))


@given(st.text(max_size=300), st.integers(0, 40), st.sampled_from(["obs-publishes", "chromium-156-plays"]))
def test_no_text_breaks_the_reader(noise: str, line: int, name: str) -> None:
    lines = (OFFERS / f"{name}.sdp").read_text().splitlines()
    lines.insert(min(line, len(lines)), noise)
    try:
        read = sdp.read_offer("\r\n".join(lines))
        answer, _ = sdp.answer_viewer(read, OURS, streams())
        well_formed(answer)
    except (BadOffer, Unsupported):
        pass


def test_too_long_an_offer_is_not_read() -> None:
    with pytest.raises(BadOffer):
        sdp.read_offer("v=0\r\n" + "a=x\r\n" * 20_000)


def test_a_restart_names_new_credentials() -> None:
    fragment = sdp.restart_fragment(OURS)
    assert sdp.read_fragment(fragment) == (OURS.ufrag, OURS.password)
    assert fragment.count("a=candidate:") == 2
    assert sdp.read_fragment("a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n") == ("", "")
    with pytest.raises(BadOffer):
        sdp.read_fragment("")
