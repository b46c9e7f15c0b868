"""The only way out to an address that a person typed: refused when connecting, unless it is the public internet.

The name is resolved here, every address it leads to is looked at, and the connection goes to one that was looked at: a
name that changes in between (DNS rebinding) gains nothing. TLS checks the certificate against the name. Redirects are
not followed, proxies of the environment are not used. `networks` are those that the operator lets through.
Source: docs/decisions/0032-webhooks-go-out-through-a-guarded-door.md, RFC 6890, RFC 6052
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import TracebackType
from typing import Self

import httpcore
import msgspec

from live.errors import Error, Invalid

Network = IPv4Network | IPv6Network
SNIPPET = 2_048  # bytes of an answer that are read and kept; the rest is not waited for
LOOKUPS = 16  # names looked up at once: a resolver that hangs must not take the process' own threads
ADDRESSES_TRIED = 3

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Within the global block, and not the internet: Teredo, ORCHIDs and the like; 6to4; documentation.
_NOT_THE_INTERNET = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_RELAY_ANYCAST = IPv4Network("192.88.99.0/24")


class BlockedAddress(Error):
    """The name leads to an address that is not the public internet."""

    code = "blocked_address"


class Answer(msgspec.Struct, frozen=True):
    """What the other side said; `start` is the beginning of its body."""

    status: int
    start: bytes


def networks_of(text: str) -> tuple[Network, ...]:
    """`10.2.0.0/16, fd00:1::/64` as networks. Raises Invalid."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as why:
        raise Invalid("FRONTROW_WEBHOOK_NETWORKS", str(why)) from None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is the public internet; addresses that carry another are judged by that one."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and address not in _RELAY_ANYCAST
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:  # RFC 6052: how a host without IPv4 reaches the rest of the internet
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_THE_INTERNET)


class WayOut:
    """Posts to merchants' addresses. `async with WayOut(networks) as out`."""

    def __init__(self, networks: Iterable[Network] = (), *, connections: int = 64) -> None:
        self.networks = tuple(networks)
        tls = ssl.create_default_context()
        lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-names")
        # Without TLS only to where the operator let it through: what is signed is not secret there, what is sent is.
        self._pools = {
            "https": httpcore.AsyncConnectionPool(
                tls,
                max_connections=connections,
                max_keepalive_connections=connections // 2,
                keepalive_expiry=30,
                network_backend=_Guarded(lookups, self.networks, public=True),
            ),
            "http": httpcore.AsyncConnectionPool(
                tls, max_connections=8, network_backend=_Guarded(lookups, self.networks, public=False)
            ),
        }
        self._lookups = lookups

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, within_s: float) -> Answer:
        """Raises: BlockedAddress, TimeoutError (all of it took longer than `within_s`), httpcore's errors, OSError."""
        pool = self._pools[url.partition(":")[0].lower()]
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        limit = dict.fromkeys(("connect", "read", "write", "pool"), within_s)
        async with (
            asyncio.timeout(within_s),
            pool.stream("POST", url, headers=sent, content=body, extensions={"timeout": limit}) as answer,
        ):
            start = b""
            async for chunk in answer.aiter_stream():
                start += chunk
                if len(start) >= SNIPPET:
                    break
            return Answer(answer.status, start[:SNIPPET])


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were looked at, and to no others."""

    def __init__(self, lookups: ThreadPoolExecutor, networks: Sequence[Network], *, public: bool) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._lookups = lookups
        self._networks = networks
        self._public = public

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        # All of them, not the one that is taken: a name that leads inside at times is no merchant's.
        if not all(self._allowed(address) for address in addresses):
            raise BlockedAddress(host=host)
        ends = None if timeout is None else time.monotonic() + timeout
        failed: Exception = OSError(f"{host} has no address")
        for address in addresses[:ADDRESSES_TRIED]:
            left = None if ends is None else max(0.001, ends - time.monotonic())
            try:
                return await self._inner.connect_tcp(str(address), port, left, local_address, socket_options)
            except (httpcore.ConnectError, OSError) as why:
                failed = why
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise BlockedAddress(host=path)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[IPv4Address | IPv6Address]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._lookups, lookup, host, port)
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))

    def _allowed(self, address: IPv4Address | IPv6Address) -> bool:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        if any((mapped or address) in network for network in self._networks):
            return True
        return self._public and is_public(address)


def lookup(host: str, port: int) -> list[tuple[object, object, object, object, tuple[str, int]]]:
    """The system's own resolver; a test puts another in its place."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]
