"""The STUN a lite agent needs: authenticated Binding requests, answered, and now and then one of our own
(RFC 8489, RFC 8445 section 2.5).

Bytes in, bytes out. Anything else parses to None: garbage is dropped without an answer, so that the port
amplifies nothing.
"""

from __future__ import annotations

import hmac
import socket
import struct
import zlib
from typing import NamedTuple

COOKIE = 0x2112A442
_HEADER = struct.Struct("!HHI12s")
_BINDING_REQUEST = 0x0001
_BINDING_RESPONSE = 0x0101
_MAX_ATTRIBUTES = 24  # of which a browser's check has eight: 2 KB of empty ones would cost a tenth of a millisecond
_USERNAME = 0x0006
_MESSAGE_INTEGRITY = 0x0008
_XOR_MAPPED_ADDRESS = 0x0020
_USE_CANDIDATE = 0x0025
_FINGERPRINT = 0x8028
_ICE_CONTROLLED = 0x8029
_ICE_CONTROLLING = 0x802A
_FINGERPRINT_XOR = 0x5354554E


class Check(NamedTuple):
    """A connectivity check, not yet believed: `authentic` says whether it is."""

    local_ufrag: str
    remote_ufrag: str
    nominates: bool
    transaction: bytes
    covered: bytes
    integrity: bytes

    def authentic(self, password: bytes) -> bool:
        """Whether the sender knows our password (RFC 8489 section 9.1, short-term credentials)."""
        return hmac.compare_digest(hmac.digest(password, self.covered, "sha1"), self.integrity)


class Echo(NamedTuple):
    """The success response to a check of ours, not yet believed."""

    transaction: bytes
    covered: bytes
    integrity: bytes

    def authentic(self, password: bytes) -> bool:
        """Whether the sender knows the password that our check was signed with: the peer's own."""
        return hmac.compare_digest(hmac.digest(password, self.covered, "sha1"), self.integrity)


def parse_check(packet: bytes) -> Check | None:
    """The Binding request in `packet`, or None. Attributes after MESSAGE-INTEGRITY are ignored, as they must be."""
    found = _parse(packet, _BINDING_REQUEST)
    if found is None:
        return None
    username, nominates, transaction, covered, integrity = found
    local, _, remote = username.decode("utf-8", "replace").partition(":")
    return Check(local, remote, nominates, transaction, covered, integrity) if local else None


def parse_echo(packet: bytes) -> Echo | None:
    """The Binding success response in `packet`, or None."""
    found = _parse(packet, _BINDING_RESPONSE)
    return Echo(*found[2:]) if found is not None else None


def _parse(packet: bytes, wanted: int) -> tuple[bytes, bool, bytes, bytes, bytes] | None:
    """(username, nominates, transaction, what is covered, integrity) of a message of the wanted type."""
    if len(packet) < 20:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(packet)
    if kind != wanted or cookie != COOKIE or length + 20 != len(packet):
        return None
    username, nominates, position = b"", False, 20
    for _ in range(_MAX_ATTRIBUTES):
        if position + 4 > len(packet):
            return None
        attribute, size = struct.unpack_from("!HH", packet, position)
        value = packet[position + 4 : position + 4 + size]
        if len(value) != size:
            return None
        if attribute == _USERNAME:
            username = value
        elif attribute == _USE_CANDIDATE:
            nominates = True
        elif attribute == _MESSAGE_INTEGRITY:
            # The length covered ends with this attribute (RFC 8489 section 14.5).
            covered = packet[:2] + struct.pack("!H", position + 24 - 20) + packet[4:position]
            return (username, nominates, transaction, covered, value) if size == 20 else None
        position += 4 + (size + 3 & ~3)
    return None


def answer(check: Check, password: bytes, host: str, port: int) -> bytes:
    """The success response: where the check came from, signed."""
    mask = struct.pack("!I", COOKIE) + check.transaction
    family, address = _packed(host)
    mapped = bytes(a ^ b for a, b in zip(address, mask, strict=False))
    body = struct.pack("!HHBBH", _XOR_MAPPED_ADDRESS, 4 + len(address), 0, family, port ^ COOKIE >> 16) + mapped
    message = _HEADER.pack(_BINDING_RESPONSE, len(body) + 24, COOKIE, check.transaction) + body
    message += struct.pack("!HH", _MESSAGE_INTEGRITY, 20) + hmac.digest(password, message, "sha1")
    message = message[:2] + struct.pack("!H", len(message) - 20 + 8) + message[4:]
    return message + struct.pack("!HHI", _FINGERPRINT, 4, zlib.crc32(message) ^ _FINGERPRINT_XOR)


def request(
    local_ufrag: str,
    remote_ufrag: str,
    password: bytes,
    transaction: bytes,
    *,
    nominate: bool,
    controlling: bool = True,
) -> bytes:
    """The check that a full agent sends us: for the pull from another relay, the tests and the benchmark.

    `controlling`: False when the other side made the offer and is no lite agent (RFC 8445 section 6.1.1).
    """
    username = f"{remote_ufrag}:{local_ufrag}".encode()
    body = struct.pack("!HH", _USERNAME, len(username)) + username + bytes(-len(username) % 4)
    body += struct.pack("!HHI", 0x0024, 4, 1845501695)
    body += struct.pack("!HHQ", _ICE_CONTROLLING if controlling else _ICE_CONTROLLED, 8, 1)
    if nominate:
        body += struct.pack("!HH", _USE_CANDIDATE, 0)
    message = _HEADER.pack(_BINDING_REQUEST, len(body) + 24, COOKIE, transaction) + body
    message += struct.pack("!HH", _MESSAGE_INTEGRITY, 20) + hmac.digest(password, message, "sha1")
    message = message[:2] + struct.pack("!H", len(message) - 20 + 8) + message[4:]
    return message + struct.pack("!HHI", _FINGERPRINT, 4, zlib.crc32(message) ^ _FINGERPRINT_XOR)


def _packed(host: str) -> tuple[int, bytes]:
    if ":" in host:
        return 2, socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return 1, socket.inet_aton(host)
