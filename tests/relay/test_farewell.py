"""Once media flows OpenSSL is let go; that the session is over is heard and said all the same."""

from __future__ import annotations

import asyncio
import gc
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.relay.farewell import Farewell
from live.relay.peer import _PROFILES, Peer, RelayCertificate

SUITES = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]


class Ends:
    """Two peers, joined by the loop; `wire` keeps what the first sent while `cut`."""

    def __init__(self, suite: str = "") -> None:
        loop = asyncio.get_running_loop()
        certificate = RelayCertificate.generateCertificate()
        if suite:
            certificate._create_ssl_context(_PROFILES).set_cipher_list(suite.encode())
        prints = [("sha-256", certificate.fingerprint.split()[1])]
        self.cut = False
        self.wire: list[bytes] = []
        self.gone = [0, 0]
        self.server = Peer(certificate, prints, "server", self._from_server)
        self.client = Peer(certificate, prints, "client", lambda d: loop.call_soon(self.server.feed, d))
        self.server.on_closed = lambda: self._count(0)
        self.client.on_closed = lambda: self._count(1)

    def _from_server(self, datagram: bytes) -> None:
        if self.cut:
            self.wire.append(datagram)
        else:
            asyncio.get_running_loop().call_soon(self.client.feed, datagram)

    def _count(self, side: int) -> None:
        self.gone[side] += 1

    async def talk(self) -> None:
        await asyncio.gather(self.server.connect(), self.client.connect())
        for peer, other in ((self.server, self.client), (self.client, self.server)):
            packet = peer.protect(struct.pack("!BBHII", 0x80, 102, 1, 1, 7) + bytes(50))
            assert packet is not None
            other.feed(packet)

    def close(self) -> None:
        self.cut = False
        self.server.close()
        self.client.close()


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("who", ["server", "client"])
async def test_after_media_openssl_is_gone_and_goodbye_is_heard_once(suite: str, who: str) -> None:
    ends = Ends(suite)
    await ends.talk()
    assert ends.server._dtls is None
    assert ends.client._dtls is None
    (ends.server if who == "server" else ends.client).close()
    await asyncio.sleep(0)
    assert ends.gone == ([0, 1] if who == "server" else [1, 0])
    ends.close()
    await asyncio.sleep(0)
    assert sum(ends.gone) == 1


async def test_openssl_on_the_other_side_hears_our_goodbye_and_we_hear_its() -> None:
    for ours_closes in (True, False):
        ends = Ends()
        await asyncio.gather(ends.server.connect(), ends.client.connect())
        packet = ends.client.protect(struct.pack("!BBHII", 0x80, 102, 1, 1, 7) + bytes(50))
        assert packet is not None
        ends.server.feed(packet)
        assert ends.server._dtls is None
        assert ends.client._dtls is not None, "the premise: nothing has come to the client"
        (ends.server if ours_closes else ends.client).close()
        await asyncio.sleep(0)
        assert ends.gone == ([0, 1] if ours_closes else [1, 0])
        ends.close()


async def test_what_the_suite_here_cannot_read_keeps_openssl() -> None:
    ends = Ends("ECDHE-ECDSA-CHACHA20-POLY1305")
    await ends.talk()
    assert ends.server._dtls is not None
    ends.server.close()
    await asyncio.sleep(0)
    assert ends.gone == [0, 1]
    ends.close()


async def test_a_forged_or_altered_goodbye_ends_nothing() -> None:
    ends = Ends()
    await ends.talk()
    ends.cut = True
    ends.server.close()
    (goodbye,) = ends.wire
    for place in range(len(goodbye)):
        altered = goodbye[:place] + bytes((goodbye[place] ^ 1,)) + goodbye[place + 1 :]
        ends.client.feed(altered)
    ends.client.feed(goodbye[:-1])
    ends.client.feed(struct.pack("!BHHHIH", 21, 0xFEFD, 0, 0, 9, 2) + b"\x01\x00")  # in the clear, as before the keys
    assert ends.gone == [0, 0]
    ends.client.feed(struct.pack("!BHHHIH", 23, 0xFEFD, 1, 0, 9, 4) + b"data" + goodbye)
    assert ends.gone == [0, 1], "the premise: unaltered and behind another record it counts"
    ends.close()


@given(st.binary(max_size=1600))
def test_no_bytes_break_it(datagram: bytes) -> None:
    farewell = Farewell(SUITES[0], bytes(48), bytes(32), bytes(32), from_client=True, ours=b"")
    assert not farewell.heard(datagram)
    assert not farewell.heard(struct.pack("!BHHHIH", 21, 0xFEFD, 1, 0, 1, 26) + datagram[:26])


async def test_a_peer_with_media_takes_less_than_twenty_kib() -> None:
    def resident_kib() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    async def some(count: int) -> list[Ends]:
        made = []
        for _ in range(count):
            made.append(Ends())
            await made[-1].talk()
        return made

    kept = await some(20)
    gc.collect()
    before = resident_kib()
    kept += await some(100)
    gc.collect()
    assert (resident_kib() - before) / 200 < 20
    for ends in kept:
        ends.close()
