"""Buyers at a real server, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from live.desk.wiring import Services
from live.ids import new_id
from live.shop.catalogue import NewVariant

CONTACT = {
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "address": {"line1": "12 St James's Square", "city": "London", "postcode": "SW1Y 4JH", "country": "GB"},
}
SLUG = "autumn"


async def go_on_air(parts: Services, stock: dict[str, int]) -> str:
    """A show on air whose one look is out; its id."""
    brand = await parts.catalogue.add_brand(slug="nord", name="Atelier Nord", currency="EUR", country="DE")
    product = await parts.catalogue.add_product(
        brand,
        slug="coat",
        title="Long coat",
        variants=[NewVariant(sku, "38", "Ink", "#111122", 12900, on_hand) for sku, on_hand in stock.items()],
    )
    show = await parts.shows.create(brand, SLUG, "Autumn")
    look = await parts.runsheets.add_look(show.id, 1, "Look 1", [product])
    await parts.desk.open_show(show.id, "stf_host")
    await parts.desk.drop(show.id, look, "stf_host")
    return show.id


@dataclass
class Buyer:
    """A browser with a session and one connection of its own. Answers are (status, body).

    By bare asyncio streams: a thousand of these cost less than the server they race on.
    """

    origin: str
    cookie: str
    csrf: str
    person: str
    slug: str = SLUG
    at: str = ""  # the address asked, where it is not the page's own: another process
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    @classmethod
    async def arrive(cls, parts: Services, origin: str, *, person: str = "", slug: str = SLUG) -> Buyer:
        token, session = await parts.sessions.open(person=person)
        return cls(origin, token, session.csrf, session.person, slug)

    async def leave(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        return await self.send("POST", path, json.dumps(body).encode(), {"content-type": "application/json"} | headers)

    async def send(self, method: str, path: str, sent: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        status, body = await self._exchange(method, path, sent, headers)
        return status, json.loads(body or b"{}")

    async def _exchange(self, method: str, path: str, sent: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        host = urlsplit(self.origin).netloc
        head = {"host": host, "origin": self.origin, "x-csrf": self.csrf, "cookie": f"frontrow={self.cookie}"}
        head |= {"content-length": str(len(sent))} | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        if self._reader is None or self._writer is None:
            name, _, port = urlsplit(self.at or self.origin).netloc.partition(":")
            self._reader, self._writer = await asyncio.open_connection(name, int(port))
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + sent)
        top = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next((int(line.partition(":")[2]) for line in top if line.startswith("content-length:")), 0)
        return int(top[0].split()[1]), await self._reader.readexactly(length)

    async def page(self, path: str) -> int:
        """GET a page; its status."""
        return (await self._exchange("GET", path, b"", {}))[0]

    async def hold(self, sku: str) -> tuple[int, dict[str, Any]]:
        return await self.post(f"/api/shows/{self.slug}/cart", {"sku": sku, "qty": 1, "op": new_id("op")})

    async def place(self, key: str) -> tuple[int, dict[str, Any]]:
        return await self.post(f"/api/shows/{self.slug}/checkout", CONTACT, **{"idempotency-key": key})

    async def pay(self, pay_url: str, outcome: str) -> tuple[int, dict[str, Any]]:
        return await self.post(urlsplit(pay_url).path, {"outcome": outcome})
