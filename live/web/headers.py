"""The headers that every answer carries, and the nonce of each page.

Content Security Policy: scripts and styles come from this server or carry the page's nonce; there are no inline
handlers and no style attributes (set CSS variables from a module, or draw swatches with SVG's `fill`).
"""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.accounts.sessions import NOBODY
from live.settings import Settings

HSTS = "max-age=31536000; includeSubDomains"
PERMISSIONS = (
    "camera=(self), microphone=(self), autoplay=(self), fullscreen=(self), picture-in-picture=(self), "
    "clipboard-write=(self), screen-wake-lock=(self), "
    "geolocation=(), payment=(), usb=(), serial=(), midi=(), display-capture=(), interest-cohort=()"
)


_STRIPE = (
    " https://js.stripe.com https://*.js.stripe.com https://checkout.stripe.com",
    " https://js.stripe.com https://*.js.stripe.com https://checkout.stripe.com https://hooks.stripe.com",
    " https://api.stripe.com https://checkout.stripe.com",
    " https://*.stripe.com",
)
_PAYMENT = ("payment=()", 'payment=(self "https://js.stripe.com" "https://checkout.stripe.com")')


class SecurityHeaders:
    """ASGI middleware: puts `nonce`, `session` (nobody, for now), `frame_ancestors` and `pays` (whether people pay on
    this page) into the request's state, and the headers on the answer."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._https = settings.is_https
        base = urlsplit(settings.base_url)
        # Safari before 15.4 does not count ws: as 'self'.
        self._socket = f"{'wss' if self._https else 'ws'}://{base.netloc}"
        self._stripe = settings.payments == "stripe"
        if settings.media_engine == "livekit":  # its client asks by WebSocket, and by HTTP why that failed
            there = urlsplit(settings.livekit_url).netloc
            self._socket += f" wss://{there} https://{there} ws://{there} http://{there}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state.update(nonce=secrets.token_urlsafe(16), session=NOBODY, frame_ancestors="'none'", pays=False)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), state["nonce"], state["frame_ancestors"], pays=state["pays"])
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _add(self, headers: MutableHeaders, nonce: str, frame_ancestors: str, *, pays: bool) -> None:
        by_stripe = pays and self._stripe
        headers["Content-Security-Policy"] = policy(nonce, frame_ancestors, self._socket, stripe=by_stripe)
        headers["X-Content-Type-Options"] = "nosniff"
        # 'same-origin' and not 'no-referrer': with the latter, browsers send `Origin: null` with our own forms.
        headers["Referrer-Policy"] = "same-origin"
        headers["Permissions-Policy"] = PERMISSIONS.replace(*_PAYMENT) if by_stripe else PERMISSIONS
        # Some banks ask in a window of their own, which has to answer.
        headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups" if by_stripe else "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["X-Frame-Options"] = "SAMEORIGIN" if frame_ancestors == "'self'" else "DENY"
        if self._https:
            headers["Strict-Transport-Security"] = HSTS
        headers.setdefault("Cache-Control", "no-store")


def policy(nonce: str, frame_ancestors: str, socket: str, *, stripe: bool = False) -> str:
    """The page's Content Security Policy (CSP level 3). `stripe`: on a page where people pay by it, its script and its
    frames too. Source: https://docs.stripe.com/security/guide#content-security-policy"""
    scripts, frames, asked, images = _STRIPE if stripe else ("", "", "", "")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}'{scripts}",
            f"style-src 'self' 'nonce-{nonce}'",
            f"img-src 'self' data: blob:{images}",
            "media-src 'self' blob: mediastream:",
            "font-src 'self'",
            f"connect-src 'self' {socket}{asked}",
            f"frame-src 'self'{frames}",
            "manifest-src 'self'",
            "worker-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {frame_ancestors}",
        )
    )
