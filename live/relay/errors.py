"""What can go wrong between an offer and a picture; `server.py` turns them into status codes.

RelayError              carries                      status
├── BadOffer            why                          400
├── Unsupported         why                          422
├── NotReady            retry_after_s                409  no key frame yet
├── Taken                                            409  another publisher is on, and this one came back
├── Full                retry_after_s                503  at capacity, or draining
├── NoSession                                        404
├── StaleTag                                         412  If-Match names another ICE generation
└── HandshakeFailed     why                          -    the peer never got through DTLS
"""

from __future__ import annotations


class RelayError(Exception):
    """An expected failure; `code` is its name on the control API."""

    code = "relay_error"
    status = 500


class BadOffer(RelayError):
    code = "bad_sdp"
    status = 400

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Unsupported(RelayError):
    code = "unsupported_media"
    status = 422

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NotReady(RelayError):
    code = "not_ready"
    status = 409

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class Taken(RelayError):
    code = "taken"
    status = 409


class Full(RelayError):
    code = "full"
    status = 503

    def __init__(self, retry_after_s: int = 3) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class NoSession(RelayError):
    code = "no_session"
    status = 404


class StaleTag(RelayError):
    code = "stale_tag"
    status = 412


class HandshakeFailed(RelayError):
    code = "handshake_failed"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
