"""TURN servers for those whose network lets no UDP through to us, with credentials that run out by themselves.

coturn's REST scheme (draft-uberti-behave-turn-rest-00, coturn's `use-auth-secret`): the username is
`<expiry, Unix s>:<person>`, the credential base64(HMAC-SHA1(secret, username)). SHA-1 is
the scheme's; HMAC holds with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from live.media.port import IceServer
from live.settings import Settings

LIFE_S = 6 * 3600  # a show and its waiting; coturn asks for the credential again every ten minutes of it
_UNSAFE = re.compile(r"[^0-9A-Za-z_.-]")


def ice_servers(settings: Settings, person: str, now_ms: int) -> list[IceServer]:
    """The servers of FRONTROW_TURN_URLS, for `person` ("" is a guest without a session)."""
    urls = [url for each in settings.turn_urls.split(",") if (url := each.strip())]
    relayed = [url for url in urls if not url.startswith("stun")]
    found = [IceServer([url]) for url in urls if url.startswith("stun")]
    if relayed and settings.turn_secret:
        username = f"{now_ms // 1000 + LIFE_S}:{_UNSAFE.sub('', person) or 'guest'}"
        mac = hmac.new(settings.turn_secret.encode(), username.encode(), hashlib.sha1)
        found.append(IceServer(relayed, username, base64.b64encode(mac.digest()).decode()))
    elif relayed:
        found.append(IceServer(relayed))  # a server that asks nobody
    return found


def links(servers: list[IceServer]) -> list[str]:
    """One `Link` header's value a server address (RFC 9725 section 4.6)."""
    found = []
    for server in servers:
        login = ""
        if server.credential:
            login = f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
        found += [f'<{url}>; rel="ice-server"{login}' for url in server.urls]
    return found
