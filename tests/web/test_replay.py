"""A show that is over: its recordings in order, its looks by their moment, its files in ranges, and nobody else's."""

from __future__ import annotations

from pathlib import Path

from house import Web
from sqlalchemy import insert

from live.store.tables import recordings

FILM = bytes(range(256)) * 40


async def recorded(web: Web, name: str, **more: object) -> Path:
    show = more.pop("show", web.house.show.id)
    path = f"recordings/{show}/{name}.mp4"
    row = {"id": name, "show_id": show, "path": path, "state": "finished", "starts_at_ms": 0, "started_ms": 5}
    row |= {"ended_ms": 9, "duration_ms": 1_000, "bytes": len(FILM), "indexed_ms": 77, **more}
    await web.services.db.write(lambda sql: sql.execute(insert(recordings).values(**row)) and None)
    file = web.services.settings.data_dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(FILM)
    return file


async def over(web: Web, *dropped: int) -> None:
    await web.house.go_live(*dropped)
    await web.services.desk.end_show(web.house.show.id, web.house.host.id)


async def test_the_recordings_of_a_show_are_one_timeline_in_order_with_its_looks(web: Web) -> None:
    await over(web, 1, 2)
    await recorded(web, "rec_b", starts_at_ms=60_000, duration_ms=30_000)
    await recorded(web, "rec_a", starts_at_ms=40, duration_ms=50_000, state="failed", why="disk_full")
    await recorded(web, "rec_empty", starts_at_ms=9, duration_ms=0)
    (await recorded(web, "rec_gone", starts_at_ms=10)).unlink()
    await recorded(web, "rec_removed", state="removed")
    answer = (await (await web.stranger()).client.get("/api/shows/aw26/replay")).json()
    files = "/shows/aw26/recordings"
    assert answer["recordings"] == [
        {"url": f"{files}/rec_a.mp4?v=77", "type": "video/mp4", "starts_at_ms": 40, "duration_ms": 50_000},
        {"url": f"{files}/rec_b.mp4?v=77", "type": "video/mp4", "starts_at_ms": 60_000, "duration_ms": 30_000},
    ]
    assert [chapter["look"] for chapter in answer["timeline"]] == web.house.looks[:2]
    assert all(chapter["title"] and chapter["at"] >= 0 for chapter in answer["timeline"])


async def test_before_the_end_the_recordings_are_the_hosts(web: Web) -> None:
    await web.house.go_live(1)
    await recorded(web, "rec_a")
    viewer, host = await web.viewer(), await web.signed_in(web.house.host)
    for path in ("/api/shows/aw26/replay", "/shows/aw26/recordings/rec_a.mp4"):
        refused = await viewer.client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
        assert (await host.client.get(path)).status_code == 200
    assert (await host.client.get("/shows/aw26/recordings/rec_a.mp4")).headers["cache-control"] == "private, no-cache"


async def test_a_file_is_served_whole_and_in_ranges(web: Web) -> None:
    await over(web)
    await recorded(web, "rec_a")
    get = (await web.stranger()).client.get
    url = "/shows/aw26/recordings/rec_a.mp4?v=77"
    whole = await get(url)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, FILM, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["cache-control"] == "public, max-age=604800, immutable"
    part = await get(url, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, FILM[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(FILM)}"
    assert (await get(url, headers={"Range": "bytes=-50"})).content == FILM[-50:]
    assert (await get(url, headers={"Range": "bytes=10000-"})).content == FILM[10_000:]
    assert (await get(url, headers={"Range": "bytes=99999-"})).status_code == 416
    same = await get(url, headers={"Range": "bytes=0-9", "If-Range": whole.headers["etag"]})
    assert (same.status_code, same.content) == (206, FILM[:10])
    changed = await get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, FILM)
    # The address of another index is not kept for long.
    assert (await get(url.replace("77", "76"))).headers["cache-control"] == "private, no-cache"
    saved = await get(url + "&download")
    assert saved.headers["content-disposition"] == 'attachment; filename="aw26-1970-01-01-0000.mp4"'


async def test_no_other_file_can_be_had(web: Web) -> None:
    await over(web)
    await recorded(web, "rec_a")
    await recorded(web, "rec_other", show=web.house.other.id)
    await recorded(web, "rec_removed", state="removed")
    await recorded(web, "rec_out", path="secret_key")
    (web.services.settings.data_dir / "secret_key").write_text("s")
    (web.services.settings.data_dir / "pictures").mkdir(exist_ok=True)
    await recorded(web, "rec_now", state="recording")
    get = (await web.stranger()).client.get
    assert (await get("/shows/aw26/recordings/rec_a.mp4")).status_code == 200, "the premise"
    for name in (
        "rec_other.mp4", "rec_now.mp4", "rec_a.webm", "rec_a.mp4.part", "rec_a", "nothing.mp4", "rec_out.mp4",
        "secret_key", "..%2F..%2Fsecret_key", "%2E%2E%2Fsecret_key", "rec_a.mp4%00",
    ):  # fmt: skip
        assert (await get(f"/shows/aw26/recordings/{name}")).status_code == 404, name
    assert (await get("/media/../secret_key")).status_code == 404
    assert (await get("/media/recordings/rec_a.mp4")).status_code == 404


async def test_the_host_sees_what_failed_and_what_is_gone(web: Web) -> None:
    await over(web)
    await recorded(web, "rec_a", started_ms=1)
    await recorded(web, "rec_b", started_ms=2, state="failed", why="disk_full", duration_ms=0)
    (await recorded(web, "rec_c", started_ms=3, state="removed", why="age")).unlink()
    viewer, host = await web.viewer(), await web.signed_in(web.house.host)
    assert (await viewer.client.get("/api/shows/aw26/recordings")).status_code == 403
    told = (await host.client.get("/api/shows/aw26/recordings")).json()["recordings"]
    assert [(one["id"], one["state"], one["why"], bool(one["url"])) for one in told] == [
        ("rec_a", "finished", "", True), ("rec_b", "failed", "disk_full", True), ("rec_c", "removed", "age", False),
    ]  # fmt: skip
