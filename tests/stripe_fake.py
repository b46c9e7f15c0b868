"""A Stripe that runs here: a real HTTP server that speaks the few shapes we use, as strict about idempotency keys.

The shapes are those of Stripe's documentation and of the types in its library; nobody here can reach Stripe itself to
record them. What it honours: the same key and body answer the same, byte for byte, also an error; the same key with
another body is 400 idempotency_error. `lose` answers are done and then never sent.
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

SECRET = "whsec_of_the_tests"
KEY = "sk_test_of_the_tests"
CARDS = {"4242": "ok", "0002": "generic_decline", "9995": "insufficient_funds", "3184": "asks"}


class Refusal(Exception):
    def __init__(self, status: int, kind: str, **facts: Any) -> None:
        self.status, self.error = status, {"type": kind, "message": kind, **facts}


class FakeStripe:
    """`heard` is every request: (method, path, parameters, idempotency key)."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.intents: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.methods: dict[str, dict[str, Any]] = {}
        self.kept: dict[str, tuple[str, int, dict[str, Any]]] = {}
        self.heard: list[tuple[str, str, dict[str, Any], str]] = []
        self.lose = 0
        self.url = ""
        self.key = KEY
        self._count = 0

    # ---- what a buyer and her bank do ----------------------------------------------------------

    def pay(self, session_id: str, card: str = "4242") -> None:
        """She pays on the embedded page. A card that is declined leaves the session open, as Stripe does."""
        session = self.sessions[session_id]
        assert session["status"] == "open", "Stripe's page takes nothing any more"
        if CARDS[card] not in ("ok", "asks"):
            return
        asked = session["_asked"]
        intent = self._new_intent(session["amount_total"], session["currency"], asked["payment_intent_data"])
        method = self._new_method(card)
        if asked.get("customer_creation") == "always":
            session["customer"] = self._id("cus")
            self.customers[session["customer"]] = {"id": session["customer"], "object": "customer", "deleted": False}
            method["customer"] = session["customer"]
        intent["payment_method"] = method["id"]
        self._succeed(intent)
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
        session["client_secret"] = None

    def answer_bank(self, intent_id: str, *, right: bool = True) -> None:
        """She answers her bank's question about a saved card."""
        intent = self.intents[intent_id]
        assert intent["status"] == "requires_action"
        if right:
            self._succeed(intent)
        else:
            intent["status"] = "requires_payment_method"
            intent["last_payment_error"] = {"type": "card_error", "code": "payment_intent_authentication_failure"}

    def event(
        self, kind: str, about: dict[str, Any], *, secret: str = SECRET, age_s: int = 0
    ) -> tuple[bytes, dict[str, str]]:
        """A message as Stripe would post it: body and headers."""
        seen = {name: value for name, value in about.items() if not name.startswith("_")}
        facts = {"id": self._id("evt"), "object": "event", "type": kind, "api_version": "2026-10-28.endive",
                 "created": int(time.time()), "livemode": False, "data": {"object": seen}}  # fmt: skip
        body = json.dumps(facts).encode()
        sent = int(time.time()) - age_s
        tag = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
        return body, {"stripe-signature": f"t={sent},v1={tag}"}

    # ---- its API -------------------------------------------------------------------------------

    def answer(self, method: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        match method, path.strip("/").split("/")[1:]:
            case "POST", ["checkout", "sessions"]:
                return self._new_session(params)
            case "GET", ["checkout", "sessions", ref]:
                return self._seen(self._find(self.sessions, ref), params)
            case "POST", ["checkout", "sessions", ref, "expire"]:
                session = self._find(self.sessions, ref)
                if session["status"] != "open":
                    raise Refusal(400, "invalid_request_error")
                session |= {"status": "expired", "client_secret": None}
                return session
            case "POST", ["payment_intents"]:
                return self._confirm(params)
            case "GET", ["payment_intents", ref]:
                return self._seen(self._find(self.intents, ref), params)
            case "POST", ["payment_intents", ref, "cancel"]:
                intent = self._find(self.intents, ref)
                if intent["status"] in ("succeeded", "canceled"):
                    raise Refusal(400, "invalid_request_error", code="payment_intent_unexpected_state")
                intent["status"] = "canceled"
                return intent
            case "POST", ["payment_intents", ref, "capture"]:
                raise Refusal(400, "invalid_request_error", code="payment_intent_unexpected_state")
            case "POST", ["refunds"]:
                return self._refund(params)
            case "DELETE", ["customers", ref]:
                customer = self._find(self.customers, ref)
                customer["deleted"] = True
                for kept in self.methods.values():
                    if kept.get("customer") == ref:
                        kept["customer"] = None
                return {"id": ref, "object": "customer", "deleted": True}
        raise Refusal(404, "invalid_request_error", code="resource_missing")

    def _new_session(self, params: dict[str, Any]) -> dict[str, Any]:
        for needed in ("mode", "ui_mode", "line_items", "return_url"):
            if needed not in params:
                raise Refusal(400, "invalid_request_error", code="parameter_missing", param=needed)
        price = params["line_items"]["0"]["price_data"]
        ref = self._id("cs_test")
        session = {
            "id": ref,
            "object": "checkout.session",
            "amount_total": int(price["unit_amount"]),
            "currency": price["currency"],
            "client_reference_id": params.get("client_reference_id"),
            "client_secret": f"{ref}_secret_{self._count}",
            "customer": None,
            "livemode": False,
            "metadata": params.get("metadata", {}),
            "mode": params["mode"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "ui_mode": params["ui_mode"],
            "url": None,
            "_asked": params,
        }
        self.sessions[ref] = session
        return session

    def _confirm(self, params: dict[str, Any]) -> dict[str, Any]:
        method = self._find(self.methods, params["payment_method"])
        if method.get("customer") != params["customer"]:
            raise Refusal(400, "invalid_request_error", code="resource_missing", param="payment_method")
        intent = self._new_intent(int(params["amount"]), params["currency"], params)
        intent["payment_method"] = method["id"]
        what = CARDS[method["card"]["last4"]]
        if what == "asks":
            intent["status"] = "requires_action"
        elif what == "ok":
            self._succeed(intent)
        else:
            intent["status"] = "requires_payment_method"
            intent["last_payment_error"] = {"type": "card_error", "code": "card_declined", "decline_code": what}
            raise Refusal(402, "card_error", code="card_declined", decline_code=what, payment_intent=intent)
        return self._seen(intent, {"expand": {"0": "latest_charge", "1": "payment_method"}})

    def _refund(self, params: dict[str, Any]) -> dict[str, Any]:
        intent = self._find(self.intents, params["payment_intent"])
        charge = self._find(self.charges, intent["latest_charge"] or "")
        amount = int(params.get("amount", charge["amount"]))
        if amount <= 0 or charge["amount_refunded"] + amount > charge["amount"]:
            raise Refusal(400, "invalid_request_error", code="charge_already_refunded")
        charge["amount_refunded"] += amount
        return {"id": self._id("re"), "object": "refund", "amount": amount, "status": "succeeded"}

    def _new_intent(self, amount: int, currency: str, asked: dict[str, Any]) -> dict[str, Any]:
        ref = self._id("pi")
        intent = {
            "id": ref,
            "object": "payment_intent",
            "amount": amount,
            "amount_received": 0,
            "client_secret": f"{ref}_secret_{self._count}",
            "currency": currency,
            "last_payment_error": None,
            "latest_charge": None,
            "metadata": asked.get("metadata", {}),
            "payment_method": None,
            "setup_future_usage": asked.get("setup_future_usage"),
            "status": "requires_payment_method",
        }
        self.intents[ref] = intent
        return intent

    def _succeed(self, intent: dict[str, Any]) -> None:
        charge = {"id": self._id("ch"), "object": "charge", "amount": intent["amount"], "amount_refunded": 0,
                  "metadata": intent["metadata"], "payment_intent": intent["id"]}  # fmt: skip
        self.charges[charge["id"]] = charge
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}

    def _new_method(self, card: str) -> dict[str, Any]:
        method = {"id": self._id("pm"), "object": "payment_method", "type": "card", "customer": None,
                  "card": {"brand": "visa", "last4": card}}  # fmt: skip
        self.methods[method["id"]] = method
        return method

    def _seen(self, thing: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """With what `expand` asks for in place of its id."""
        seen = dict(thing)
        for path in params.get("expand", {}).values():
            name, _, rest = path.partition(".")
            ref = seen.get(name)
            if not ref:
                continue
            found = ref if isinstance(ref, dict) else (self.intents | self.charges | self.methods)[ref]
            seen[name] = self._seen(found, {"expand": {"0": rest}}) if rest else dict(found)
        return seen

    def _find(self, shelf: dict[str, dict[str, Any]], ref: str) -> dict[str, Any]:
        if ref not in shelf:
            raise Refusal(404, "invalid_request_error", code="resource_missing")
        return shelf[ref]

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count:06d}"

    # ---- HTTP ----------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *rest = head.split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            status, answer = self._respond(method, target, headers, body.decode())
            if self.lose:
                self.lose -= 1
            else:
                payload = json.dumps(answer, default=str).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
                    f"content-length: {len(payload)}\r\n\r\n".encode()
                    + payload
                )
                await writer.drain()
        writer.close()

    def _respond(self, method: str, target: str, headers: dict[str, str], body: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(target)
        params = nested(parse_qsl(parts.query) + parse_qsl(body, keep_blank_values=True))
        key = headers.get("idempotency-key", "")
        self.heard.append((method, parts.path, params, key))
        if headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"error": {"type": "invalid_request_error", "message": "no such key"}}
        digest = hashlib.sha256(f"{parts.path}\n{body}".encode()).hexdigest()
        if method == "POST" and key in self.kept:
            known, status, answer = self.kept[key]
            if known != digest:
                return 400, {"error": {"type": "idempotency_error", "message": "used with other parameters"}}
            return status, answer
        try:
            status, answer = 200, dict(self.answer(method, parts.path, params))
        except Refusal as why:
            status, answer = why.status, {"error": why.error}
        answer = json.loads(json.dumps({name: value for name, value in answer.items() if not name.startswith("_")}))
        if method == "POST" and key:
            self.kept[key] = (digest, status, answer)
        return status, answer


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0]=c` as Stripe's form encoding means it."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        *path, last = name.replace("]", "").split("[")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


@asynccontextmanager
async def fake_stripe() -> AsyncIterator[FakeStripe]:
    """It listens on a free port of this machine until the block ends."""
    fake = FakeStripe()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()
