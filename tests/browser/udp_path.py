"""The way of UDP between a page and the relay, that can be shut: datagrams then vanish in both directions, as behind a
firewall that drops them. The page is sent through it by the address in the relay's answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from playwright.async_api import Page, Route

Address = tuple[str, int]
CANDIDATE = re.compile(r"(a=candidate:\S+ \d+ \S+ \d+ )(\S+) (\d+)( typ host)")


class _Far(asyncio.DatagramProtocol):
    """One page's socket towards the relay."""

    def __init__(self, path: UdpPath, page: Address) -> None:
        self._path, self._page = path, page

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._path.open and self._path.near is not None:
            self._path.near.sendto(data, self._page)


class UdpPath(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.open = True
        self.port = 0
        self.near: asyncio.DatagramTransport | None = None
        self.relay: Address | None = None
        self._far: dict[Address, asyncio.DatagramTransport] = {}
        self._coming: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.near = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self.open or self.relay is None:
            return
        if addr in self._far:
            self._far[addr].sendto(data)
        else:  # lost as a first packet may be: STUN asks again
            task = asyncio.get_running_loop().create_task(self._meet(addr))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _meet(self, page: Address) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Far(self, page), remote_addr=self.relay)
        self._far.setdefault(page, transport)

    async def lead(self, page: Page) -> None:
        """This page's WebRTC goes through here from now on."""

        async def answered(route: Route) -> None:
            if route.request.method != "POST":
                await route.continue_()
                return
            answer = await route.fetch()
            text = await answer.text()
            if found := CANDIDATE.search(text):
                self.relay = (found[2], int(found[3]))
            through = CANDIDATE.sub(rf"\g<1>127.0.0.1 {self.port}\g<4>", text)
            await route.fulfill(response=answer, body=through)

        await page.route("**/whep/*", answered)

    def close(self) -> None:
        for transport in (self.near, *self._far.values()):
            if transport is not None:
                transport.close()


@asynccontextmanager
async def udp_path() -> AsyncIterator[UdpPath]:
    loop = asyncio.get_running_loop()
    _, path = await loop.create_datagram_endpoint(UdpPath, local_addr=("127.0.0.1", 0))
    try:
        yield path
    finally:
        path.close()
