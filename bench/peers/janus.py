"""Janus, as Debian packages it, measured with our own load client: the streaming plugin hands one RTP source to all.

The bench writes its configuration (one mountpoint, H.264 and Opus in on two ports), runs it in a network namespace
behind a veth pair (libnice leaves loopback out) and orders by the WebSocket API. Janus makes the offer and is the
controlling ICE agent; our client answers. Needs Debian's `janus` and `iproute2`, and root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from bench.relay_load import SOUND, VIDEO, Answerer, Camera, Viewer
from bench.relay_process import Place, ServerProcess

_VIDEO_PORT, _SOUND_PORT, _ORDERS_PORT = 15004, 15002, 18188
_FOLDERS = next(iter(Path("/usr/lib").glob("*/janus")), Path("/usr/lib/janus"))
_MAIN = f"""general: {{
  configs_folder = "FOLDER"
  plugins_folder = "{_FOLDERS}/plugins"
  transports_folder = "{_FOLDERS}/transports"
  events_folder = "{_FOLDERS}/events"
  loggers_folder = "{_FOLDERS}/loggers"
  debug_level = 3
}}
nat: {{ full_trickle = false ice_lite = false }}
plugins: {{ disable = "PLUGINS" }}
transports: {{ disable = "TRANSPORTS" }}
"""
_ORDERS = f"""general: {{ json = "compact" ws = true ws_port = {_ORDERS_PORT} wss = false }}
admin: {{ admin_ws = false }}
"""
_STREAM = f"""show: {{
  type = "rtp" id = 1 description = "bench" audio = true video = true
  audioport = {_SOUND_PORT} audiopt = {SOUND} audiocodec = "opus"
  videoport = {_VIDEO_PORT} videopt = {VIDEO} videocodec = "h264"
  videofmtp = "profile-level-id=42e01f;packetization-mode=1"
}}
"""


def missing() -> str:
    """What this host lacks to run it; "" when nothing."""
    if os.geteuid() != 0:
        return "root, for network namespaces"
    lacking = [package for command, package in (("janus", "janus"), ("ip", "iproute2")) if not shutil.which(command)]
    return f"apt-get install {' '.join(lacking)}" if lacking else ""


class JanusUnderTest(ServerProcess):
    """One Janus process with one mountpoint."""

    def __init__(self, folder: Path, core: int, place: Place) -> None:
        main = _MAIN.replace("FOLDER", str(folder))
        for kind, kept in (("plugins", "streaming"), ("transports", "websockets")):
            others = [one.name for one in (_FOLDERS / kind).glob("libjanus_*.so") if kept not in one.name]
            main = main.replace(kind.upper(), ",".join(others))
        (folder / "janus.jcfg").write_text(main)
        (folder / "janus.transport.websockets.jcfg").write_text(_ORDERS)
        (folder / "janus.plugin.streaming.jcfg").write_text(_STREAM)
        self._place = place
        self._log = folder / "janus.log"
        self.start(["janus", "-F", str(folder), "-N"], place, self._log, core)
        self._ws: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._up: dict[int, asyncio.Event] = {}
        self._session = 0
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def on_air(self, camera: Camera) -> None:
        deadline = asyncio.get_running_loop().time() + 15
        while self._ws is None:
            try:
                url = f"ws://{self._place.server}:{_ORDERS_PORT}"
                self._ws = await connect(url, subprotocols=["janus-protocol"], proxy=None)  # type: ignore[list-item]
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    raise SystemExit(f"Janus did not start:\n{self._log.read_text()[-3000:]}") from None
                await asyncio.sleep(0.1)
        os.sched_setaffinity(self.process.pid, os.sched_getaffinity(self.process.pid))
        self._reader = asyncio.create_task(self._read(self._ws))
        self._session = (await self._ask("create"))["data"]["id"]
        camera.send = self._feed
        camera.start()
        await asyncio.sleep(0.3)

    async def join(self, viewer: Viewer) -> None:
        """attach, watch, answer, and the handshake."""
        assert isinstance(viewer.caller, Answerer)
        handle = (await self._ask("attach", plugin="janus.plugin.streaming"))["data"]["id"]
        offered = await self._ask("message", handle, body={"request": "watch", "id": 1})
        offer = offered["jsep"]["sdp"]
        answer = {"type": "answer", "sdp": viewer.caller.answer_to(offer), "trickle": False}
        connecting = asyncio.create_task(viewer.caller.connect(offer))
        await self._ask("message", handle, body={"request": "start"}, jsep=answer)
        await connecting

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._ws is not None:
            await self._ws.close()
        self._rtp.close()
        await super().stop()

    def _feed(self, packet: bytes) -> None:
        port = _VIDEO_PORT if packet[1] & 127 == VIDEO else _SOUND_PORT
        with contextlib.suppress(OSError):
            self._rtp.sendto(packet, (self._place.server, port))

    async def _ask(self, what: str, handle: int | None = None, **more: Any) -> dict[str, Any]:
        """The answer, or for a plugin's message the event that follows the mere ack."""
        assert self._ws is not None
        transaction = secrets.token_hex(8)
        order = {"janus": what, "transaction": transaction} | more
        order |= {"session_id": self._session} if self._session else {}
        order |= {"handle_id": handle} if handle is not None else {}
        answered = self._asked[transaction] = asyncio.get_running_loop().create_future()
        await self._ws.send(msgspec.json.encode(order).decode())
        try:
            async with asyncio.timeout(15):
                return await answered
        finally:
            del self._asked[transaction]

    async def _read(self, ws: ClientConnection) -> None:
        async for text in ws:
            said = msgspec.json.decode(text)
            waiting = self._asked.get(said.get("transaction", ""))
            if waiting is None or waiting.done() or said["janus"] == "ack":
                continue
            if said["janus"] == "error" or "error" in said.get("plugindata", {}).get("data", {}):
                waiting.set_exception(RuntimeError(str(said)[:300]))
            else:
                waiting.set_result(said)
