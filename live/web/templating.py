"""The pages' Jinja environment: escapes by itself, fails on a name it doesn't know, formats money and moments.

In every template: `person` (the Session: name, csrf, staff_id, known), `csrf`, `nonce` (for this page's scripts and
styles), `base_url`, `request`, `static("js/app.js")`, and the filters `money` and `json_for_script`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from live.money import Money
from live.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
LAYOUTS = 64


class Pages:
    """Renders templates for one application."""

    def __init__(self, settings: Settings, *, templates: Path = TEMPLATES, static: Path = STATIC) -> None:
        self.settings = settings
        self.version = tree_hash(static)
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            auto_reload=False,  # as with static files, whose hash is taken once: a change needs a restart
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._laid: dict[tuple[str, bytes], list[str]] = {}
        self._place = f"place-{secrets.token_hex(16)}-"  # nobody can write one into a page
        self.env.filters["money"] = money
        self.env.filters["json_for_script"] = json_for_script
        self.env.filters["moment"] = moment
        self.env.globals["static"] = self.static
        self.env.globals["base_url"] = settings.base_url

    def static(self, path: str) -> str:
        """The address of a file below `static/`. It carries the hash of the whole folder, and a module's relative
        imports carry it along, so that browsers may keep every file for ever and still never mix two versions."""
        return f"/static/v-{self.version}/{path}"

    def response(
        self, request: Request, name: str, context: dict[str, Any] | None = None, *, status: int = 200
    ) -> HTMLResponse:
        """The page `name` for the person who asks."""
        session = request.state.session
        known = {"request": request, "person": session, "csrf": session.csrf, "nonce": request.state.nonce}
        return HTMLResponse(self.env.get_template(name).render({**known, **(context or {})}), status)

    def shared(
        self, request: Request, name: str, key: bytes, context: Callable[[], dict[str, Any]], own: dict[str, Any]
    ) -> HTMLResponse:
        """The page `name`, laid out once for all who come with the same `key`; `context` is asked for only then.

        `own` is what is each reader's, as are `csrf` and `nonce`: the layout has a place for each, which is filled by
        what the template would have written: text escaped, anything else as JSON for a script.
        `key` must say everything that `context` depends on. The 64 layouts laid last are kept: 5 MB of pages like the
        demo's, and more where a show has more looks.
        """
        own = {"csrf": request.state.session.csrf, "nonce": request.state.nonce, **own}
        parts = self._laid.get((name, key))
        if parts is None:
            places = {each: _Place(f"{self._place}{number}.") for number, each in enumerate(own)}
            text = self.env.get_template(name).render({**context(), **places})
            parts = self._laid[name, key] = re.split(re.escape(self._place) + r"([0-9]+)\.", text)
            if len(self._laid) > LAYOUTS:
                self._laid.pop(next(iter(self._laid)))
        said = [escape(value) if isinstance(value, str) else json_for_script(value) for value in own.values()]
        return HTMLResponse("".join(said[int(part)] if turn % 2 else part for turn, part in enumerate(parts)))


class _Place(Markup):
    """Where something of each reader's will stand; no filter changes it."""


def page(request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """`page(request, "pages/show.html", show=facts)`: what a page's endpoint returns."""
    pages: Pages = request.app.state.pages
    return pages.response(request, name, context, status=status)


def page_for_many(
    request: Request, name: str, *, key: bytes, context: Callable[[], dict[str, Any]], own: dict[str, Any]
) -> HTMLResponse:
    """As `page`, for one that thousands open at once: see Pages.shared."""
    pages: Pages = request.app.state.pages
    return pages.shared(request, name, key, context, own)


def money(amount: Money) -> str:
    """`{{ card.price | money }}` → €129.00"""
    return amount.words()


def moment(ms: int) -> str:
    """Server milliseconds for `<time datetime="…">`: 2026-03-01T19:30:00Z. The browser shows it in its own zone."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_for_script(value: object) -> Markup:
    """JSON for a `<script type="application/json">`: nothing in it can close the element or open a comment."""
    if isinstance(value, _Place):
        return value
    text = msgspec.json.encode(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - the five characters that could end the script were escaped above


def tree_hash(folder: Path) -> str:
    """Twelve hex digits over every file's path and content below `folder`."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            total.update(file.relative_to(folder).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:12]
