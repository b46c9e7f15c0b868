"""What opens a socket in one step is what websockets would have opened, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from chat.handshake import HEAD_MOST, asked, offers
from chat.wire import DEFLATE_ONCE

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # and its answer: RFC 6455, section 1.3
PLAIN = {
    b"host": b"show.example",
    b"connection": b"Upgrade",
    b"upgrade": b"websocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": KEY,
}


def head(headers: list[tuple[bytes, bytes]], first: bytes = b"GET /ws/first-look HTTP/1.1") -> bytes:
    return first + b"\r\n" + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"


def test_a_browsers_request_is_answered_as_the_rfc_says() -> None:
    plain = asked(head([*PLAIN.items(), (b"cookie", b"frontrow=abc"), (b"connection-speed", b"Upgrade")]))
    assert plain is not None
    assert plain.target == b"/ws/first-look"
    assert (b"cookie", b"frontrow=abc") in plain.headers
    answer = plain.answer([(b"date", b"now")])
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\ndate: now\r\n\r\n")


values = {
    b"connection": [b"Upgrade", b"keep-alive, Upgrade", b"keep-alive", b"upgrade,close", b"", b"UPGRADE", b"x upgrade"],
    b"upgrade": [b"websocket", b"WebSocket", b"h2c", b"websocket, h2c", b""],
    b"sec-websocket-version": [b"13", b"8", b"13, 8", b""],
    b"sec-websocket-key": [KEY, b"dGhl", b"", KEY[:-1] + b"*", KEY + b"=", b"A" * 24, b"=" + KEY[1:]],
    b"sec-websocket-extensions": [
        b"permessage-deflate; client_max_window_bits",
        b"permessage-deflate; server_max_window_bits=10, permessage-deflate",
        b"permessage-deflate; nonsense",
        b"x-other, permessage-deflate",
        b"permessage-deflate, permessage-deflate",
        b";;",
        b"",
    ],
    b"sec-websocket-protocol": [b"chat"],
}
one = st.sampled_from(sorted(values)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(values[name])))


@given(
    changed=st.lists(one, max_size=3), doubled=st.lists(one, max_size=1), target=st.sampled_from(["/", "/ws/a?b=%00"])
)
def test_whatever_is_opened_in_one_step_websockets_would_have_opened_alike(
    changed: list[tuple[bytes, bytes]], doubled: list[tuple[bytes, bytes]], target: str
) -> None:
    headers = [*(PLAIN | dict(changed)).items(), *doubled]
    sent = head(headers, f"GET {target} HTTP/1.1".encode())
    plain = asked(sent)
    if plain is None or offers(plain.extensions) is None:
        return
    theirs = ServerProtocol(extensions=DEFLATE_ONCE)
    theirs.receive_data(sent)
    (request,) = theirs.events_received()
    assert isinstance(request, Request)
    response = theirs.accept(request)
    assert response.status_code == 101
    assert request.path.encode() == plain.target
    assert [(name.encode(), value.encode()) for name, value in request.headers.raw_items()] == plain.headers
    assert b"Sec-WebSocket-Accept: " + response.headers["Sec-WebSocket-Accept"].encode() in plain.answer([])


@pytest.mark.parametrize(
    "strange",
    [
        head([*PLAIN.items()], b"POST /ws/a HTTP/1.1"),
        head([*PLAIN.items()], b"GET /ws/a HTTP/1.0"),
        head([*PLAIN.items()], b"GET /ws/\xc3\xa4 HTTP/1.1"),
        head([*PLAIN.items(), (b"sec-websocket-key", KEY)]),
        head([*PLAIN.items(), (b"sec-websocket-protocol", b"chat")]),
        head([*PLAIN.items(), (b"x", b"y" * HEAD_MOST)]),
        head([*PLAIN.items(), *[(b"x", b"y")] * 70]),
        head([*PLAIN.items()])[:-2],
        b"",
    ],
)
def test_what_is_asked_in_another_way_is_left_to_websockets(strange: bytes) -> None:
    assert asked(head([*PLAIN.items()])) is not None
    assert asked(strange) is None
