"""What can go wrong in the room, as facts.

Error                       carries
├── NotAdmitted             close_code, reason        the gate turned a socket away
├── BadFrame                close_code, why           a frame that no client of ours sends: the socket is closed
├── Refused                 code, facts               an intent's answer is "no"; the socket stays
│   ├── Invalid             field, why
│   ├── Forbidden           need (the role that was missing)
│   ├── UnknownKind         kind
│   ├── Silenced            until_ms, reason, kind
│   ├── Throttled           retry_after_ms
│   ├── SlowMode            retry_after_ms, slow_s
│   ├── Blocked             why ("term", "link", "repeat", "name", "buyers", "age", "emote", "raid", "full"), until_ms
│   ├── Claimed             by, until_ms              another moderator has it
│   ├── Decided             verdict, by               another moderator was faster
│   └── NotFound            what, which
└── StoreDown               retry_after_s             Redis or the archive did not answer (also a Refused)
"""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """An expected failure of the room."""


class NotAdmitted(Error):
    """Raised by a Gate. 4403 refuses the handshake itself (HTTP 403); any other code is a close frame the page can
    read: 4401 sign in again, 4404 no such room, 4429 too many sockets."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(close_code, reason)
        self.close_code = close_code
        self.reason = reason


class BadFrame(Error):
    """1003 not text, 1007 not an envelope, 1009 too large, 4408 no hello in time."""

    def __init__(self, close_code: int, why: str) -> None:
        super().__init__(close_code, why)
        self.close_code = close_code
        self.why = why


class Refused(Error):
    """`Refused("sold_out", sku="s1", left=0)`: answered as `refused` with `code` and `facts`."""

    code = "refused"

    def __init__(self, code: str | None = None, **facts: Any) -> None:
        self.code = code or type(self).code
        self.facts = facts
        super().__init__(self.code, facts)


class Invalid(Refused):
    code = "invalid"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field=field, why=why)


class Forbidden(Refused):
    code = "forbidden"

    def __init__(self, need: str) -> None:
        super().__init__(need=need)


class UnknownKind(Refused):
    code = "unknown_kind"

    def __init__(self, kind: str) -> None:
        super().__init__(kind=kind)


class Silenced(Refused):
    code = "silenced"

    def __init__(self, until_ms: int, reason: str, kind: str) -> None:
        super().__init__(until_ms=until_ms, reason=reason, kind=kind)


class Throttled(Refused):
    code = "throttled"

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(retry_after_ms=retry_after_ms)


class SlowMode(Refused):
    code = "slow_mode"

    def __init__(self, retry_after_ms: int, slow_s: int) -> None:
        super().__init__(retry_after_ms=retry_after_ms, slow_s=slow_s)


class Blocked(Refused):
    code = "blocked"

    def __init__(self, why: str, **more: Any) -> None:
        super().__init__(why=why, **more)


class Claimed(Refused):
    code = "claimed"

    def __init__(self, by: str, until_ms: int) -> None:
        super().__init__(by=by, until_ms=until_ms)


class Decided(Refused):
    code = "decided"

    def __init__(self, verdict: str, by: str) -> None:
        super().__init__(verdict=verdict, by=by)


class NotFound(Refused):
    code = "not_found"

    def __init__(self, what: str, which: str) -> None:
        super().__init__(what=what, which=which)


class StoreDown(Refused):
    """The room's state could not be read or written; nothing was promised."""

    code = "store_down"

    def __init__(self, retry_after_s: int = 2, **more: Any) -> None:
        super().__init__(retry_after_s=retry_after_s, **more)
