"""The demo's people: a host who drops a look every half minute, viewers who talk and buy. They use what browsers use:
pages for the session, the room's socket, the HTTP API, the sandbox provider's page.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from chat.client import RoomClient
from live.demo import programme
from live.demo.looks import LOOKS

NAMES = ("Inès", "Okan", "Margaux", "Tomás", "Priya", "Lena")
COUNTRIES = ("FR", "DE", "ES", "IT", "NL", "GB")
REST_S = 3.0  # before a bot whose server went away tries again
TALK_EVERY_S = (14.0, 48.0)
BUY_EVERY_S = (50.0, 140.0)
HEARTS_EVERY_S = (5.0, 20.0)
TALK = (
    "Bonsoir from {city}!", "That walk.", "The light on this one…", "Front row from my sofa, as promised.",
    "The {title} moves beautifully.", "Okay, the {title} is going straight on the list.", "Is the {title} lined?",
    "Size up or true to size, anyone?", "{shade} is the colour of the season.", "I need to see the {title} in {shade}.",
    "The tailoring!", "Who did the music? It's lovely.", "My sister would live in the {title}.",
    "Held one. Breathing again.", "Those shoulders on the {title}.", "Understated, finally.",
    "How heavy is the cloth?", "Saw this house in Paris last spring. Even better now.", "Beautiful set.",
    "The back view, please!", "I'd wear the {title} with flat boots.", "{shade} or the other one? Help me.",
)  # fmt: skip
CITIES = ("Lyon", "Vienna", "Lisbon", "Milan", "Ghent", "Leeds", "Porto", "Basel")
Say = Callable[[str], None]


class Browser:
    """One person's browser: cookies, the page's CSRF token, one socket."""

    def __init__(self, base_url: str, slug: str) -> None:
        self._slug = slug
        self._base = base_url
        self._http = httpx.AsyncClient(base_url=base_url, timeout=10, follow_redirects=True, trust_env=False)
        self._csrf = ""

    async def visit(self, path: str) -> None:
        """Open a page: it makes the session and tells the CSRF token. Raises: httpx.HTTPError."""
        page = await self._http.get(path)
        page.raise_for_status()
        found = re.search(r'<meta name="csrf" content="([^"]*)"', page.text)
        self._csrf = found[1] if found else ""

    async def post(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """Raises: httpx.HTTPError, also for a refusal."""
        sent = {"X-CSRF": self._csrf, "Origin": self._base, **headers}
        answer = await self._http.post(path, json=body or {}, headers=sent)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    @asynccontextmanager
    async def room(self) -> AsyncIterator[RoomClient]:
        cookie = "; ".join(f"{name}={value}" for name, value in self._http.cookies.items())
        url = self._base.replace("http", "ws", 1) + f"/ws/{self._slug}"
        async with RoomClient.open(url, cookie, self._base) as room:
            yield room

    async def close(self) -> None:
        await self._http.aclose()


async def open_show(base_url: str, slug: str, link: str) -> None:
    """As the host: go on air, unless we are. Raises: httpx.HTTPError."""
    host = Browser(base_url, slug)
    try:
        await host.visit(f"/sign-in/{link}?next=/studio/shows/{slug}")
        try:
            await host.post(f"/api/shows/{slug}/open")
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
    finally:
        await host.close()


async def run(base_url: str, slug: str, host_link: str, *, viewers: int, say: Say) -> None:
    """Host and viewers, until cancelled."""
    async with asyncio.TaskGroup() as people:
        people.create_task(_for_ever(lambda: _host(base_url, slug, host_link), say, "the demo's host"))
        for number in range(viewers):
            chance = random.Random(number)  # noqa: S311 - small talk, not secrets
            people.create_task(_for_ever(lambda n=number, c=chance: _viewer(base_url, slug, n, c), say, NAMES[number]))  # type: ignore[misc]


async def _for_ever(live: Callable[[], Any], say: Say, who: str) -> None:
    """People come back: a restarted server is full again within seconds."""
    while True:
        try:
            await live()
        except (httpx.HTTPError, OSError, TimeoutError, WebSocketException) as error:
            say(f"{who}: {type(error).__name__}, back in {REST_S:g} s")
        await asyncio.sleep(REST_S)


async def _host(base_url: str, slug: str, link: str) -> None:
    """Drops the look that is on the runway. All looks out: the oldest is taken back first, so that a card comes up
    every half minute for as long as the demo runs."""
    host = Browser(base_url, slug)
    try:
        await host.visit(f"/sign-in/{link}?next=/studio/shows/{slug}")
        async with host.room() as room:
            while True:
                now_ms = time.time_ns() // 1_000_000
                await asyncio.sleep((programme.next_drop_ms(now_ms) - now_ms) / 1000)
                number = programme.look_at(time.time_ns() // 1_000_000, len(LOOKS))
                await _drop(room, number)
    finally:
        await host.close()


async def _drop(room: RoomClient, number: int) -> None:
    runsheet = _runsheet(room)
    look = next((row for row in runsheet if row["number"] == number), None)
    if look is None:
        return
    if look["state"] == "dropped":
        await room.post("card.withdraw", {"look": look["look"]})
    await room.post("card.drop", {"look": look["look"]})


def _runsheet(room: RoomClient) -> list[dict[str, Any]]:
    """The newest the server told: private `runsheet.changed`, else the snapshot's."""
    for envelope in reversed(room.envelopes):
        if envelope["kind"] == "runsheet.changed":
            rows: list[dict[str, Any]] = envelope["body"]["runsheet"]
            return rows
    return list(((room.welcome or {}).get("live") or {}).get("runsheet") or [])


async def _viewer(base_url: str, slug: str, number: int, chance: random.Random) -> None:
    viewer = Browser(base_url, slug)
    try:
        await viewer.visit(f"/shows/{slug}")
        await viewer.post("/api/name", {"name": NAMES[number]})
        async with viewer.room() as room, asyncio.TaskGroup() as habits:
            habits.create_task(_talk(room, chance))
            habits.create_task(_buy(viewer, room, slug, number, chance))
            habits.create_task(_hearts(room, chance))
            habits.create_task(_gone(room))
    except* (httpx.HTTPError, OSError, TimeoutError, WebSocketException) as group:
        raise group.exceptions[0] from None
    finally:
        await viewer.close()


async def _gone(room: RoomClient) -> None:
    while room.close_code is None:  # noqa: ASYNC110 - the client keeps the code, it has no event for it
        await asyncio.sleep(0.5)
    raise ConnectionError(f"closed with {room.close_code}")


async def _talk(room: RoomClient, chance: random.Random) -> None:
    said: list[str] = []
    await asyncio.sleep(chance.uniform(2, 25))
    while True:
        look = LOOKS[programme.look_at(time.time_ns() // 1_000_000, len(LOOKS)) - 1]
        fresh = [line for line in TALK if line not in said[-12:]]
        line = chance.choice(fresh)
        said.append(line)
        text = line.format(title=look.title, shade=chance.choice(look.shades).name, city=chance.choice(CITIES))
        await room.post("line.post", {"text": text})
        await asyncio.sleep(chance.uniform(*TALK_EVERY_S))


async def _hearts(room: RoomClient, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.uniform(*HEARTS_EVERY_S))
        await room.post("heart.send", {"n": chance.randint(1, 4)})


async def _buy(viewer: Browser, room: RoomClient, slug: str, number: int, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(10, 60))
    while True:
        pieces = _on_offer(room)
        if pieces:
            variant = chance.choice(chance.choice(pieces)["variants"])
            held = await room.post("cart.add", {"sku": variant["sku"], "qty": 1})
            if held.ok:
                await asyncio.sleep(chance.uniform(4, 12))  # an address takes a moment to type
                await _pay(viewer, slug, number)
        await asyncio.sleep(chance.uniform(*BUY_EVERY_S))


def _on_offer(room: RoomClient) -> list[dict[str, Any]]:
    """The pieces of the newest card."""
    for envelope in reversed(room.envelopes):
        if envelope["kind"] == "card.dropped":
            return list(envelope["body"]["card"]["pieces"])
    cards = ((room.welcome or {}).get("live") or {}).get("cards") or []
    return list(cards[-1]["pieces"]) if cards else []


async def _pay(viewer: Browser, slug: str, number: int) -> None:
    name = NAMES[number]
    contact = {
        "name": f"{name} Exemple",
        "email": f"viewer{number}@example.com",
        "address": {
            "line1": f"{number + 1} rue de la Paix",
            "line2": "",
            "city": "Paris",
            "postcode": "75002",
            "country": COUNTRIES[number],
        },
    }
    try:
        key = secrets.token_hex(12)
        placed = await viewer.post(f"/api/shows/{slug}/checkout", contact, **{"Idempotency-Key": key})
        ref = str(placed["pay_url"]).rpartition("/")[2]
        await viewer.post(f"/sandbox/pay/{ref}", {"outcome": "success"})
    except httpx.HTTPStatusError:
        pass  # the hold lapsed, or somebody was quicker: she shrugs and watches on
