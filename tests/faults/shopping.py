"""Buyers at a real server, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

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
    """A browser with a session. Answers are (status, body)."""

    client: httpx.AsyncClient
    origin: str
    cookie: str
    csrf: str
    person: str

    @classmethod
    async def arrive(cls, parts: Services, client: httpx.AsyncClient, origin: str) -> Buyer:
        token, session = await parts.sessions.open()
        return cls(client, origin, token, session.csrf, session.person)

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, object]]:
        sent = {"origin": self.origin, "x-csrf": self.csrf, "cookie": f"frontrow={self.cookie}"} | headers
        reply = await self.client.post(self.origin + path, json=body, headers=sent)
        return reply.status_code, reply.json()

    async def hold(self, sku: str) -> tuple[int, dict[str, object]]:
        return await self.post(f"/api/shows/{SLUG}/cart", {"sku": sku, "qty": 1, "op": new_id("op")})

    async def place(self, key: str) -> tuple[int, dict[str, object]]:
        return await self.post(f"/api/shows/{SLUG}/checkout", CONTACT, **{"idempotency-key": key})

    async def pay(self, pay_url: str, outcome: str) -> tuple[int, dict[str, object]]:
        return await self.post(httpx.URL(pay_url).path, {"outcome": outcome})
