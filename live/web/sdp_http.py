"""HTTP as WHIP and WHEP use it: open to pages of every origin, bodies of SDP, and what an address takes.

RFC 9725 section 4; draft-ietf-wish-whep-03 section 4.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.errors import Error
from live.web import errors

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES = 64 * 1024
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """CORS on every answer, errors too: a player on another page must be able to read a 409's Retry-After."""

    async def answered(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except (Error, HTTPException) as error:
            response = await errors.respond(request, error)
        response.headers.update(CORS)
        return response

    answered.__module__, answered.__name__ = endpoint.__module__, endpoint.__name__
    answered.__doc__ = endpoint.__doc__
    return answered


def takes(methods: str, accepts: Mapping[str, str]) -> Response:
    """The answer to OPTIONS; a preflight among them brings no key (RFC 9725 section 4.1)."""
    headers = {
        "Allow": methods,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Max-Age": "600",
        "Cache-Control": "no-store",  # ICE servers' credentials may be in it
        **accepts,
    }
    return Response(status_code=204, headers=headers)


async def body_of(request: Request, content_type: str) -> str:
    """What was sent, as text. Raises: HTTPException 415 (and what is taken), 413, 400."""
    if media_type(request.headers.get("content-type", "")) != content_type:
        raise HTTPException(415, headers={"Accept-Post" if request.method == "POST" else "Accept-Patch": content_type})
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_SDP_BYTES:
            raise HTTPException(413)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise HTTPException(400) from None


def must_accept(request: Request, content_type: str) -> None:
    """Raises: HTTPException 406 where the client says that it can't read our answer (RFC 9110 section 12.5.1)."""
    accept = request.headers.get("accept", "")
    family = content_type.partition("/")[0]
    offered = [
        media_type(each) for each in accept.split(",") if not re.search(r";\s*q=0(\.0*)?\s*(;|$)", each, re.IGNORECASE)
    ]
    if accept.strip() and not {"*/*", f"{family}/*", content_type} & set(offered):
        raise HTTPException(406, headers={"Accept-Post": SDP})


def media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()
