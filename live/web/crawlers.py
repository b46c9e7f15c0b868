"""What programs that read the web are told: where not to go, and which pages there are."""

from __future__ import annotations

import datetime as dt
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from live.desk.wiring import Services

CLOSED = ("/api/", "/studio", "/orders/", "/sign-in", "/sandbox/", "/ws/", "/whip/", "/whep/", "/hls/")


async def robots(request: Request) -> Response:
    """GET /robots.txt (RFC 9309)."""
    base_url = _services(request).settings.base_url
    closed = "".join(f"Disallow: {path}\n" for path in CLOSED)
    return PlainTextResponse(f"User-agent: *\n{closed}\nSitemap: {base_url}/sitemap.xml\n")


async def sitemap(request: Request) -> Response:
    """GET /sitemap.xml: the front and each show's page. Pieces are on their show's, once they are out."""
    s = _services(request)
    pages = [f"<url><loc>{escape(s.settings.base_url)}/</loc></url>"]
    for show in await s.shows.list():
        moved_ms = show.ended_ms or show.opened_ms
        when = f"<lastmod>{dt.datetime.fromtimestamp(moved_ms / 1000, dt.UTC):%Y-%m-%d}</lastmod>" if moved_ms else ""
        pages.append(f"<url><loc>{escape(s.settings.base_url)}/shows/{escape(show.slug)}</loc>{when}</url>")
    body = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    return Response(f"{body}{chr(10).join(pages)}\n</urlset>\n", media_type="application/xml")


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
