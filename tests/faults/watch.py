"""A page in the room, which comes back where it stopped: I7 and I9."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from websockets.exceptions import InvalidHandshake, WebSocketException

from chat.client import RoomClient

ANSWER_S = 30.0


class Watch:
    """What one buyer's page hears. `wrong` are its findings; `heard_since` is all that this connection brought."""

    def __init__(self, origin: str, slug: str) -> None:
        self._origin = origin
        self._url = origin.replace("http", "ws", 1) + f"/ws/{slug}"
        self._room: RoomClient | None = None
        self._at: tuple[str, int] | None = None
        self.wrong: list[str] = []
        self.heard_since = ""

    async def look(self, cookie: str) -> None:
        """Come back if the connection ended; take what came."""
        if self._room is not None and self._room.close_code is not None:
            await self.leave()
        if self._room is None:
            self.heard_since = ""
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, WebSocketException):
                self._room = await RoomClient.connect(
                    self._url, f"frontrow={cookie}", self._origin, resume_from=self._at, timeout=ANSWER_S
                )
                for envelope in self._room.envelopes:
                    self._take(envelope)
                self._room.on_envelope = self._take

    async def leave(self) -> None:
        if self._room is not None:
            await self._room.aclose()
        self._room = None

    async def say_and_unsay(self, text: str) -> bool:
        """Whether it is gone for sure. The connection ends with it, so that what comes next is all new."""
        if self._room is None:
            return False
        gone = False
        try:
            said = await self._room.post("line.post", {"text": text}, timeout=ANSWER_S)
            if said.ok and "line" in said.body:
                taken = await self._room.post("line.remove", {"line": said.body["line"]}, timeout=ANSWER_S)
                gone = taken.ok
        except (ConnectionError, TimeoutError):
            pass
        await self.leave()
        return gone

    def _take(self, envelope: dict[str, Any]) -> None:
        self.heard_since += json.dumps(envelope["body"])
        kind, body = envelope["kind"], envelope["body"]
        if kind in ("welcome", "reset"):
            self._at = (body["epoch"], body["seq"])
        elif kind == "resumed":
            if self._at is None or self._at[0] != body["epoch"]:
                self.wrong.append(f"I7: resumed {body} although it stood at {self._at}")
        elif kind == "events.skipped" and self._at is not None:
            self._at = (self._at[0], max(self._at[1], body["to_seq"]))
        elif "seq" in envelope and self._at is not None:
            epoch, seq = self._at
            if envelope["seq"] != seq + 1:
                self.wrong.append(f"I7: {envelope['seq']} ({kind}) came after {seq}")
            self._at = (epoch, envelope["seq"])
