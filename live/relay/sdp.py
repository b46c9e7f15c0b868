"""Offers read and answers written (RFC 8866, RFC 9429; WHIP RFC 9725, WHEP draft-03).

The answers are our own text: BUNDLE of what is accepted, rtcp-mux, ICE-lite, every candidate in the first answer.
A refused m-line gets port 0 and stays out of the BUNDLE group, or libwebrtc breaks. No transport-cc is agreed:
REMB costs a packet now and then, transport-cc would cost one for every few of ours and viewer.
One file, because an answer can only be read beside the offer's parts it is made of.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

from live.relay.errors import BadOffer, Unsupported

Kind = Literal["audio", "video"]
MAX_OFFER_BYTES = 64 * 1024
_MAX_LINES = 2_000  # a browser's offer has 200
_MAX_RIDS = 8
_MAX_FINGERPRINTS = 8  # each is compared with the certificate of whoever calls
_MAX_SSRCS = 64
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]|\r(?!\n)")  # would end a line of our answer
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31,63}[0-9A-Fa-f]{2}")
_FEEDBACK = ("goog-remb", "nack", "nack pli", "ccm fir")
_VIDEO = ("H264", "VP8", "VP9", "AV1")  # in the order we like them
_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
_RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
_REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
_CNAME = "frontrow"


class Codec(msgspec.Struct):
    """One payload type as offered. `name` in upper case, `fmtp` as parameter -> value."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: dict[str, str] = {}
    feedback: set[str] = set()

    @property
    def apt(self) -> int | None:
        """For RTX: which payload type it resends (RFC 4588 section 8.6)."""
        return int(self.fmtp["apt"]) if self.fmtp.get("apt", "").isdigit() else None


class Media(msgspec.Struct):
    """One m-section."""

    kind: str
    port: int
    proto: str
    formats: list[str]
    mid: str = ""
    direction: str = "sendrecv"
    codecs: dict[int, Codec] = {}
    extensions: dict[str, int] = {}
    rids: list[str] = []
    simulcast: list[str] = []
    ssrcs: list[int] = []
    rtx_ssrcs: dict[int, int] = {}  # resending SSRC -> the one it resends
    rtcp_mux: bool = False


class Offer(msgspec.Struct):
    """An offer that holds what a session needs."""

    ufrag: str
    password: str
    fingerprints: list[tuple[str, str]]
    setup: str
    medias: list[Media]


class Ours(NamedTuple):
    """Our side of a session."""

    ufrag: str
    password: str
    fingerprint: str
    candidates: list[tuple[str, int]]


class Format(NamedTuple):
    """What a track is made of, enough to find it in another offer."""

    codec: str
    clock_rate: int
    fmtp: dict[str, str]


class Incoming(NamedTuple):
    """What a publisher will send, after the answer. `formats`: payload type -> (kind, format)."""

    formats: dict[int, tuple[Kind, Format]]
    rtx: dict[int, int]
    rid_extension: int | None
    repaired_rid_extension: int | None
    rids: list[str]
    rtx_ssrcs: dict[int, int]


class Outgoing(NamedTuple):
    """What a viewer takes of one kind."""

    payload_type: int
    rtx_payload_type: int | None
    nack: bool


class Stream(NamedTuple):
    """A track as it is announced to viewers."""

    format: Format
    ssrc: int
    rtx_ssrc: int


# ---- reading -----------------------------------------------------------------------------------


def read_offer(text: str) -> Offer:
    """The offer, or BadOffer: whatever is wrong with a stranger's text is her mistake, never our 500."""
    if len(text) > MAX_OFFER_BYTES:
        raise BadOffer("too long")
    try:
        return _read(text)
    except BadOffer:
        raise
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise BadOffer(f"unreadable: {type(error).__name__}") from None


def _read(text: str) -> Offer:
    if _CONTROL.search(text):
        raise BadOffer("control characters")
    lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if not lines or lines[0] != "v=0":
        raise BadOffer("no v=0")
    if len(lines) > _MAX_LINES:
        raise BadOffer("too many lines")
    if any(len(line) < 2 or line[1] != "=" for line in lines):
        raise BadOffer("not type=value")
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    if not 1 < len(starts) <= 17:
        raise BadOffer("no media" if len(starts) == 1 else "too many m-lines")
    sections = [lines[a:b] for a, b in pairwise(starts)]
    session = lines[: starts[0]]
    medias = [_read_media(section) for section in sections]
    everything = [session, *sections]
    mids = [media.mid for media in medias if media.mid]
    if len(set(mids)) != len(mids):
        raise BadOffer("mid twice")
    ufrag = _first(everything, "ice-ufrag")
    password = _first(everything, "ice-pwd")
    if not ufrag or not password or not re.fullmatch(r"[A-Za-z0-9+/=_-]{4,256}", ufrag):
        raise BadOffer("no ice-ufrag or ice-pwd")
    found = {_value(line) for section in everything for line in section if line.startswith("a=fingerprint:")}
    if len(found) > _MAX_FINGERPRINTS:
        raise BadOffer("too many fingerprints")
    fingerprints = [(value.split()[0].lower(), value.split()[1]) for value in sorted(found)]
    known = [pair for pair in fingerprints if pair[0] in ("sha-256", "sha-384", "sha-512")]
    if not known or not all(_FINGERPRINT.fullmatch(value) for _, value in known):
        raise BadOffer("no fingerprint of SHA-256 or better")
    setup = _first(everything, "setup") or "actpass"
    if setup not in ("actpass", "active", "passive"):
        raise BadOffer("setup")
    return Offer(ufrag, password, known, setup, medias)


def _read_media(section: list[str]) -> Media:
    kind, port, proto, *formats = section[0][2:].split()
    port_number = _number(port.partition("/")[0], 65535)
    media = Media(_token(kind), port_number, proto, formats, codecs={}, extensions={}, rtx_ssrcs={})
    ssrcs: dict[int, None] = {}
    for_all: set[str] = set()
    for line in section[1:]:
        if not line.startswith("a="):
            continue
        name, _, value = line[2:].partition(":")
        if name in ("sendrecv", "sendonly", "recvonly", "inactive"):
            media.direction = name
        elif name == "mid":
            media.mid = _token(value)
        elif name == "rtcp-mux":
            media.rtcp_mux = True
        elif name == "rtpmap":
            number, encoding = value.split(maxsplit=1)
            codec, rate, *channels = encoding.strip().split("/")
            payload_type = _number(number, 127)
            media.codecs[payload_type] = Codec(
                payload_type,
                codec.upper(),
                _number(rate, 1_000_000),
                _number(channels[0], 255) if channels else 1,
                {},
                set(),
            )
        elif name == "fmtp":
            number, _, parameters = value.partition(" ")
            if (known := media.codecs.get(_number(number, 127))) is not None:
                known.fmtp = _parameters(parameters)
        elif name == "rtcp-fb":
            number, _, what = value.partition(" ")
            if what.strip() not in _FEEDBACK:
                continue
            if number == "*":
                for_all.add(what.strip())
            elif (known := media.codecs.get(_number(number, 127))) is not None:
                known.feedback.add(what.strip())
        elif name == "extmap":
            number, uri = value.split()[:2]
            name_of_it = _number(number.partition("/")[0], 65535)
            if 0 < name_of_it < 256:  # RFC 8285 section 4.3; above are the offerer's own notes
                media.extensions[uri] = name_of_it
        elif name == "rid" and " send" in value:
            media.rids.append(_token(value.split()[0]))
        elif name == "simulcast":
            words = value.split()
            if "send" in words:
                alternatives = words[words.index("send") + 1]
                media.simulcast = [_token(rid.lstrip("~").split(",")[0].lstrip("~")) for rid in alternatives.split(";")]
        elif name == "ssrc":
            ssrcs[_number(value.split()[0], 0xFFFFFFFF)] = None
        elif name == "ssrc-group" and value.startswith("FID "):
            base, resend = value.split()[1:3]
            media.rtx_ssrcs[_number(resend, 0xFFFFFFFF)] = _number(base, 0xFFFFFFFF)
    for codec_offered in media.codecs.values():
        codec_offered.feedback |= for_all
    media.ssrcs = list(ssrcs)
    if len(media.rids) > _MAX_RIDS or len(media.simulcast) > _MAX_RIDS or len(ssrcs) > _MAX_SSRCS:
        raise BadOffer("too many streams")
    if len(set(media.simulcast)) != len(media.simulcast):
        raise BadOffer("rid twice")
    return media


def _number(text: str, most: int) -> int:
    """A number as RFC 8866 writes one: no sign, no other alphabet's digits, none that a line alone could fill."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise BadOffer("not a number")
    return int(text)


def _first(sections: list[list[str]], name: str) -> str:
    return next((_value(line) for lines in sections for line in lines if line.startswith(f"a={name}:")), "")


def _value(line: str) -> str:
    return line.partition(":")[2].strip()


def _token(value: str) -> str:
    # It comes back in our answer: only what RFC 8866 calls a token may.
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}", value.strip()):
        raise BadOffer("not a token")
    return value.strip()


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


# ---- answering ---------------------------------------------------------------------------------


def answer_publisher(offer: Offer, ours: Ours) -> tuple[str, Incoming]:
    """The answer to WHIP: receive the first sound and the first picture. Raises Unsupported."""
    formats: dict[int, tuple[Kind, Format]] = {}
    rtx: dict[int, int] = {}
    rid_extension = repaired_extension = None
    rids: list[str] = []
    rtx_ssrcs: dict[int, int] = {}
    taken: set[str] = set()
    sections: list[tuple[Media, list[str] | None]] = []
    for media in offer.medias:
        codec = _publishers_codec(media) if media.kind not in taken and _usable(media, "send") else None
        if codec is None:
            sections.append((media, None))
            continue
        taken.add(media.kind)
        kind: Kind = "video" if media.kind == "video" else "audio"
        formats[codec.payload_type] = (kind, Format(codec.name, codec.clock_rate, codec.fmtp))
        lines = ["a=recvonly", *_codec_lines(codec)]
        resend = _rtx_of(media, codec)
        if resend is not None:
            rtx[resend.payload_type] = codec.payload_type
            lines += _codec_lines(resend)
        rtx_ssrcs |= media.rtx_ssrcs
        wanted = [_MID]
        if media.simulcast:
            wanted += [_RID, _REPAIRED_RID]
            rids = media.simulcast
            rid_extension = media.extensions.get(_RID)
            repaired_extension = media.extensions.get(_REPAIRED_RID)
            lines += [f"a=rid:{rid} recv" for rid in rids] + [f"a=simulcast:recv {';'.join(rids)}"]
        lines += [f"a=extmap:{media.extensions[uri]} {uri}" for uri in wanted if uri in media.extensions]
        sections.append((media, [*_formats(codec, resend), *lines]))
    if not formats:
        raise Unsupported("neither sound nor picture that we forward")
    incoming = Incoming(formats, rtx, rid_extension, repaired_extension, rids, rtx_ssrcs)
    return _write(offer, ours, sections), incoming


def answer_viewer(offer: Offer, ours: Ours, streams: dict[Kind, Stream]) -> tuple[str, dict[Kind, Outgoing]]:
    """The answer to WHEP: send what the show has, numbered as this viewer numbers it. Raises Unsupported."""
    outgoing: dict[Kind, Outgoing] = {}
    sections: list[tuple[Media, list[str] | None]] = []
    for media in offer.medias:
        kind: Kind | None = "video" if media.kind == "video" else "audio" if media.kind == "audio" else None
        stream = streams.get(kind) if kind and kind not in outgoing and _usable(media, "recv") else None
        codec = _matching(media, stream.format) if stream else None
        if kind is None or stream is None or codec is None:
            sections.append((media, None))
            continue
        resend = _rtx_of(media, codec)
        outgoing[kind] = Outgoing(codec.payload_type, resend.payload_type if resend else None, "nack" in codec.feedback)
        lines = ["a=sendonly", f"a=msid:{_CNAME} {kind}", *_codec_lines(codec)]
        if resend is not None:
            lines += _codec_lines(resend)
            lines.append(f"a=ssrc-group:FID {stream.ssrc} {stream.rtx_ssrc}")
        lines += [f"a=ssrc:{stream.ssrc} cname:{_CNAME}", f"a=ssrc:{stream.ssrc} msid:{_CNAME} {kind}"]
        if resend is not None:
            lines += [f"a=ssrc:{stream.rtx_ssrc} cname:{_CNAME}", f"a=ssrc:{stream.rtx_ssrc} msid:{_CNAME} {kind}"]
        sections.append((media, [*_formats(codec, resend), *lines]))
    wanted = {media.kind for media in offer.medias} & set(streams)
    if not outgoing or ("video" in wanted and "video" not in outgoing):
        raise Unsupported("the show's codec is not in the offer")
    return _write(offer, ours, sections), outgoing


def role_of_ours(offer: Offer) -> str:
    """ "client" (we say active) when the other side insists on passive, as FFmpeg does by default; else "server"."""
    return "client" if offer.setup == "passive" else "server"


def restart_fragment(ours: Ours, mid: str = "") -> str:
    """The `application/trickle-ice-sdpfrag` that answers an ICE restart (RFC 9725 section 4.3.3, RFC 8840)."""
    lines = ["a=ice-lite", f"a=ice-ufrag:{ours.ufrag}", f"a=ice-pwd:{ours.password}"]
    lines += ["m=audio 9 UDP/TLS/RTP/SAVPF 0", f"a=mid:{mid or '0'}", *_candidates(ours), "a=end-of-candidates"]
    return "\r\n".join(lines) + "\r\n"


def read_fragment(text: str) -> tuple[str, str]:
    """(ufrag, pwd) of a trickle fragment, empty when it has none. Its candidates are not needed: we are lite, and
    learn the peer's address from its checks. Raises BadOffer."""
    lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if not lines or len(text) > MAX_OFFER_BYTES or any(len(line) < 2 or line[1] != "=" for line in lines):
        raise BadOffer("not a fragment")
    ufrag, password = _first([lines], "ice-ufrag"), _first([lines], "ice-pwd")
    if ufrag and not re.fullmatch(r"[A-Za-z0-9+/=_-]{4,256}", ufrag):
        raise BadOffer("ice-ufrag")
    return ufrag, password


def _write(offer: Offer, ours: Ours, sections: list[tuple[Media, list[str] | None]]) -> str:
    bundle = " ".join(media.mid for media, lines in sections if lines is not None and media.mid)
    out = ["v=0", "o=frontrow 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite"]
    if bundle:
        out.append(f"a=group:BUNDLE {bundle}")
    out.append("a=msid-semantic: WMS *")
    first = True
    host, port = ours.candidates[0]
    for media, lines in sections:
        if lines is None:
            out += [f"m={media.kind} 0 {media.proto} {' '.join(media.formats)}", "c=IN IP4 0.0.0.0", "a=inactive"]
            if media.mid:
                out.append(f"a=mid:{media.mid}")
            continue
        formats, *rest = lines
        out += [f"m={media.kind} {port} {media.proto} {formats}", f"c=IN {'IP6' if ':' in host else 'IP4'} {host}"]
        if media.mid:
            out.append(f"a=mid:{media.mid}")
        out += [f"a=ice-ufrag:{ours.ufrag}", f"a=ice-pwd:{ours.password}", f"a=fingerprint:{ours.fingerprint}"]
        out += [f"a=setup:{'active' if role_of_ours(offer) == 'client' else 'passive'}", "a=rtcp-mux"]
        if media.kind == "video":
            out.append("a=rtcp-rsize")
        out += rest
        if first:
            out += [*_candidates(ours), "a=end-of-candidates"]
            first = False
    return "\r\n".join(out) + "\r\n"


def _candidates(ours: Ours) -> list[str]:
    top = 126 << 24 | 255  # type preference of a host candidate, component 1 (RFC 8445 section 5.1.2.1)
    return [
        f"a=candidate:{index + 1} 1 udp {top + (65535 - index << 8)} {host} {port} typ host"
        for index, (host, port) in enumerate(ours.candidates)
    ]


def _usable(media: Media, way: str) -> bool:
    directions = ("sendrecv", "sendonly") if way == "send" else ("sendrecv", "recvonly")
    # Port 0 asks for nothing, unless it is a bundled section that has no port of its own yet (RFC 9143).
    return media.kind in ("audio", "video") and "RTP/SAVP" in media.proto and media.direction in directions


def _publishers_codec(media: Media) -> Codec | None:
    offered = list(media.codecs.values())
    if media.kind == "audio":
        return next((codec for codec in offered if codec.name == "OPUS" and codec.clock_rate == 48000), None)
    known = [codec for codec in offered if codec.name in _VIDEO and codec.clock_rate == 90000]
    return min(known, key=lambda codec: (_VIDEO.index(codec.name), _h264_rank(codec)), default=None)


def _h264_rank(codec: Codec) -> int:
    """Constrained baseline with packetization-mode 1 plays everywhere."""
    if codec.name != "H264":
        return 0
    profile = codec.fmtp.get("profile-level-id", "42001f").lower()
    rank = 0 if profile.startswith("42e0") else 1 if profile.startswith("42") else 2
    return rank + (0 if codec.fmtp.get("packetization-mode") == "1" else 4)


def _matching(media: Media, wanted: Format) -> Codec | None:
    """The offered payload type that can carry a track of this format."""
    same = [
        codec for codec in media.codecs.values() if codec.name == wanted.codec and codec.clock_rate == wanted.clock_rate
    ]
    if wanted.codec == "H264":
        mode = wanted.fmtp.get("packetization-mode", "0")
        profile = wanted.fmtp.get("profile-level-id", "42e01f").lower()[:4]
        # A receiver of mode 1 takes mode 0 too; not the other way round (RFC 6184 section 8.1).
        fit = [codec for codec in same if mode == "0" or codec.fmtp.get("packetization-mode") == mode]
        exact = [codec for codec in fit if codec.fmtp.get("profile-level-id", "").lower().startswith(profile)]
        return min(exact or fit, key=_h264_rank, default=None)
    if wanted.codec == "VP9":
        profile = wanted.fmtp.get("profile-id", "0")
        return next((codec for codec in same if codec.fmtp.get("profile-id", "0") == profile), None)
    return same[0] if same else None


def _rtx_of(media: Media, codec: Codec) -> Codec | None:
    return next((c for c in media.codecs.values() if c.name == "RTX" and c.apt == codec.payload_type), None)


def _formats(codec: Codec, resend: Codec | None) -> list[str]:
    return [f"{codec.payload_type} {resend.payload_type}" if resend else str(codec.payload_type)]


def _codec_lines(codec: Codec) -> list[str]:
    name = {"OPUS": "opus", "RTX": "rtx", "AV1": "AV1"}.get(codec.name, codec.name)
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    lines = [f"a=rtpmap:{codec.payload_type} {name}/{codec.clock_rate}{channels}"]
    lines += [f"a=rtcp-fb:{codec.payload_type} {what}" for what in _FEEDBACK if what in codec.feedback]
    if codec.fmtp:
        words = ";".join(f"{name}={value}" if value else name for name, value in codec.fmtp.items())
        lines.append(f"a=fmtp:{codec.payload_type} {words}")
    return lines
