"""The tail as a process of its own: a published show comes out as HLS through web, and a killed tail comes back."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from live_show import Player, on_air, published
from made_show import ffmpeg_says
from processes import ShowServer, until
from rtp_made import play


async def test_a_published_show_plays_by_hls_through_web_and_goes_on_when_the_tail_is_killed(tmp_path: Path) -> None:
    async with on_air(tmp_path / "data") as (server, key):
        url = f"{server.url}/hls/aw26/"
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            early = await http.get(f"{url}live.m3u8")
            assert early.status_code == 409
            assert early.headers["retry-after"] == "1"
            assert early.headers["access-control-allow-origin"] == "*"
        player = Player(url)
        try:
            async with published(server, key):
                await player.join()
                while len(player.parts) < 18:
                    await player.step()
                delays_ms = [player.got_at_ms[name] - player.part_walls_ms[name] for name in list(player.parts)[-9:]]
                # A part lasts 333 ms, so its first frame is that old when it is there, and little more.
                assert max(delays_ms) < 1_000, delays_ms
                path = player.file(tmp_path / "played.mp4")
                assert ffmpeg_says(path) == ""
                played = play(path)
                # A tail that finds the show later gets the picture since its key frame, and the sound from then on.
                heard = (played.beeps_s[0] - 0.5, played.audio_s[-1] - 0.2)
                apart = [
                    min(abs(flash - beep) for beep in played.beeps_s)
                    for flash in played.flashes_s
                    if heard[0] < flash < heard[1]
                ]
                assert len(apart) >= 3
                assert max(apart) <= 0.04, apart

                before = player.playlist
                assert before is not None
                server.kill("tail")
                killed_at = time.monotonic()
                server.start("tail")
                again = Player(url)
                after = await again.join()
                await again.close()
                took_s = time.monotonic() - killed_at
                assert after.first_msn > before.segments[-1].msn
                assert after.segments[0].breaks
                assert after.first_break > before.first_break
                assert took_s < 30
                # Who followed the old playlist gets the new one by the question that she had.
                # It begins at the newest key frame, which the killed one may have had too, and goes on from there.
                while player.playlist.segments[-1].wall_ms <= before.segments[-1].wall_ms:
                    await player.step()
                assert player.playlist.segments[-1].msn >= after.first_msn
        finally:
            await player.close()
        assert server.stop("tail") == 0


async def test_a_tail_that_is_switched_off_stays_and_ends_well_when_told(tmp_path: Path) -> None:
    with ShowServer(tmp_path, tail=True, environment={"FRONTROW_HLS": "false"}) as server:

        async def is_off() -> bool:
            return "tail.off" in server.log("tail")

        await until(is_off)
        assert server.stop("tail") == 0
