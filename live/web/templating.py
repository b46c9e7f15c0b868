"""The pages' Jinja environment: escapes by itself, fails on a name it doesn't know, formats money and moments.

In every template: `person` (the Session: name, csrf, staff_id, known), `csrf`, `nonce` (for this page's scripts and
styles), `base_url`, `request`, `static("js/app.js")`, and the filters `money` and `json_for_script`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from live.money import Money
from live.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"


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


def page(request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """`page(request, "pages/show.html", show=facts)`: what a page's endpoint returns."""
    pages: Pages = request.app.state.pages
    return pages.response(request, name, context, status=status)


def money(amount: Money) -> str:
    """`{{ card.price | money }}` → €129.00"""
    return amount.words()


def moment(ms: int) -> str:
    """Server milliseconds for `<time datetime="…">`: 2026-03-01T19:30:00Z. The browser shows it in its own zone."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_for_script(value: object) -> Markup:
    """JSON for a `<script type="application/json">`: nothing in it can close the element or open a comment."""
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
