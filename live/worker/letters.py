"""Letters to buyers: an order's confirmation, and word of a refund. Written from the outbox, so each is sent at least
once, under a Message-ID of its own by which a mail program knows a repeat.
"""

from __future__ import annotations

import asyncio
import secrets
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
import msgspec
import structlog
from sqlalchemy import Connection

from live.clock import Clock
from live.errors import NotFound
from live.money import Money
from live.settings import Settings
from live.shop import addresses, outbox
from live.shop.orders import Order, Orders
from live.store.sql import Database
from live.worker.postman import Fate, Letter, Postman

log = structlog.get_logger("worker")

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "mail"
RETRY_AFTER_S = (60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400)  # two days in all, then it is given up
_SUBJECTS = {
    outbox.MAIL_PAID: "Order {number}: thank you",
    outbox.MAIL_REFUNDED: "Order {number}: refunded",
    outbox.MAIL_SHIPPED: "Order {number}: on its way",
    outbox.MAIL_UNSHIPPED: "Order {number}: not on its way yet",
    outbox.MAIL_RETURNED: "Order {number}: we have your return",
    outbox.MAIL_CANCELLED: "Order {number}: cancelled",
    outbox.MAIL_REPAID: "Order {number}: a refund",
}


class Letters:
    """Composes and sends what is due."""

    def __init__(self, db: Database, orders: Orders, postman: Postman, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._orders = orders
        self._postman = postman
        self._settings = settings
        self._clock = clock
        self._env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=jinja2.select_autoescape(["html"]),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def send_due(self) -> int:
        """Send what is due, one round of it. Answers how many left. Fails open: no order waits for its letter."""
        now = self._clock.now_ms()
        messages = await self._db.write(lambda c: outbox.claim(c, now, only=outbox.MAIL_KINDS))
        written = [(message, letter) for message in messages if (letter := await self._write(message)) is not None]
        unwritable = [message.id for message in messages if message.id not in {one.id for one, _ in written}]
        fates = await asyncio.to_thread(self._postman.carry, [letter for _, letter in written]) if written else []
        done = list(unwritable)
        later: list[tuple[int, int]] = []
        for (message, letter), (fate, why) in zip(written, fates, strict=True):
            if fate is not Fate.SENT:
                log.warning("letter.not_sent", letter=letter.name, fate=fate.value, attempts=message.attempts, why=why)
            if fate is Fate.LATER and message.attempts <= len(RETRY_AFTER_S):
                wait_s = RETRY_AFTER_S[message.attempts - 1] * (1 + 0.2 * secrets.SystemRandom().random())
                later.append((message.id, self._clock.now_ms() + int(wait_s * 1000)))
            else:
                done.append(message.id)
        if messages:
            await self._db.write(lambda c: self._note(c, done, later))
        return sum(fate is Fate.SENT for fate, _ in fates)

    def _note(self, connection: Connection, done: list[int], later: list[tuple[int, int]]) -> None:
        outbox.done(connection, done, self._clock.now_ms())
        for message_id, due_ms in later:
            outbox.put_off(connection, message_id, due_ms)

    async def _write(self, message: outbox.Message) -> Letter | None:
        try:
            order = await self._orders.by_id(msgspec.json.decode(message.body)["order"])
        except NotFound:
            return None  # erased since
        try:
            return Letter(message.event_id, self.compose(order, message))
        except Exception as why:
            # An address no mail program would take: the library says so by ValueError, MessageError, IndexError and
            # AttributeError. Nobody else's letter may wait for this one.
            log.warning("letter.unwritable", letter=message.event_id, error=type(why).__name__)
            return None

    def compose(self, order: Order, message: outbox.Message) -> EmailMessage:
        """The letter in plain text and in HTML. Raises what the email package does for an address that can't be one."""
        settings, house = self._settings, urlsplit(self._settings.base_url).hostname or "localhost"
        sender = settings.mail_from or f"orders@{house}"
        mail = EmailMessage()
        mail["Subject"] = _SUBJECTS[message.kind].format(number=order.number)
        mail["From"] = Address(order.brand, addr_spec=sender)
        mail["To"] = Address(order.name, addr_spec=order.email)
        mail["Date"] = formatdate(message.created_ms / 1000)
        mail["Message-ID"] = f"<{message.event_id}@{house}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        facts = {
            "order": order,
            "link": f"{settings.base_url}/orders/{order.token}",
            "first": order.name.split()[0],
            **_about(order, msgspec.json.decode(message.body)),
            "place": addresses.lines(order.address, order.name),
            "sums": order.sums.rows(),
        }
        name = message.kind.removeprefix("mail.")
        mail.set_content(self._env.get_template(f"{name}.txt").render(facts))
        mail.add_alternative(self._env.get_template(f"{name}.html").render(facts), subtype="html")
        return mail


def _about(order: Order, body: dict[str, Any]) -> dict[str, Any]:
    """What a letter about a part of an order speaks of: `pieces` as (title, size and colour, units), `parcel`, `amount`
    (None when no money goes back)."""
    parcel = next((one for one in order.shipments if one.id == body.get("shipment")), None)
    units: dict[str, int] = parcel.lines if parcel else body.get("lines", {})
    lines = {line.sku: line for line in order.lines}
    return {
        "pieces": [
            (lines[sku].title, " · ".join(part for part in (lines[sku].size, lines[sku].colour) if part), qty)
            for sku, qty in units.items()
            if sku in lines
        ],
        "parcel": parcel,
        "amount": Money(body["refund_minor"], order.total.currency) if body.get("refund_minor") else None,
        "whole": bool(body.get("whole")),
        "to_come": any(line.qty > line.shipped + line.struck for line in order.lines),
    }
