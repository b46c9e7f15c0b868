"""U+0000, which PostgreSQL keeps in no text and SQLite does: refused at every door, on both."""

from __future__ import annotations

import re
from pathlib import Path

from house import running, settings_for

from live.web.routes import DOORS

PARAMETER = re.compile(r"\{(\w+)(:\w+)?\}")


async def test_a_nul_in_a_path_or_a_query_is_refused_at_every_door(
    tmp_path: Path, redis_url: str, database_url: str | None
) -> None:
    wrong = []
    async with running(settings_for(tmp_path, redis_url, database_url=database_url)) as web:
        somebody = await web.stranger()
        for door in DOORS:
            method = min(door.methods - {"HEAD"})
            asked = [PARAMETER.sub("x%00y", door.path)] if PARAMETER.search(door.path) else []
            for address in [*asked, f"{PARAMETER.sub('x', door.path)}?q=%00"]:
                answer = await somebody.send(method, address)
                if answer.status_code not in (404, 422):
                    wrong.append((method, address, answer.status_code))
    assert wrong == []


async def test_a_nul_in_a_form_is_refused_however_the_form_is_sent(
    tmp_path: Path, redis_url: str, database_url: str | None
) -> None:
    async with running(settings_for(tmp_path, redis_url, database_url=database_url)) as web:
        staff = await web.signed_in(web.house.staff)
        headers = {"Origin": staff.origin}
        proven = {**headers, "X-CSRF": staff.csrf}
        form = {"act": "codes.off", "code": "A\0B"}
        for given in (
            {"data": {**form, "csrf": staff.csrf}, "headers": headers},
            {"data": {**form, "code": ["A\0B", "AB"], "csrf": staff.csrf}, "headers": headers},
            {"data": form, "headers": proven},
            {
                "files": {name: (None, value) for name, value in form.items()},
                "headers": {**headers, "X-CSRF": staff.csrf},
            },
        ):
            answer = await staff.client.post("/studio/terms", **given)
            assert answer.status_code == 400, (given, answer.text)
