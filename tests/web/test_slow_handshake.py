"""Who takes her time with the head of a request, or never ends it, holds nothing for long."""

from __future__ import annotations

import asyncio

import pytest
from house import Served

from live.web import punctual


async def opened(site: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = site.origin.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize(
    ("begun", "answer"),
    [
        (b"GET /ws/aw26 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 408 "),
        (b"", b""),
    ],
)
async def test_a_head_that_does_not_end_is_answered_and_cut(site: Served, monkeypatch, begun: bytes, answer: bytes):
    monkeypatch.setattr(punctual, "HEAD_WITHIN_S", 0.2)
    reader, writer = await opened(site)
    writer.write(begun)
    async with asyncio.timeout(60):
        said = await reader.read()
    writer.close()
    assert said[: len(answer) or 1] == answer


async def test_the_second_request_of_a_connection_is_timed_like_the_first(site: Served, monkeypatch):
    monkeypatch.setattr(punctual, "HEAD_WITHIN_S", 0.2)
    reader, writer = await opened(site)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(60):
        assert b" 200 " in await reader.readline()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost:")
        assert b"HTTP/1.1 408 " in await reader.read()
    writer.close()


async def test_a_head_without_end_is_refused_before_it_fills_memory(site: Served):
    reader, writer = await opened(site)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-More: %s\r\n" % (b"y" * 1000) * 40)
    async with asyncio.timeout(60):
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_a_socket_and_a_large_body_are_not_cut(site: Served, monkeypatch):
    monkeypatch.setattr(punctual, "HEAD_WITHIN_S", 0.2)
    viewer = await site.viewer()
    async with site.room(viewer) as room:
        await asyncio.sleep(0.3)  # longer than a head may take: there is nothing else to wait for
        assert (await room.post("clock.ask")).ok


async def test_a_refused_body_that_still_comes_does_not_lose_the_refusal(site: Served):
    reader, writer = await opened(site)
    size = 200_000
    writer.write(b"POST /api/name HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
    async with asyncio.timeout(60):
        assert b"HTTP/1.1 4" in await reader.readline(), "answered before the body was there"
        for _ in range(10):
            writer.write(b"x" * (size // 10))
            await writer.drain()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        rest = await reader.read()
    writer.close()
    assert b"HTTP/1.1 431" not in rest
