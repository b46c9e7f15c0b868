"""Camera to screen: how old the picture is that a viewer's Chromium shows, by the time burnt into it.

    python -m bench.camera_to_screen [--seconds 20]

One Chromium (Debian's, headless) publishes a canvas of 1280 × 720 with the timecode of live/demo/timecode.py by the
page's own publisher.js, and plays it by its own player.js; the relay is between them on loopback. Both have one clock.
Each frame that is presented (requestVideoFrameCallback) is read back; its age counts encoding, relay, jitter buffer and
decoding. Without a GPU encoder and decoder run on the CPU, beside the relay: on two cores they are most of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "relay")]

from relay_stage import KEY, stage, until  # noqa: E402 - the tests' relay with its web front

from live.demo import timecode  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream"]  # fmt: skip
CAMERA = """async ([key, salt, left, top, cellWidth, cellHeight]) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1280, 720];
  const pen = canvas.getContext("2d");
  let turn = 0;
  const draw = () => {
    const value = Date.now() % (1 << 24), check = ((value >> 16) ^ (value >> 8) ^ value) & 255 ^ salt;
    const bits = [1, 0, 1, 0];
    for (let at = 23; at >= 0; at--) bits.push((value >> at) & 1);
    for (let at = 7; at >= 0; at--) bits.push((check >> at) & 1);
    pen.fillStyle = `hsl(${turn++ % 360} 40% 40%)`;
    pen.fillRect(0, 0, 1280, 690);
    pen.fillStyle = "#fff";
    pen.fillRect((turn * 7) % 1200, 200, 80, 200);
    pen.fillStyle = "#000";
    pen.fillRect(0, 690, 1280, 30);
    bits.forEach((bit, cell) => {
      pen.fillStyle = bit ? "#fff" : "#000";
      pen.fillRect((left + cell * cellWidth) * 1280, top * 720, cellWidth * 1280 + 1, cellHeight * 720);
    });
  };
  setInterval(draw, 33);
  const picture = canvas.captureStream(30);
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (asked) => {
    const given = await real({ audio: asked.audio ?? true });
    return new MediaStream([...picture.getVideoTracks(), ...given.getAudioTracks()]);
  };
  const { Publisher } = await import("/js/publisher.js");
  window.publisher = new Publisher(null, { url: "/whip/one", key, codec: "H264" });
  await publisher.start();
}"""
SCREEN = """async ([left, top, cellWidth, cellHeight, cells]) => {
  const { Player } = await import("/js/player.js");
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  window.shown = [];
  const look = () => {
    const now = Date.now(), [width, height] = [video.videoWidth, video.videoHeight];
    const y = Math.floor((top + cellHeight / 2) * height), across = Math.ceil((left + cells * cellWidth) * width) + 8;
    [canvas.width, canvas.height] = [across, 1];
    pen.drawImage(video, 0, y, across, 1, 0, 0, across, 1);
    const line = pen.getImageData(0, 0, across, 1).data, row = [];
    for (let cell = 0; cell < cells; cell++) row.push(line[4 * Math.floor((left + (cell + 0.5) * cellWidth) * width)]);
    shown.push({ now, row });
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  window.player = new Player(video, { url: "/whep/one" });
  void player.start();
}"""
WHERE = [timecode.LEFT, timecode.TOP, timecode.CELL_WIDTH, timecode.CELL_HEIGHT]


async def measure(seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="frontrow-bench-") as folder:
        async with stage(Path(folder)) as running, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            try:
                pages = [await browser.new_page() for _ in range(2)]
                for page in pages:
                    await page.goto(f"{running.url}/page")
                camera, screen = pages
                await camera.evaluate(CAMERA, [KEY, timecode.SALT, *WHERE])
                await until(lambda: running.relay.shows and running.show.state == "live")
                await screen.evaluate(SCREEN, [*WHERE, timecode.CELLS])
                await screen.wait_for_function("shown.length > 90", timeout=60_000)  # the jitter buffer has settled
                await screen.evaluate("shown.length = 0")
                await asyncio.sleep(seconds)
                shown = await screen.evaluate("shown")
                stats = await screen.evaluate("player.stats()")
            finally:
                with contextlib.suppress(Exception):
                    await browser.close()
    values = [(timecode.decode(one["row"]), int(one["now"])) for one in shown]
    ages = sorted(timecode.age_ms(value, now) for value, now in values if value is not None)
    if len(ages) < 30:
        raise SystemExit(f"of {len(shown)} frames only {len(ages)} could be read")
    return {
        "seconds": seconds, "frames": len(shown), "read": len(ages), "p50_ms": statistics.median(ages),
        "p95_ms": ages[int(len(ages) * 0.95) - 1], "least_ms": ages[0], "most_ms": ages[-1],
        "size": f"{stats.get('width', '?')}x{stats.get('height', '?')}", "lost": stats.get("lost"),
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "camera_to_screen.json")
    asked = options.parse_args()
    found = asyncio.run(measure(asked.seconds))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2) + "\n")
    for name, value in found.items():
        print(f"  {name.replace('_', ' '):12} {value}")


if __name__ == "__main__":
    main()
