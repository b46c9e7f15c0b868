"""A crowd in a room whose processes die: every member keeps what a page keeps, and checks what it gets as it comes.

I7  numbers reach a client without gap or duplicate, or with an explicit reset or skip
    and each number of an epoch is the same line for everybody
I9  a removed line is never delivered later
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ports import free_port
from websockets.exceptions import InvalidHandshake

from chat.client import RoomClient

ROOT = Path(__file__).parents[2]
ROOM = "spring"
LINES_KEPT = 50


class WebProcess:
    """`bench/room_server.py` on a port that stays its own over restarts."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/{ROOM}"

    async def start(self) -> None:
        command = [sys.executable, str(ROOT / "bench" / "room_server.py"), "--redis", self._redis_url]
        command += ["--port", str(self.port)]
        self._process = await asyncio.to_thread(
            subprocess.Popen, command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "PATH": ""}
        )
        assert self._process.stdout is not None
        assert json.loads(await asyncio.to_thread(self._process.stdout.readline))["port"] == self.port

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await asyncio.to_thread(process.wait)
            assert process.stdout is not None
            process.stdout.close()


class Facts:
    """What the whole crowd knows: which lines were posted (acknowledged), and which removals were."""

    def __init__(self) -> None:
        self.posted: dict[str, str] = {}  # text -> id
        self.removed: set[str] = set()  # acknowledged
        self.wrong: list[str] = []
        self.given: dict[tuple[str, int], str] = {}  # (epoch, number) -> the line that somebody was sent under it
        self.returns = 0  # times that somebody who had been in came back after her socket was lost
        self.resumes = 0  # … and was given what she missed
        self.resets = 0
        self.losses = 0  # times that the store came back without what it answered last


class Page:
    """One of the crowd. `live` connects, follows, comes back; it ends when cancelled."""

    def __init__(self, name: str, webs: list[WebProcess], facts: Facts, chance: random.Random, role: str = "") -> None:
        self.name, self._webs, self._facts, self._chance = name, webs, facts, chance
        self._cookie = f"who={name}:{role}"
        self.client: RoomClient | None = None
        self.stood: tuple[str, int] | None = None
        self.lines: dict[str, str] = {}
        self.gone: set[str] = set()
        self._known_removed: set[str] = set()

    async def live(self) -> None:
        while True:
            self._known_removed = set(self._facts.removed)  # before we ask: must not be in what we get
            try:
                client = await self._connect(self._chance.choice(self._webs))
            except (OSError, ConnectionError, TimeoutError, InvalidHandshake):
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))
                continue
            try:
                self.client = client
                await client.wait_closed(timeout=3600)
            finally:
                self.client = None
                await client.aclose()

    async def _connect(self, web: WebProcess) -> RoomClient:
        """Every envelope is taken as it comes, also those before the welcome."""
        stood = self.stood
        client = await RoomClient.connect(web.url, self._cookie, resume_from=stood, timeout=8, on_envelope=self._take)
        self._facts.returns += stood is not None
        self._facts.resumes += client.welcome is None
        return client

    def _take(self, envelope: dict[str, Any]) -> None:
        kind, body, seq = envelope["kind"], envelope["body"], envelope.get("seq")
        if kind in ("welcome", "reset"):
            self._facts.resets += kind == "reset"
            self.stood = (body["epoch"], body["seq"])
            self.lines = {line["id"]: line["text"] for line in body["room"]["lines"]}
            for line in self.lines.keys() & self._known_removed:
                self._say(f"a snapshot holds {line}, removed before it was asked for")
            return
        if kind == "resumed":
            if self.stood != (body["epoch"], body["seq"]):
                self._say(f"resumed at {body['seq']}, had {self.stood}")
            return
        if kind == "events.skipped" and self.stood is not None:
            self._step(body["from_seq"], body["to_seq"])
        elif seq is not None:
            self._step(seq, seq)
        if kind == "line.posted":
            line = body["line"]
            if line["id"] in self.gone or line["id"] in self._known_removed:
                self._say(f"{line['id']} was delivered after its removal")
            self.lines[line["id"]] = line["text"]
            if self.stood is not None and self._facts.given.setdefault(self.stood, line["id"]) != line["id"]:
                self._say(f"{self.stood} was given out again, for {line['id']}")
        elif kind in ("line.removed", "lines.removed"):
            for which in body.get("lines") or [body["line"]]:
                self.gone.add(which)
                self.lines.pop(which, None)

    def _step(self, first: int, last: int) -> None:
        assert self.stood is not None
        epoch, seq = self.stood
        if first != seq + 1:
            self._say(f"{first} came after {seq}")
        self.stood = (epoch, last)

    def _say(self, what: str) -> None:
        self._facts.wrong.append(f"{self.name}: {what}")

    async def ask(self, kind: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Ask until it is answered, always with the same op, as a page does; the answer's body, None for a refusal
        that is final."""
        op = secrets.token_hex(8)
        while True:
            client = self.client
            if client is None:
                await asyncio.sleep(0.02)
                continue
            try:
                answer = await client.post(kind, body, op=op, timeout=20)
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            if answer.ok:
                return answer.body
            if answer.code not in ("store_down", "timeout", "internal"):
                return None
            await asyncio.sleep(0.1)


async def talk(page: Page, facts: Facts, chance: random.Random, each_s: float, enough: asyncio.Event) -> None:
    """Say things, and take some of them back, until it is enough; what was asked by then is answered first."""
    number = 0
    while not enough.is_set():
        text = f"{page.name} {number} {chance.getrandbits(60):x}"
        number += 1
        answer = await page.ask("line.post", {"text": text})
        if answer is not None:
            facts.posted[text] = answer["line"]
            if chance.random() < 0.3 and await page.ask("line.remove", {"line": answer["line"]}) is not None:
                facts.removed.add(answer["line"])
        await asyncio.sleep(chance.uniform(0.5, 1.5) * each_s)


def twice(log: list[dict[str, Any]]) -> list[str]:
    """Texts that stand in the log more than once."""
    texts = Counter(e["body"]["line"]["text"] for e in log if e["kind"] == "line.posted")
    return [text for text, n in texts.items() if n > 1]
