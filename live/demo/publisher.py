"""Publish by WHIP, as any camera does: an HTTP POST with the bearer key, then DTLS and SRTP. FFmpeg's own muxer sends.

Source: RFC 9725; FFmpeg's `whip` muxer, which needs an ECDSA P-256 certificate given to it.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from av.container import OutputContainer
from av.error import FFmpegError, HTTPClientError, HTTPForbiddenError, HTTPNotFoundError, HTTPUnauthorizedError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from live.demo.feed import Feed
from live.errors import Error

FIRST_WAIT_S, LONGEST_WAIT_S = 0.4, 8.0
# On air for this long: the next trouble is a new one and the wait starts small again.
SETTLED_S = 10.0
OTHER_END_S = 0.1
CERTIFICATE_DAYS = 30
Say = Callable[[str], None]


class Refused(Error):
    """The server said no for good: trying again won't help."""

    code = "publish_refused"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(url=url, status=status)


def publish(
    url: str, key: str, feed: Feed, *, stop: threading.Event, say: Say, on_air: Callable[[], None] = lambda: None
) -> None:
    """Send `feed` to `url` until `stop`; when the server goes away, try again with growing waits.

    Raises: Refused (no key 401, another show's key 403, no such show 404).
    """
    wait_s = FIRST_WAIT_S
    said = ""
    with TemporaryDirectory(prefix="frontrow-publish-") as folder:
        certificate = _certificate(Path(folder))
        while not stop.is_set():
            began = time.monotonic()
            try:
                _session(url, key, feed, certificate, stop, say, on_air)
            except (HTTPUnauthorizedError, HTTPForbiddenError, HTTPNotFoundError) as error:
                raise Refused(url, _status(error)) from error
            except (FFmpegError, OSError) as error:
                if time.monotonic() - began > SETTLED_S:
                    wait_s = FIRST_WAIT_S
                # Nobody listens yet, or not any more: knocking costs nobody anything, so it goes on at the same pace.
                knocking = isinstance(error, ConnectionRefusedError)
                wait_s = FIRST_WAIT_S if knocking else wait_s
                if not (knocking and said == str(error)):
                    say(f"not on air: {error.strerror or error}. Trying again in {wait_s:.1f} s.")
                said = str(error)
                stop.wait(wait_s)
                wait_s = min(wait_s * 1.6, LONGEST_WAIT_S)


def _session(
    url: str,
    key: str,
    feed: Feed,
    certificate: dict[str, str],
    stop: threading.Event,
    say: Say,
    on_air: Callable[[], None],
) -> None:
    # dtls_active: as the DTLS server, FFmpeg 8 loses the first ClientHello, and the next comes a second later.
    options = {"authorization": key, "whip_flags": "dtls_active", **certificate}
    output = av.open(url, "w", format="whip", options=options)
    try:
        feed.open(output)
        output.start_encoding()  # writes the header: the POST, ICE and DTLS
        # Our end is ready a moment before the other: a first key frame sent into that moment is lost, and the next
        # comes a second later.
        stop.wait(OTHER_END_S)
        say(f"on air at {url}")
        on_air()
        for due in feed.packets():
            if stop.is_set():
                return
            output.mux(due.packet)
    finally:
        _close(output)


def _close(output: OutputContainer) -> None:
    with contextlib.suppress(FFmpegError, OSError):  # the server may have gone first
        output.close()  # the DELETE


def _status(error: HTTPClientError) -> int:
    for kind, status in ((HTTPUnauthorizedError, 401), (HTTPForbiddenError, 403), (HTTPNotFoundError, 404)):
        if isinstance(error, kind):
            return status
    return 400


def _certificate(folder: Path) -> dict[str, str]:
    """A fresh self-signed certificate, as the muxer's options; DTLS trusts it by its fingerprint in the offer."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "frontrow publisher")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return {"cert_file": str(cert_file), "key_file": str(key_file)}
