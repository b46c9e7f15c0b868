"""The pipe between processes of one machine, over real sockets: subscribers that stall and die, an origin that dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_stage import until
from soon import soon

from live.relay import outflow, pipe, piped, rtp
from live.relay.codecs import parameter_sets, stap, starts_key_frame
from live.relay.fanout import Counters, Fanout
from live.relay.ingest import Ingest
from live.relay.pipe import PipeClient
from live.relay.pipe_server import PipeServer
from live.relay.piped import PipedPacket, PipedTrack, StreamInfo
from live.relay.relay import monotonic_ms
from live.relay.rtp import Packet
from live.relay.sdp import Format, Incoming
from live.relay.show import RelayedShow
from live.relay.udp import UdpPort, open_sockets

H264 = Format("H264", 90000, {"packetization-mode": "1", "profile-level-id": "42e01f"})
OPUS = Format("OPUS", 48000, {"minptime": "10"})
SPS, PPS = b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80"
TOKEN = "token-of-the-pipe"
WALL_MS = 1_800_000_000_000


class Origin:
    """A show that a camera feeds, and its process's pipe."""

    def __init__(self, folder: Path) -> None:
        self.port = UdpPort(open_sockets("127.0.0.1", 0), "", monotonic_ms)
        self.started_ms = monotonic_ms()
        self.shows: dict[str, RelayedShow] = {}
        self.asked: list[bytes] = []
        self.server = PipeServer(folder, "origin", TOKEN, show_of=self.shows.get, wall_ms=self.wall_ms)
        self.seq, self.timestamp = 65_530, 0xFFFFFFFF - 9_000

    def wall_ms(self) -> int:
        return WALL_MS + monotonic_ms() - self.started_ms

    def opened(self, form: Format = H264) -> RelayedShow:
        show = self.shows["shw_one"] = RelayedShow(
            "shw_one",
            port=self.port,
            fanout=Fanout(self.port.sockets, Counters()),
            now_ms=monotonic_ms,
            wall_ms=self.wall_ms,
            max_kbps=2500,
            changed=lambda show: None,
            ended=lambda session: None,
        )
        self.published(form)
        return show

    def published(self, form: Format = H264) -> None:
        incoming = Incoming({102: ("video", form), 111: ("audio", OPUS)}, {}, None, None, [], {})
        self.ingest = Ingest(incoming, ssrc=1, max_kbps=2500, send_rtcp=self.asked.append)
        self.shows["shw_one"].feed(self.ingest)

    def frame(self, *payloads: bytes, ssrc: int = 7) -> None:
        """One frame; without payloads a picture of three packets."""
        self.timestamp = self.timestamp + 3000 & 0xFFFFFFFF
        parts = payloads or (b"\x7c\x81" + bytes(900), b"\x7c\x01" + bytes(900), b"\x7c\x41" + bytes(100))
        for place, payload in enumerate(parts):
            packet = Packet(self.seq, self.timestamp, 0x80 * (place == len(parts) - 1), payload)
            data = rtp.build(packet, payload_type=102, ssrc=ssrc, seq=self.seq, timestamp=self.timestamp)
            self.ingest.rtp(data, monotonic_ms())
            self.seq = self.seq + 1 & 0xFFFF

    def key(self, *, sets: bool = True) -> None:
        parts = [b"\x7c\x85" + bytes(900), b"\x7c\x45" + bytes(500)]
        self.frame(*([stap([SPS, PPS])] if sets else []), *parts)

    def sound(self, timestamp: int) -> None:
        packet = Packet(timestamp // 960 & 0xFFFF, timestamp, 0, b"opus")
        data = rtp.build(packet, payload_type=111, ssrc=8, seq=packet.seq, timestamp=timestamp)
        self.ingest.rtp(data, monotonic_ms())


class Listener:
    """A client of the pipe that notes what it hears."""

    def __init__(self, folder: Path, path: Path, token: str = TOKEN, *, mirror: bool = False) -> None:
        self.starts: list[StreamInfo] = []
        self.packets: list[PipedPacket] = []
        self.clocks: list[tuple[int, float, int]] = []
        self.states: list[str] = []
        self.gone: list[str] = []
        self.path: str | None = str(path)
        self.client = PipeClient(
            self._find,
            "shw_one",
            token,
            folder,
            on_start=self.starts.append,
            on_packets=self.packets.extend,
            on_clock=lambda *clock: self.clocks.append(clock),
            on_state=lambda state, first_wall_ms: self.states.append(state),
            on_gone=self.gone.append,
            mirror=mirror,
        )

    async def _find(self, show: str) -> str | None:
        return self.path

    def video(self) -> list[PipedPacket]:
        return [packet for packet in self.packets if self.starts[-1].tracks[packet.track].kind == "video"]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    return pipe.folder_of(tmp_path)


@pytest.fixture
async def origin(folder: Path) -> AsyncIterator[Origin]:
    made = Origin(folder)
    made.server.open()
    async with running(made.server):
        yield made
    for show in made.shows.values():
        show.close()
    for sock in made.port.sockets:
        sock.close()


@contextlib.asynccontextmanager
async def running(runs: PipeServer | PipeClient) -> AsyncIterator[None]:
    task = asyncio.create_task(runs.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# ---- the codec ---------------------------------------------------------------------------------

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
PACKETS = st.lists(
    st.builds(Packet, U16, U32, st.sampled_from([0, 0x80]), st.binary(max_size=1500), st.booleans()), max_size=60
)


@given(PACKETS, st.integers(0, 255), st.integers(0, 2**63))
def test_a_frame_comes_out_as_it_went_in_and_no_datagram_is_too_big(
    packets: list[Packet], track: int, wall_ms: int
) -> None:
    datagrams = list(piped.encode_packets(track, packets, wall_ms))
    assert all(len(datagram) <= piped.MAX_DATAGRAM for datagram in datagrams)
    found = [packet for datagram in datagrams for packet in piped.decode(datagram)]  # type: ignore[union-attr]
    assert found == [
        PipedPacket(track, p.seq, p.timestamp, p.marker == 0x80, p.key, p.payload, wall_ms) for p in packets
    ]


@given(st.binary(max_size=300))
def test_garbage_is_a_value_error_and_nothing_else(garbage: bytes) -> None:
    for datagram in (garbage, b"P" + garbage, b"S" + garbage, b"C" + garbage):
        with contextlib.suppress(ValueError):
            piped.decode(datagram)
    with contextlib.suppress(ValueError):
        piped.decode_request(garbage)


@given(PACKETS.filter(bool), st.data())
def test_a_datagram_cut_off_is_refused_whole(packets: list[Packet], data: st.DataObject) -> None:
    (datagram, *_) = piped.encode_packets(0, packets, 1)
    short = datagram[: data.draw(st.integers(0, len(datagram) - 1))]
    try:
        whole = piped.decode(short)
    except ValueError:
        return
    # Cut between two packets it is a shorter frame; never a made-up one.
    assert isinstance(whole, list)
    assert b"".join(piped.encode_packets(0, packets[: len(whole)], 1))[: len(short)] == short or not whole


def test_messages_come_out_as_they_went_in() -> None:
    info = StreamInfo("shw_one", "live", 5, [PipedTrack("video", *H264, sets=[SPS, PPS])])
    assert info.tracks[0].format == H264
    for message in (info, piped.Clock(1, 2.5, 3), piped.Told("slate", None), piped.Bye("going")):
        assert piped.decode(piped.encode(message)) == message
    again = piped.Again(0, [65535, 0])
    assert piped.decode_request(piped.encode_request(again)) == again


# ---- origin and subscribers --------------------------------------------------------------------


async def test_a_subscriber_hears_what_it_is_then_the_newest_key_frame_on_then_live(
    origin: Origin, folder: Path
) -> None:
    origin.opened()
    origin.frame()
    origin.key()
    for _ in range(30):
        origin.frame()
    origin.key()
    origin.frame()
    before = origin.wall_ms()
    listener = Listener(folder, origin.server.path)
    async with running(listener.client):
        await until(lambda: len(listener.packets) == 6)
        (start,) = listener.starts
        assert (start.show, start.state) == ("shw_one", "live")
        assert [track.kind for track in start.tracks] == ["video", "audio"], "what the publisher agreed to send"
        assert start.first_wall_ms == origin.shows["shw_one"].first_wall_ms
        assert start.tracks[0].format == H264
        assert start.tracks[0].sets == [SPS, PPS]
        first = listener.packets[0]
        assert first.key
        assert starts_key_frame("H264", first.payload)
        # When it was forwarded is told by its age, though it comes out of the cache.
        assert before - 200 < first.wall_ms <= origin.wall_ms()
        origin.sound(960)
        origin.frame()
        await until(lambda: len(listener.packets) == 10)
        assert [track.kind for track in listener.starts[-1].tracks] == ["video", "audio"]
        assert listener.packets[6].payload == b"opus"
        seqs = [packet.seq for packet in listener.video()]
        assert [b - a & 0xFFFF for a, b in pairwise(seqs)] == [1] * 8
        assert [packet.marker for packet in listener.video()] == [False, False, True] * 3
        await until(lambda: len({clock[0] for clock in listener.clocks}) == 2)
        video = [clock for clock in listener.clocks if clock[0] == 0]
        wall_ms, timestamp = video[-1][1:]
        now_ms = origin.wall_ms()  # looked at once: a busy machine may stand still between two looks
        here = origin.shows["shw_one"].timestamp_at(origin.shows["shw_one"].tracks["video"], now_ms)
        assert here is not None
        assert abs(here - timestamp - (now_ms - wall_ms) * 90) <= 90 * 20
        assert not listener.gone


async def test_parameter_sets_that_came_once_come_in_front_of_the_key_frame(origin: Origin, folder: Path) -> None:
    origin.opened()
    origin.key()
    origin.frame()
    origin.key(sets=False)
    listener = Listener(folder, origin.server.path)
    async with running(listener.client):
        await until(lambda: len(listener.packets) == 3)
    sets, picture, _ = listener.packets
    assert parameter_sets(sets.payload) == [SPS, PPS]
    assert sets.key
    assert (sets.seq + 1 & 0xFFFF, sets.timestamp) == (picture.seq, picture.timestamp)


async def test_a_show_that_comes_later_is_waited_for_and_its_end_is_told(origin: Origin, folder: Path) -> None:
    listener = Listener(folder, origin.server.path)
    async with running(listener.client):
        await until(lambda: listener.starts)
        assert listener.starts[0].tracks == []
        show = origin.opened()
        origin.key()
        await until(lambda: len(listener.packets) == 3)
        show.source_gone(origin.ingest)
        await until(lambda: listener.states == ["slate"])
        origin.shows.pop("shw_one").close()
        await until(lambda: listener.gone == ["ended"])
        assert not show.taps


async def test_another_codec_is_told_before_its_first_packet(origin: Origin, folder: Path) -> None:
    origin.opened()
    origin.key()
    listener = Listener(folder, origin.server.path)
    async with running(listener.client):
        await until(lambda: len(listener.packets) == 3)
        origin.published(Format("VP8", 90000, {}))
        origin.frame(b"\x10\x00" + bytes(300), ssrc=9)
        await until(lambda: len(listener.packets) == 4)
        assert listener.starts[-1].tracks[0].codec == "VP8"


async def test_a_key_frame_is_asked_of_the_publisher_once_however_many_want_one(origin: Origin, folder: Path) -> None:
    origin.opened()
    origin.key()
    listeners = [Listener(folder, origin.server.path) for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            await stack.enter_async_context(running(listener.client))
        await until(lambda: all(listener.packets for listener in listeners))
        origin.asked.clear()
        for listener in listeners:
            listener.client.want_key()
        await until(lambda: origin.asked)
        flow = origin.server.stats()
        assert flow["subscribers"] == 3
        origin.frame()
        await until(lambda: all(len(listener.packets) == 6 for listener in listeners))
        assert len(origin.asked) == 1


async def test_lost_numbers_are_asked_for_again(origin: Origin, folder: Path) -> None:
    origin.opened()
    origin.key()
    listener = Listener(folder, origin.server.path)
    async with running(listener.client):
        await until(lambda: len(listener.packets) == 3)
        flow = origin.shows["shw_one"].taps.pop()  # as if a queue had been full for a frame
        origin.frame()
        origin.shows["shw_one"].taps.append(flow)
        origin.frame()
        await until(lambda: len(listener.packets) == 9)
    assert listener.client.asked_again == 3
    seqs = {packet.seq for packet in listener.packets}
    assert len(seqs) == 9


async def test_a_stalled_subscriber_costs_nobody_else_anything_and_goes_on_at_a_key_frame(
    origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outflow, "QUEUE_BYTES", 200_000)
    origin.opened()
    origin.key()
    good, stalled = Listener(folder, origin.server.path), Listener(folder, origin.server.path)
    async with running(good.client), running(stalled.client):
        await until(lambda: len(good.packets) == len(stalled.packets) == 3)
        assert stalled.client._socket is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(stalled.client._socket)
        frames = 0
        while not origin.server.stats()["dropped"]:  # the premise: the kernel's queue and ours are full
            origin.frame()
            frames += 1
            await asyncio.sleep(0)
            assert frames < 5000
        await until(lambda: len(good.packets) == 3 + 3 * frames)
        assert good.client.asked_again == 0
        loop.add_reader(stalled.client._socket, stalled.client._readable)
        origin.frame()
        origin.key()
        origin.frame()
        await until(lambda: good.packets[-1].seq in [packet.seq for packet in stalled.packets])
        taken = stalled.packets
        (resumed,) = [b for a, b in pairwise(taken) if 256 < (b.seq - a.seq & 0xFFFF) < 0x8000]
        assert starts_key_frame("H264", resumed.payload)
        assert not stalled.gone


async def test_a_stranger_is_refused_and_a_mirror_is_not_fed_by_a_mirror(origin: Origin, folder: Path) -> None:
    show = origin.opened()
    origin.key()
    stranger = Listener(folder, origin.server.path, token="another")
    assert await stranger.client.follow(str(origin.server.path)) == "refused"
    show.mirrored = True
    mirror = Listener(folder, origin.server.path, mirror=True)
    assert await mirror.client.follow(str(origin.server.path)) == "not_origin"
    leaf = Listener(folder, origin.server.path)
    async with running(leaf.client):
        await until(lambda: leaf.packets)
    assert not stranger.starts
    assert not mirror.starts
    await until(lambda: origin.server.stats()["subscribers"] == 0)


async def test_an_origin_that_died_is_noticed_at_once_and_the_next_one_is_followed(
    origin: Origin, folder: Path
) -> None:
    origin.opened()
    origin.key()
    other = PipeServer(folder, "next", TOKEN, show_of=origin.shows.get, wall_ms=origin.wall_ms)
    other.open()
    listener = Listener(folder, origin.server.path)
    async with running(other), running(listener.client):
        await until(lambda: len(listener.packets) == 3)
        assert origin.server._socket is not None
        # As a kill -9 does it: the socket is gone, its name is still there.
        dup = origin.server._socket
        asyncio.get_running_loop().remove_reader(dup)
        dup.close()
        origin.server._socket = None
        listener.path = str(other.path)
        await soon(until(lambda: len(listener.starts) == 2), within_s=1)
        assert listener.gone == ["dead"]
        await until(lambda: len(listener.packets) == 6)
    origin.server.path.unlink()


async def test_a_killed_subscriber_is_let_go_at_once(origin: Origin, folder: Path) -> None:
    origin.opened()
    origin.key()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(folder / "dead"))
        dead.sendto(piped.encode_request(piped.Subscribe("shw_one", TOKEN)), str(origin.server.path))
        await until(lambda: origin.server.stats()["subscribers"] == 1)
    origin.frame()
    await soon(until(lambda: origin.server.stats()["subscribers"] == 0), within_s=1)
    # Its name is swept by the next relay that starts here.
    assert (folder / "dead").exists()
    other = PipeServer(folder, "later", TOKEN, show_of=origin.shows.get, wall_ms=origin.wall_ms)
    other.open()
    other.close()
    assert not (folder / "dead").exists()
    assert origin.server.path.exists()


def test_the_folder_is_private_and_short_enough(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as short:
        near = pipe.folder_of(Path(short))
        assert near.parent == Path(short)
        assert near.stat().st_mode & 0o777 == 0o700
    far = pipe.folder_of(tmp_path / ("long" * 40))
    assert len(os.fsencode(far / f"c{'0' * 12}")) <= pipe.SOCKET_PATH_BYTES
    assert far.stat().st_uid == os.getuid()
