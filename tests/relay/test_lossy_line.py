"""5 % of datagrams lost both ways and 30 ms of jitter: the picture does not freeze, and resends stay few.

Fifteen seconds of what `python -m bench.lossy` does for two minutes, by the same line and the same judge.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from relay_stage import stage, until

from live.relay.caller import Caller
from live.relay.codecs import starts_key_frame
from live.relay.peer import RelayCertificate

sys.path.append(str(Path(__file__).parents[2]))

from bench.lossy import Judge, Line, through, watch
from bench.relay_load import Camera

SECONDS, LOSS, JITTER_MS = 15, 0.05, 30


async def test_a_bad_line_freezes_nothing_and_resends_stay_under_twice_the_loss(tmp_path: Path, redis_url: str) -> None:
    certificate = RelayCertificate.generateCertificate()
    camera, viewer = Camera(certificate), Caller(certificate)
    line = Line(("127.0.0.1", 0), loss=LOSS, jitter_ms=JITTER_MS)
    async with stage(tmp_path) as running:
        published = await running.publish(camera.caller.offer("sendonly"))
        await camera.caller.connect(published.text)
        camera.start()
        await until(lambda: running.show.playable)
        played = await running.play(viewer.offer("recvonly"))
        answer, line._relay = through(played.text, await line.open())
        judge = Judge(viewer.send_rtcp, lambda payload: starts_key_frame("H264", payload))
        watching = asyncio.create_task(watch(viewer, judge, SECONDS))
        await viewer.connect(answer)
        await watching
        await viewer.close()
        line.close()
        await camera.stop()
    assert line.lost > 0.03 * line.carried, "the premise: the line is bad"
    assert judge.losses > 0.02 * judge.packets
    assert judge.frames > SECONDS * 20
    assert judge.freezes_ms == []
    assert judge.resends < 2 * LOSS * judge.packets / (1 - LOSS)


def test_the_judge_sees_a_freeze_when_there_is_one() -> None:
    from live.relay.rtp import Header

    asked: list[bytes] = []
    judge = Judge(asked.append, lambda payload: payload == b"key")

    def frame(seq: int, at_ms: float, payload: bytes = b"") -> None:
        judge.took(Header(True, 102, seq, seq * 3000, 7, {}, payload), at_ms)

    frame(1, 0, b"key")
    frame(2, 33)
    frame(4, 99)
    judge.tick(120)
    assert len(asked) == 1, "number 3 is asked for"
    assert judge.frames == 2
    frame(3, 640)
    assert judge.frames == 4
    assert judge.freezes_ms == [607]
    judge.stalled(600)
    frame(5, 1250)
    assert len(judge.freezes_ms) == 1, "our own stall is none"


def test_the_judge_shows_a_whole_key_frame_at_once_whatever_is_missing_before_it() -> None:
    from live.relay.rtp import Header

    judge = Judge(lambda compound: None, lambda payload: payload == b"key")

    def packet(seq: int, frame: int, at_ms: float, payload: bytes = b"", *, last: bool = True) -> None:
        judge.took(Header(last, 102, seq, frame * 3000, 7, {}, payload), at_ms)

    packet(1, 1, 0, b"key")
    packet(3, 3, 66)
    packet(4, 4, 200, b"key", last=False)
    packet(6, 4, 200)
    assert judge.frames == 1, "number 2 is missing, and half of the key frame"
    packet(5, 4, 260, last=False)
    assert judge.frames == 2
    packet(7, 5, 293)
    packet(2, 2, 300)
    assert judge.frames == 3
    assert judge.freezes_ms == []
    assert judge.longest_ms == 260
