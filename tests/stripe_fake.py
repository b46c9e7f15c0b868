"""A Stripe that runs here: a real HTTP server that speaks the few shapes we use, as strict about idempotency keys.

Nobody here can reach Stripe itself to record it. Its shapes are held against Stripe's published description instead
(stripe_shapes.py): every request that comes and every object that leaves is looked at, and what is not as described is
in `wrong`, which must be empty when the fake ends. What it honours of keys: the same key and body answer the same, byte
for byte, also an error, and say so in a header; the same key with another body is 400 idempotency_error; the same key
while the first is still being worked on is 409. `lose` answers are done and then never sent; `drop` requests are never
done.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stripe_books import Books, Refusal, Thing
from stripe_shapes import wrong_error, wrong_object, wrong_params

from live.shop.payments.stripe import API_VERSION

SECRET = "whsec_of_the_tests"
KEY = "sk_test_of_the_tests"


class FakeStripe(Books):
    """`heard` is every request: (method, path, parameters, idempotency key)."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, tuple[str, int, Thing]] = {}
        self.heard: list[tuple[str, str, Thing, str]] = []
        self.wrong: list[str] = []
        self.lose = self.drop = 0
        self.works = asyncio.Event()  # cleared: a POST is taken, and answered once it is set
        self.works.set()
        self.taken = asyncio.Event()  # one was
        self.url = ""
        self.key = KEY
        self._working: set[str] = set()

    def event(self, kind: str, about: Thing, *, secret: str = SECRET, age_s: int = 0) -> tuple[bytes, dict[str, str]]:
        """A message as Stripe would post it: body and headers."""
        seen = _leaving(about)
        facts = {"id": self.id("evt"), "object": "event", "type": kind, "api_version": API_VERSION,
                 "created": int(time.time()), "livemode": False, "pending_webhooks": 1,
                 "request": {"id": None, "idempotency_key": None}, "data": {"object": seen}}  # fmt: skip
        self.wrong += wrong_object(facts) + wrong_object(seen)
        body = json.dumps(facts).encode()
        sent = int(time.time()) - age_s
        tag = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
        return body, {"stripe-signature": f"t={sent},v1={tag}"}

    def answer(self, method: str, path: str, params: Thing) -> Thing:
        match method, path.strip("/").split("/")[1:]:
            case "POST", ["checkout", "sessions"]:
                return self.new_session(params)
            case "GET", ["checkout", "sessions", ref]:
                return self.find(self.sessions, ref)
            case "POST", ["checkout", "sessions", ref, "expire"]:
                session = self.find(self.sessions, ref)
                if session["status"] != "open":
                    raise Refusal(400, "invalid_request_error")
                session |= {"status": "expired", "client_secret": None}
                return session
            case "POST", ["payment_intents"]:
                return self.charge_saved(params)
            case "GET", ["payment_intents"]:
                return self._listed(path, self.intents_since(params), params)
            case "GET", ["payment_intents", ref]:
                return self.find(self.intents, ref)
            case "POST", ["payment_intents", ref, "cancel"]:
                return self.cancel_intent(ref)
            case "POST", ["payment_intents", ref, "capture"]:
                raise Refusal(400, "invalid_request_error", code="payment_intent_unexpected_state")
            case "POST", ["refunds"]:
                return self.new_refund(params)
            case "GET", ["refunds"]:
                return self._listed(path, self.refunds_of("payment_intent", params["payment_intent"]), params)
            case "GET", ["disputes"]:
                return self._listed(path, self.disputes_since(params), params)
            case "DELETE", ["customers", ref]:
                return self.forget(ref)
        raise Refusal(404, "invalid_request_error", code="resource_missing")

    def _listed(self, path: str, things: list[Thing], params: Thing) -> Thing:
        after = params.get("starting_after")
        if after:
            ids = [one["id"] for one in things]
            if after not in ids:
                raise Refusal(400, "invalid_request_error", code="resource_missing", param="starting_after")
            things = things[ids.index(after) + 1 :]
        page = int(params.get("limit", 10))
        return {"object": "list", "url": path, "has_more": len(things) > page, "data": things[:page]}

    def _seen(self, thing: Thing, paths: list[str]) -> Thing:
        """With what `expand` asks for in place of its id."""
        seen = dict(thing)
        for path in paths:
            name, _, rest = path.partition(".")
            if (seen.get("object"), name) == ("list", "data"):
                seen["data"] = [self._seen(one, [rest]) for one in seen["data"]]
                continue
            if (seen.get("object"), name) == ("charge", "refunds"):
                refunds = self.refunds_of("charge", seen["id"])
                seen["refunds"] = self._listed(f"/v1/charges/{seen['id']}/refunds", refunds, {})
                continue
            ref = seen.get(name)
            if not ref:
                continue
            found = ref if isinstance(ref, dict) else (self.intents | self.charges | self.methods)[ref]
            seen[name] = self._seen(found, [rest] if rest else [])
        return seen

    # ---- HTTP ----------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *rest = head.split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if self.drop:
                self.drop -= 1
                writer.close()
                return
            status, answer, more = await self._respond(method, target, headers, body.decode())
            if self.lose:
                self.lose -= 1
            else:
                payload = json.dumps(answer).encode()
                told = {"content-type": "application/json", "connection": "close", "content-length": len(payload),
                        "request-id": self.id("req"), "stripe-version": API_VERSION, **more}  # fmt: skip
                lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + payload)
                await writer.drain()
        writer.close()

    async def _respond(
        self, method: str, target: str, headers: dict[str, str], body: str
    ) -> tuple[int, Thing, dict[str, str]]:
        """Status, body, and headers beyond those of every answer."""
        parts = urlsplit(target)
        params = nested(parse_qsl(parts.query) + parse_qsl(body, keep_blank_values=True))
        key = headers.get("idempotency-key", "")
        self.heard.append((method, parts.path, params, key))
        wrong = wrong_params(method, parts.path, params)
        self.wrong += wrong
        if headers.get("stripe-version") != API_VERSION:
            self.wrong.append(f"{method} {parts.path} names the version {headers.get('stripe-version')}")
        if headers.get("authorization") != f"Bearer {self.key}":
            return self._refused(401, {"type": "invalid_request_error", "message": "Invalid API Key provided"})
        if wrong:
            return self._refused(
                400, {"type": "invalid_request_error", "code": "parameter_unknown", "message": wrong[0]}
            )
        if method != "POST" or not key:
            return *self._done(method, parts.path, params), {}
        echo = {"idempotency-key": key}
        if key in self._working:
            busy = {"type": "invalid_request_error", "code": "idempotency_key_in_use", "message": "in use"}
            return *self._refused(409, busy)[:2], echo
        digest = hashlib.sha256(f"{parts.path}\n{body}".encode()).hexdigest()
        if key in self.kept:
            known, status, answer = self.kept[key]
            if known != digest:
                return *self._refused(400, {"type": "idempotency_error", "message": "other parameters"})[:2], echo
            return status, answer, {**echo, "idempotent-replayed": "true"}
        self._working.add(key)
        self.taken.set()
        await self.works.wait()
        self._working.discard(key)
        status, answer = self._done(method, parts.path, params)
        self.kept[key] = (digest, status, answer)
        return status, answer, echo

    def _done(self, method: str, path: str, params: Thing) -> tuple[int, Thing]:
        try:
            thing = self.answer(method, path, params)
        except Refusal as why:
            return self._refused(why.status, why.error)[:2]
        seen = _leaving(self._seen(thing, list(params.get("expand", {}).values())))
        for one in [seen, *seen["data"]] if seen["object"] == "list" else [seen]:
            self.wrong += wrong_object(one)
        return 200, seen

    def _refused(self, status: int, error: Thing) -> tuple[int, Thing, dict[str, str]]:
        seen = _leaving(error)
        self.wrong += wrong_error(seen)
        return status, {"error": seen}, {}


def _leaving(thing: Any) -> Any:
    """A copy without what is nobody's business."""
    if isinstance(thing, dict):
        return {name: _leaving(value) for name, value in thing.items() if not name.startswith("_")}
    return [_leaving(one) for one in thing] if isinstance(thing, list) else thing


def nested(pairs: list[tuple[str, str]]) -> Thing:
    """`a[b][0]=c` as Stripe's form encoding means it."""
    found: Thing = {}
    for name, value in pairs:
        *path, last = name.replace("]", "").split("[")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


@asynccontextmanager
async def fake_stripe() -> AsyncIterator[FakeStripe]:
    """It listens on a free port of this machine until the block ends; then nothing may have been out of shape."""
    fake = FakeStripe()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()
    assert not fake.wrong, "\n".join(sorted(set(fake.wrong)))
