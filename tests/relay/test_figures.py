"""What Prometheus and staff see of a relay: names as documented, figures that move, and no capability or address."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from relay_people import live, watching
from relay_stage import Stage, stage, until

from live.media.seen import LineSeen, LinesSeen, ShowSeen, page_of, together
from live.relay import rtcp
from live.relay import show as show_module

OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


@pytest.fixture
async def running(tmp_path: Any, redis_url: str) -> Any:
    async with stage(tmp_path, redis_url=redis_url, record=True) as up:
        yield up


async def figures(running: Stage) -> tuple[dict[str, str], dict[str, float]]:
    """(name -> type, series -> value)."""
    text = (await running.http.get(f"{running.process.control}/metrics")).text
    kinds = dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))
    values = {name: float(value) for name, value in re.findall(r"(?m)^(\S+) (\S+)$", text)}
    return {name: kind for name, kind in kinds.items() if not name.endswith("_created")}, values


async def test_each_figure_stands_in_the_manual_and_each_of_the_manual_is_there(running: Stage) -> None:
    camera = await live(running)  # a recording's figures come with the first one
    kinds, _ = await figures(running)
    await camera.caller.close()
    documented = dict(re.findall(r"(?m)^\| `(frontrow_relay_\w+)` \| (\w+)", OPERATIONS))
    assert documented, "premise"
    assert documented == kinds
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
    alerts = OPERATIONS.split("```yaml", 1)[1].split("```")[0]
    asked = set(re.findall(r"frontrow_relay_\w+", alerts))
    assert len(asked) >= 8
    assert {re.sub("_bucket$", "", name) for name in asked} <= kinds.keys(), "an alert asks for what there is"


async def test_what_happens_on_air_moves_the_figures(running: Stage) -> None:
    camera = await live(running)
    for _ in range(3):
        camera.frame()
    viewer = await watching(running)
    await until(lambda: len(viewer.order) == 12)
    viewer.caller.send_rtcp(
        rtcp.receiver_report(1, [rtcp.Report(viewer.ssrc, 51, 9, 5, 90, 0, 0)])
        + rtcp.nack(1, viewer.ssrc, viewer.order[:2])
        + rtcp.pli(1, viewer.ssrc)
        + rtcp.remb(1, 2_000_000, [viewer.ssrc])
    )
    await until(lambda: len(viewer.resent) == 2 and camera.heard.keyframe)
    _, said = await figures(running)
    name = "frontrow_relay_"
    assert said[f"{name}received_total"] == 12
    assert said[f"{name}nacks_heard_total"] == said[f"{name}resent_total"] == 2
    assert said[f"{name}keys_wanted_total"] == 1
    assert said[f"{name}keys_asked_total"] >= 1
    assert said[f"{name}join_seconds_count"] == 1
    assert said[name + 'handshake_seconds_count{kind="play"}'] == 1
    assert said[name + 'handshake_seconds_count{kind="publish"}'] == 1
    assert said[name + 'viewer_loss_ratio{quantile="0.5"}'] == pytest.approx(0.2, abs=0.01)
    assert said[name + 'viewer_remb_bits_per_second{quantile="0.95"}'] == pytest.approx(2e6, rel=0.01)
    assert said[f"{name}admitting"] == 1
    for one in (camera, viewer):
        await one.caller.close()


async def test_staff_sees_each_line_and_neither_a_session_nor_an_address(running: Stage) -> None:
    camera = await live(running)
    viewers = [await watching(running) for _ in range(3)]
    worst = viewers[1]
    worst.caller.send_rtcp(rtcp.receiver_report(1, [rtcp.Report(worst.ssrc, 128, 9, 5, 90, 0, 0)]))
    await until(lambda: any(one.reports.blocks for one in running.show.viewers.values()))
    control, headers = running.process.control, {"Authorization": f"Bearer {token(running)}"}
    text = (await running.http.get(f"{control}/shows/shw_one/seen?worst=2", headers=headers)).text
    seen = msgspec.json.decode(text, type=ShowSeen)
    assert (seen.state, seen.origin, seen.viewers, seen.losing) == ("live", True, 3, 1)
    assert [(layer.kind, layer.codec, layer.chosen) for layer in seen.layers] == [("video", "H264", True)]
    assert seen.key_age_ms is not None
    assert [line.lost for line in seen.lines] == [0.5, 0.0]
    page = (await running.http.get(f"{control}/shows/shw_one/viewers?most=9", headers=headers)).text
    assert msgspec.json.decode(page, type=LinesSeen).total == 3
    for said in (text, page):
        assert "127.0.0.1" not in said
        for session in running.relay.sessions:
            assert session not in said, "whoever knows it may end the session"
    ids = {line["id"] for line in json.loads(page)["lines"]}
    assert len(ids) == 3
    elsewhere = (await running.http.get(f"{control}/shows/none/seen", headers=headers)).text
    assert msgspec.json.decode(elsewhere, type=ShowSeen).viewers == 0
    assert (await running.http.get(f"{control}/shows/shw_one/viewers")).status_code == 401
    for one in (camera, *viewers):
        await one.caller.close()


def line(name: str, lost: float, rtt_ms: int = 20) -> LineSeen:
    return LineSeen(name, "n", 5, rtt_ms, lost, 2000, "full", 1500, 0)


def test_two_relays_are_one_picture_and_the_worst_lines_of_both_come_first() -> None:
    here = ShowSeen(0.5, 1000, 0.4, 1.0, "", "live", 9000, True, [], 700, {"full": 2, "sound": 1}, 1, "recording")
    there = ShowSeen(1.0, 1000, 0.9, 30.0, "cpu", "live", 8990, False, [], None, {"full": 4, "smaller": 1}, 0, "")
    here.lines, there.lines = [line("a", 0.2), line("b", 0.0)], [line("c", 0.5), line("d", 0.0, 900)]
    seen = together([("relay_b", there), ("relay_a", here)], worst=3, hls=7)
    assert (seen.state, seen.media_ms, seen.key_age_ms, seen.recording) == ("live", 9000, 700, "recording")
    assert (seen.viewers, seen.ways) == (15, {"webrtc": 8, "hls": 7})
    assert seen.sizes == {"full": 6, "smaller": 1, "sound": 1, "joining": 0}
    assert [relay.name for relay in seen.relays] == ["relay_a", "relay_b"], "the origin first"
    assert [(one.id, one.relay) for one in seen.worst] == [("c", "relay_b"), ("a", "relay_a"), ("d", "relay_b")]
    assert together([], worst=5).state == "waiting"


def test_pages_of_viewers_go_on_where_the_last_one_ended() -> None:
    one = ("r1", LinesSeen(3, [line("a", 0.5), line("b", 0.3), line("c", 0.1)]))
    two = ("r2", LinesSeen(2, [line("d", 0.4), line("e", 0.2)]))
    found = [found.id for offset in (0, 2, 4) for found in page_of([one, two], offset, 2).lines]
    assert found == ["a", "d", "b", "e", "c"]
    assert page_of([one, two], 0, 2).total == 5


def token(running: Stage) -> str:
    from live.ids import sign

    return sign(running.settings.key, "relay-control", "v1")
