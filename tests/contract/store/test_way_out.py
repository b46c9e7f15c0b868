"""Nothing goes to an address that is not the public internet, whatever a merchant typed or a name answers."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import httpcore
import pytest
from pydantic import ValidationError

from live.errors import Invalid
from live.settings import Settings
from live.shop.webhooks import way_out
from live.shop.webhooks.way_out import BlockedAddress, WayOut, is_public, networks_of

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("192.0.0.1", False),
        ("192.0.2.1", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::93.184.216.34", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("100::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::", False),
        ("2002:5db8:d822::1", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


class Wire:
    """Stands where TCP begins: notes where a connection would have gone, and refuses it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.connected: list[str] = []
        self.looked_up = 0
        self._answers = list(answers)

        async def connect(_backend: object, host: str, *_: object, **__: object) -> object:
            self.connected.append(host)
            raise httpcore.ConnectError("refused")

        def look_up(host: str, port: int) -> list[tuple[object, ...]]:
            found = self._answers[min(self.looked_up, len(self._answers) - 1)]
            self.looked_up += 1
            return [(0, 0, 0, "", (address, port)) for address in found]

        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
        monkeypatch.setattr(way_out, "lookup", look_up)


async def post(url: str = "https://hooks.example/", networks: str = "") -> None:
    async with WayOut(networks_of(networks)) as out:
        await out.post(url, b"{}", {}, within_s=60)


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], ["10.0.0.5"], ["::1"], ["::ffff:10.0.0.5"], ["64:ff9b::a00:5"], [PUBLIC, "10.0.0.5"],
     ["10.0.0.5", PUBLIC]],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_not_connected_to(monkeypatch, answer: list[str]) -> None:
    wire = Wire(monkeypatch, answer)
    with pytest.raises(BlockedAddress):
        await post()
    assert wire.connected == []


async def test_a_name_that_changes_after_it_was_looked_at_gains_nothing(monkeypatch) -> None:
    wire = Wire(monkeypatch, [PUBLIC], ["127.0.0.1"])
    with pytest.raises(httpcore.ConnectError):
        await post()
    assert wire.connected == [PUBLIC], "the address that was looked at is the one that is connected to"
    with pytest.raises(BlockedAddress):
        await post()
    assert wire.connected == [PUBLIC]
    assert wire.looked_up == 2, "it is looked at with every connection"


async def test_of_several_addresses_the_next_is_tried_but_not_for_ever(monkeypatch) -> None:
    wire = Wire(monkeypatch, [f"93.184.216.{n}" for n in range(10)])
    with pytest.raises(httpcore.ConnectError):
        await post()
    assert wire.connected == ["93.184.216.0", "93.184.216.1", "93.184.216.2"]


async def test_networks_that_the_operator_lets_through_are_let_through_and_no_others(monkeypatch) -> None:
    wire = Wire(monkeypatch, ["10.2.3.4"], ["10.3.0.1"], ["10.2.3.4"], [PUBLIC])
    for url, error in (
        ("https://erp.example/", httpcore.ConnectError),
        ("https://erp.example/", BlockedAddress),
        ("http://erp.example/", httpcore.ConnectError),
        ("http://erp.example/", BlockedAddress),  # without TLS only there, not over the internet
    ):
        with pytest.raises(error):
            await post(url, "10.2.0.0/16")
    assert wire.connected == ["10.2.3.4", "10.2.3.4"]


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    inside: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        inside.append(head.split(b" ")[1])
        writer.write(b"HTTP/1.1 307 X\r\nlocation: /metadata\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with WayOut(networks_of("127.0.0.1/32")) as out:
            answer = await out.post(f"http://127.0.0.1:{port}/hooks", b"{}", {}, within_s=60)
        assert (answer.status, inside) == (307, [b"/hooks"])
    finally:
        server.close()


async def test_the_whole_post_is_over_when_its_time_is(monkeypatch) -> None:
    async def never(*_: object, **__: object) -> object:
        await asyncio.Event().wait()
        raise AssertionError

    Wire(monkeypatch, [PUBLIC])
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", never)
    async with WayOut() as out:
        with pytest.raises(TimeoutError):
            await out.post("https://hooks.example/", b"{}", {}, within_s=0.05)


def test_a_network_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"10\.0\.0\.1/8"):
        Settings(data_dir=tmp_path, webhook_networks="10.0.0.1/8", _env_file=None)  # type: ignore[call-arg]
    with pytest.raises(Invalid):
        networks_of("everything")
