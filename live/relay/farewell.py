"""The one thing a DTLS association is still good for once media flows: to hear, and to say, that it is over.

OpenSSL keeps 75 KiB of buffers for that. So when the handshake is proved to be over on both sides, its keys are taken
out, our own close_notify is made, and OpenSSL is let go; what the peer says then is read here. DTLS 1.2 with AES-GCM
only (RFC 6347 section 4.1, RFC 5288 section 3); whoever agreed on something else keeps OpenSSL. Bytes in, facts out.
"""

from __future__ import annotations

import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "DTLSv1.2"
_SUITES = {"AES128-GCM-SHA256": (16, "sha256"), "AES256-GCM-SHA384": (32, "sha384")}
_HEADER = struct.Struct("!BHHHIH")  # type, version, epoch, sequence number in 16 + 32 bits, length
_ALERT, _CLOSE_NOTIFY = 21, 0
_EXPLICIT, _TAG = 8, 16
_MAX_ALERTS = 8  # tried of one datagram: garbage costs no more than that


def reads(version: str, cipher: str) -> bool:
    """Whether what was agreed on can be read here. `cipher`: OpenSSL's name."""
    return version == VERSION and any(cipher.endswith(suite) for suite in _SUITES)


class Farewell:
    """The other side's write key of epoch 1, and our close_notify, ready to be sent."""

    __slots__ = ("_key", "_salt", "ours")

    def __init__(
        self, cipher: str, master: bytes, client_random: bytes, server_random: bytes, *, from_client: bool, ours: bytes
    ) -> None:
        size, digest = next(facts for suite, facts in _SUITES.items() if cipher.endswith(suite))
        block = _expand(digest, master, b"key expansion" + server_random + client_random, 2 * size + 8)
        key_at, salt_at = (0, 2 * size) if from_client else (size, 2 * size + 4)
        self._key, self._salt = block[key_at : key_at + size], block[salt_at : salt_at + 4]
        self.ours = ours

    def heard(self, datagram: bytes) -> bool:
        """Whether there is an authentic close_notify in it."""
        position = tried = 0
        while position + _HEADER.size <= len(datagram) and tried < _MAX_ALERTS:
            kind, version, epoch, _, _, length = _HEADER.unpack_from(datagram, position)
            body = datagram[position + _HEADER.size : position + _HEADER.size + length]
            if kind == _ALERT and epoch == 1 and len(body) == length == _EXPLICIT + 2 + _TAG:
                tried += 1
                if self._opened(datagram[position + 3 : position + 11], version, body)[1:] == bytes((_CLOSE_NOTIFY,)):
                    return True
            position += _HEADER.size + length
        return False

    def _opened(self, number: bytes, version: int, body: bytes) -> bytes:
        """The alert's two bytes; none when it is not theirs."""
        covered = number + struct.pack("!BHH", _ALERT, version, 2)
        try:
            return AESGCM(self._key).decrypt(self._salt + body[:_EXPLICIT], body[_EXPLICIT:], covered)
        except InvalidTag:
            return b""


def _expand(digest: str, secret: bytes, seed: bytes, size: int) -> bytes:
    """P_hash (RFC 5246 section 5)."""
    out, step = b"", seed
    while len(out) < size:
        step = hmac.digest(secret, step, digest)
        out += hmac.digest(secret, step + seed, digest)
    return out[:size]
