"""A recording plays: whole, cut off, with the disk full, over losses, slates and drifting clocks."""

from __future__ import annotations

import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from rtp_made import Numbering, Sent, audio_rtp, in_time, pictures, play, rtp, sounds, video_rtp

from live.clock import SetClock
from live.relay.lipsync import Lips
from live.relay.recorder import Recorder
from live.relay.recording_events import (
    RecordingBehind,
    RecordingEvent,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
)

LIPS_S = 0.040  # what a viewer may see or hear out of step


@pytest.fixture(scope="module")
def h264() -> list[bytes]:
    return pictures("h264", 5.0)


@pytest.fixture(scope="module")
def vp8() -> list[bytes]:
    return pictures("vp8", 5.0)


@pytest.fixture(scope="module")
def film(h264: list[bytes], vp8: list[bytes]) -> dict[str, list[bytes]]:
    """Five seconds in every codec that is recorded."""
    return {"h264": h264, "vp8": vp8, "vp9": pictures("vp9", 5.0), "av1": pictures("av1", 5.0)}


@pytest.fixture(scope="module")
def opus() -> list[bytes]:
    return sounds(5.0)


@dataclass
class Told:
    """What the recorder said, and a way to wait for it."""

    events: list[RecordingEvent] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, event: RecordingEvent) -> None:
        with self.news:
            self.events.append(event)
            self.news.notify_all()

    def wait_for(self, kind: type[RecordingEvent]) -> None:
        with self.news:
            assert self.news.wait_for(lambda: any(isinstance(event, kind) for event in self.events), 120), self.events

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Made:
    """A recorder, its events and its files."""

    recorder: Recorder
    told: Told
    folder: Path

    def feed(
        self, sent: list[Sent], *, media_ms: float = 0.0, delay_s: Callable[[Sent], float] = lambda sent: 0.0
    ) -> None:
        for packet in sent:
            at_ms = media_ms + (packet.at_s + delay_s(packet)) * 1000
            self.recorder.packet(packet.kind, packet.rtp, at_ms=at_ms)  # type: ignore[arg-type]

    def files(self) -> list[Path]:
        return [self.folder / event.path for event in self.told.all(RecordingStarted)]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Made]]:
    made: list[Made] = []

    def a_recorder(video: str | None = "h264", **more: Any) -> Made:
        told = Told()
        more = {"reserve_bytes": 0, "queue_packets_max": 100_000, **more}
        recorder = Recorder(tmp_path, "sho_1", video=video, on_event=told, clock=SetClock(), **more)  # type: ignore[arg-type]
        made.append(Made(recorder, told, tmp_path))
        return made[-1]

    yield a_recorder
    for one in made:
        one.recorder.close(60)


def in_step(flashes_s: list[float], beeps_s: list[float], *, at_least: int) -> bool:
    pairs = list(zip(flashes_s, beeps_s, strict=False))
    assert len(pairs) >= at_least, (flashes_s, beeps_s)
    return all(abs(flash - beep) <= LIPS_S for flash, beep in pairs)


def video_and_sound(codec: str, frames: list[bytes], packets: list[bytes], start_s: float = 0.0) -> list[Sent]:
    # Sound counts from another zero than the picture, as RTP wants it.
    return in_time(
        video_rtp(codec, frames, Numbering(), start_s=start_s),
        audio_rtp(packets, Numbering(seq=7, ts=123_456), start_s=start_s),
    )


SUFFIXES = [("h264", ".mp4"), ("vp8", ".webm"), ("vp9", ".webm"), ("av1", ".mp4")]


@pytest.mark.parametrize(("codec", "suffix"), SUFFIXES)
def test_every_frame_is_in_the_file_and_lips_are_in_step(
    codec: str, suffix: str, make: Callable[..., Made], film: dict[str, list[bytes]], opus: list[bytes]
) -> None:
    made = make(codec)
    made.feed(video_and_sound(codec, film[codec], opus), media_ms=9_000)
    made.recorder.close(60)

    (path,) = made.files()
    played = play(path)
    assert path.suffix == suffix
    assert path.parent == made.folder / "recordings" / "sho_1"
    assert len(played.video_s) == 150
    assert played.size == (320, 240)
    assert played.video_s[0] == pytest.approx(0, abs=0.002)
    assert played.video_s[-1] == pytest.approx(149 / 30, abs=0.002)
    assert len(played.audio_s) == 250
    assert in_step(played.flashes_s, played.beeps_s, at_least=5)


def test_the_facts_of_the_row_are_told(make: Callable[..., Made], h264: list[bytes], opus: list[bytes]) -> None:
    made = make()
    made.feed(video_and_sound("h264", h264, opus), media_ms=9_000)
    made.recorder.close(60)

    started, finished = made.told.events
    assert isinstance(started, RecordingStarted)
    assert isinstance(finished, RecordingFinished)
    assert started.recording == finished.recording
    assert (started.show, started.starts_at_ms, started.started_ms) == ("sho_1", 9_000, SetClock().now_ms())
    assert finished.bytes == (made.folder / started.path).stat().st_size
    assert finished.duration_ms == pytest.approx(5_000, abs=40)
    counts = made.recorder.counts
    assert (counts.frames, counts.dropped, counts.lost, counts.damaged) == (400, 0, 0, 0)


def test_a_recording_starts_at_a_key_frame(make: Callable[..., Made], h264: list[bytes], opus: list[bytes]) -> None:
    made = make()
    wanted = [packet for packet in video_and_sound("h264", h264, opus) if packet.at_s > 0.4]
    made.feed(wanted)
    made.recorder.close(60)

    (started,) = made.told.all(RecordingStarted)
    assert started.starts_at_ms == pytest.approx(1_000, abs=1)
    played = play(made.files()[0])
    assert len(played.video_s) == 120
    assert in_step(played.flashes_s, played.beeps_s, at_least=4)


def test_sound_alone_is_recorded(make: Callable[..., Made], opus: list[bytes]) -> None:
    made = make(None)
    made.feed(audio_rtp(opus, Numbering()))
    made.recorder.close(60)
    played = play(made.files()[0])
    assert len(played.audio_s) == 250
    assert played.video_s == []


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_sound_that_begins_later_is_where_it_belongs(
    codec: str, make: Callable[..., Made], film: dict[str, list[bytes]], opus: list[bytes]
) -> None:
    made = make(codec)
    made.feed([sent for sent in video_and_sound(codec, film[codec], opus) if sent.kind == "video" or sent.at_s >= 1.5])
    made.recorder.close(60)
    played = play(made.files()[0])
    assert played.audio_s[0] == 0, "a lead-in of silence"
    assert played.audio_s[1] == pytest.approx(1.5, abs=LIPS_S)
    assert in_step(played.flashes_s[2:], played.beeps_s, at_least=3)


def test_a_picture_without_sound_is_on_disk_within_two_seconds(make: Callable[..., Made], h264: list[bytes]) -> None:
    made = make(audio=True)  # promised, but muted from the start: nothing may wait for it
    made.feed(video_rtp("h264", h264, Numbering()))
    made.told.wait_for(RecordingStarted)
    wait_until(lambda: not made.recorder._queue, "the queue is written")
    copy = made.folder / "copy.mp4"
    copy.write_bytes(made.files()[0].read_bytes())
    assert play(copy, torn=True).video_s[-1] >= 5.0 - 2.0


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "av1"])
def test_a_file_cut_off_anywhere_plays_up_to_there(
    codec: str, make: Callable[..., Made], film: dict[str, list[bytes]], opus: list[bytes]
) -> None:
    made = make(codec)
    made.feed(video_and_sound(codec, film[codec], opus))
    made.recorder.close(60)
    (path,) = made.files()
    whole = path.read_bytes()
    lengths = []
    for tenths in range(3, 10):
        cut = made.folder / f"cut{tenths}{path.suffix}"
        cut.write_bytes(whole[: len(whole) * tenths // 10])
        played = play(cut, torn=True)
        lengths.append(len(played.video_s))
        assert in_step(played.flashes_s, played.beeps_s, at_least=1)
    assert lengths == sorted(lengths)
    assert lengths[0] >= 30
    assert lengths[-1] >= 120


def test_a_slate_keeps_the_timeline(make: Callable[..., Made], h264: list[bytes], opus: list[bytes]) -> None:
    made = make()
    video, audio = Numbering(), Numbering(seq=7, ts=123_456)
    for start_s in (0.0, 20.0):  # gone for 15 s, then back, numbered on by the relay
        made.feed(in_time(video_rtp("h264", h264, video, start_s=start_s), audio_rtp(opus, audio, start_s=start_s)))
        made.recorder.source(video="h264")
    made.recorder.close(60)

    (path,) = made.files()
    played = play(path)
    assert len(played.video_s) == 300
    assert played.video_s[150] == pytest.approx(20.0, abs=0.002)
    assert len(played.flashes_s) == 10
    assert in_step(played.flashes_s, played.beeps_s, at_least=10)


def test_a_file_that_nothing_comes_for_is_ended_and_a_late_return_has_another(
    make: Callable[..., Made], h264: list[bytes], opus: list[bytes]
) -> None:
    made = make()
    video, audio = Numbering(), Numbering(seq=7, ts=123_456)
    made.feed(in_time(video_rtp("h264", h264, video), audio_rtp(opus, audio)))
    # The worker would take a file without a writer for a dead relay's, and put another in its place. Nothing is quiet
    # while it is fed, however long that takes here.
    usual_s, made.recorder._quiet_s = made.recorder._quiet_s, 0.1
    made.told.wait_for(RecordingFinished)
    made.recorder._quiet_s = usual_s
    made.feed(in_time(video_rtp("h264", h264, video, start_s=90.0), audio_rtp(opus, audio, start_s=90.0)))
    made.recorder.close(60)

    assert [len(play(path).video_s) for path in made.files()] == [150, 150]
    assert [event.starts_at_ms for event in made.told.all(RecordingStarted)] == [0, 90_000]
    for path in made.files():
        played = play(path)
        assert in_step(played.flashes_s, played.beeps_s, at_least=5)


def test_a_publisher_with_another_size_gets_a_file_of_its_own(make: Callable[..., Made], h264: list[bytes]) -> None:
    made = make(audio=False)
    video = Numbering()
    made.feed(video_rtp("h264", h264[:60], video))
    made.feed(video_rtp("h264", pictures("h264", 1.0, size=(640, 360)), video, start_s=3.0))
    made.recorder.close(60)

    assert [play(path).size for path in made.files()] == [(320, 240), (640, 360)]
    assert [event.starts_at_ms for event in made.told.all(RecordingStarted)] == [0, 3_000]
    assert len(made.told.all(RecordingFinished)) == 2


def test_a_publisher_with_another_codec_gets_a_file_of_its_own(
    make: Callable[..., Made], h264: list[bytes], vp8: list[bytes], opus: list[bytes]
) -> None:
    made = make()
    video, audio = Numbering(), Numbering()
    made.feed(in_time(video_rtp("h264", h264, video), audio_rtp(opus, audio)))
    made.recorder.source(video="vp8")
    made.feed(in_time(video_rtp("vp8", vp8, video, start_s=6.0), audio_rtp(opus, audio, start_s=6.0)))
    made.recorder.close(60)
    assert [path.suffix for path in made.files()] == [".mp4", ".webm"]
    assert [len(play(path).video_s) for path in made.files()] == [150, 150]


def test_a_lost_packet_leaves_a_gap_and_asks_for_a_key_frame(
    make: Callable[..., Made], h264: list[bytes], opus: list[bytes]
) -> None:
    asked = threading.Event()
    made = make(want_key_frame=asked.set)
    sent = video_and_sound("h264", h264, opus)
    lost = next(packet for packet in sent if packet.kind == "video" and packet.at_s > 1.5)
    made.feed([packet for packet in sent if packet is not lost])
    made.recorder.close(60)

    played = play(made.files()[0])
    gone = [at for at in range(150) if not any(abs(frame - at / 30) < 0.002 for frame in played.video_s)]
    assert gone == list(range(46, 60))
    assert len(played.video_s) == 150 - len(gone), "a frame is out of its place"
    assert in_step(played.flashes_s, played.beeps_s, at_least=5)
    assert made.recorder.counts.lost == 1
    assert asked.is_set()


def test_a_sender_report_puts_lips_in_step_where_arrival_is_wrong(
    make: Callable[..., Made], h264: list[bytes], opus: list[bytes]
) -> None:
    def late_sound(sent: Sent) -> float:
        return 0.2 if sent.kind == "audio" else 0.0  # the network's path, or an encoder that looks ahead

    without = make()
    without.feed(video_and_sound("h264", h264, opus), delay_s=late_sound)
    without.recorder.close(60)
    played = play(without.files()[0])
    assert not in_step(played.flashes_s, played.beeps_s, at_least=4), "the premise: arrival misleads"

    made = make()
    made.recorder.report("video", Numbering().ts, 5_000_000.0)
    made.recorder.report("audio", 123_456, 5_000_000.0)
    made.feed(video_and_sound("h264", h264, opus), delay_s=late_sound)
    made.recorder.close(60)
    played = play(made.files()[0])
    assert in_step(played.flashes_s, played.beeps_s, at_least=5)


@pytest.mark.parametrize("reported", [True, False])
def test_lips_stay_in_step_over_an_hour_of_drifting_clocks(reported: bool) -> None:
    """The sound's clock 100 ppm fast, the picture's 100 ppm slow: 720 ms apart after an hour, if nobody looked."""
    lips = Lips()
    video_hz, audio_hz = 90_000 * (1 - 1e-4), 48_000 * (1 + 1e-4)
    lips.begin("video", 0)
    worst_ms, uncorrected_ms, last_ms = 0.0, 0.0, -1.0
    for number in range(3_600 * 50):
        at_s = number * 0.02
        video_ts, audio_ts = round(at_s * video_hz), round(at_s * audio_hz)
        if reported and number % 250 == 0:
            lips.readings["video"].report(video_ts, at_s * 1000)
            lips.readings["audio"].report(audio_ts, at_s * 1000)
        jitter_ms = number * 7919 % 30
        lips.readings["video"].arrived(video_ts, at_s * 1000 + jitter_ms)
        lips.readings["audio"].arrived(audio_ts, at_s * 1000 + (jitter_ms * 3) % 30)
        audio_ms = lips.place_ms("audio", audio_ts)
        assert audio_ms > last_ms
        last_ms = audio_ms
        worst_ms = max(worst_ms, abs(audio_ms - lips.place_ms("video", video_ts)))
        uncorrected_ms = max(uncorrected_ms, abs(audio_ts / 48 - video_ts / 90))
    assert uncorrected_ms > 700, "the premise"
    assert worst_ms <= LIPS_S * 1000


def test_a_full_queue_drops_to_the_next_key_frame_and_raises_an_alarm(
    make: Callable[..., Made], h264: list[bytes]
) -> None:
    made = make(audio=False, queue_packets_max=200)
    sent = video_rtp("h264", h264, Numbering())
    assert len(sent) > 400, "the premise: more than the queue takes"
    with made.told.news:  # its thread stands still where it tells of the file: this is faster than any disk
        made.feed(sent)
    made.told.wait_for(RecordingBehind)
    wait_until(lambda: not made.recorder._queue, "the queue is written")
    # What comes after, at a pace that the queue takes, is whole again from its first key frame on.
    numbering = Numbering(seq=Numbering().seq + len(sent))
    made.feed(video_rtp("h264", h264[:8], numbering, start_s=5.0))
    made.recorder.close(60)

    assert 0 < made.recorder.counts.dropped <= len(sent) - 199  # the first place was the plan of the source
    played = play(made.files()[0])
    assert [at for at in played.video_s if at > 4.9] == pytest.approx([5 + n / 30 for n in range(8)], abs=0.002)
    assert not made.told.all(RecordingFailed)


def test_the_reserve_of_the_shops_books_is_not_touched(make: Callable[..., Made], h264: list[bytes]) -> None:
    made = make(audio=False, reserve_bytes=1 << 60)
    made.feed(video_rtp("h264", h264, Numbering()))
    made.recorder.close(60)
    (failed,) = made.told.events
    assert isinstance(failed, RecordingFailed)
    assert failed.why == "disk_full"
    assert not (made.folder / "recordings").exists()


def test_a_folder_that_cannot_be_written_is_an_alarm_and_no_more(make: Callable[..., Made], h264: list[bytes]) -> None:
    made = make(audio=False)
    (made.folder / "recordings").write_text("in the way")
    made.feed(video_rtp("h264", h264, Numbering()))
    made.recorder.close(60)
    (failed,) = made.told.events
    assert isinstance(failed, RecordingFailed)
    assert (failed.why, failed.recording) == ("file", None)


def test_a_key_frame_that_cannot_be_read_is_waited_out(make: Callable[..., Made], vp8: list[bytes]) -> None:
    made = make("vp8", audio=False)
    torn = bytearray(vp8[0])
    torn[6:10] = bytes(4)  # a picture of no size
    made.feed(video_rtp("vp8", [bytes(torn), *vp8[1:]], Numbering()))
    made.recorder.close(60)
    assert len(play(made.files()[0]).video_s) == 120
    assert not made.told.all(RecordingFailed)


def test_garbage_is_counted(make: Callable[..., Made], h264: list[bytes]) -> None:
    made = make(audio=False)
    made.recorder.packet("video", b"\x00" * 20, at_ms=0)
    made.recorder.packet("video", b"", at_ms=0)
    made.recorder.packet("audio", rtp(1, 1, b"\xf8", marker=False), at_ms=0)  # no sound was agreed on
    made.feed(video_rtp("h264", h264, Numbering()))
    made.recorder.close(60)
    assert made.recorder.counts.damaged == 2
    assert len(play(made.files()[0]).video_s) == 150


def test_what_ffmpeg_sends_as_rtp_is_recorded(make: Callable[..., Made]) -> None:
    """Packets of another maker's packetiser and its sender reports, by way of real sockets."""
    with UdpPair() as video, UdpPair() as audio:
        # A white flash and a beep at each whole second, as in rtp_made.py.
        flash = "color=black:s=320x240:r=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'"
        beep = "aevalsrc='0.5*sin(2000*PI*t)*lt(mod(t,1),0.1)':s=48000"
        source = ["-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep]
        x264 = ["-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p"]
        command = [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-readrate", "2", *source]
        # Else its two clocks begin when it opens each, which is as far apart as the machine is slow.
        out = ["-start_time_realtime", str(time.time_ns() // 1000), "-f", "rtp"]
        command += ["-t", "4", "-map", "0:v", *x264, *out, video.url]
        command += ["-t", "4", "-map", "1:a", "-c:a", "libopus", "-ac", "2", *out, audio.url]
        sender = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        made = make()
        began = time.monotonic()
        going = True
        while going:
            going = sender.poll() is None  # asked first: what it sent before it ended is read all the same
            ready, _, _ = select.select([*video.sockets, *audio.sockets], [], [], 0.1 if going else 0)
            going = going or bool(ready)
            for socket_ in ready:
                packet = socket_.recv(2048)
                kind = "video" if socket_ in video.sockets else "audio"
                if socket_ in (video.rtp, audio.rtp):
                    made.recorder.packet(kind, packet, at_ms=(time.monotonic() - began) * 2000)  # type: ignore[arg-type]
                elif packet[1] == 200:
                    ntp, ts = struct.unpack_from("!QI", packet, 8)
                    made.recorder.report(kind, ts, ntp * 1000 / (1 << 32))  # type: ignore[arg-type]
        assert sender.wait() == 0
    made.recorder.close(60)

    assert made.recorder.counts.lost == 0
    played = play(made.files()[0])
    assert len(played.video_s) == 120
    assert len(played.audio_s) >= 185  # sound from before the first picture is left out
    assert played.size == (320, 240)
    # The first beep may lie before the first picture: compare those that follow a flash.
    beeps = [at for at in played.beeps_s if at > 0.5]
    assert in_step(played.flashes_s[1:], beeps, at_least=2), (played.flashes_s, played.beeps_s)


class UdpPair:
    """Two bound sockets on loopback: for RTP and for its RTCP."""

    def __enter__(self) -> UdpPair:
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for one in self.sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
            one.bind(("127.0.0.1", 0))
        self.rtp, self.rtcp = self.sockets
        port, reports = (one.getsockname()[1] for one in self.sockets)
        self.url = f"rtp://127.0.0.1:{port}?rtcpport={reports}&pkt_size=1200"
        return self

    def __exit__(self, *error: object) -> None:
        for one in self.sockets:
            one.close()


CHILD = Path(__file__).with_name("record_in_a_child.py")


def test_a_full_disk_stops_the_recording_and_what_was_written_plays(tmp_path: Path) -> None:
    """A process that may write files of 300 kB only gets from the kernel what a full disk gives: a failed write."""
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path)],
        check=True, capture_output=True, text=True, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )  # fmt: skip
    events = child.stdout.split("\n")
    assert any(line.startswith("RecordingStarted") for line in events)
    assert any(line.startswith("RecordingFailed") and "disk_full" in line for line in events), child.stdout
    assert "the show goes on" in events
    (path,) = (tmp_path / "recordings" / "sho_1").iterdir()
    assert path.stat().st_size == 300_000
    assert len(play(path, torn=True).video_s) > 30


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)
