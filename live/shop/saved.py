"""What a device asked us to remember: to whom its orders go, and by which saved method it pays. Opened by that device
only, sealed with our key, forgotten on request.

A device is named by its session (accounts/sessions.py) or by its own signed cookie (web/security.py); SQL holds a keyed
hash of it, so that a copy of the store says neither who bought nor where to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from live.clock import Clock
from live.ids import sign
from live.shop.contact import Contact
from live.shop.payments.port import SavedMethod
from live.store.sql import Database
from live.store.tables import orders, payments, saved_buyers

log = structlog.get_logger()

KEPT_MS = 365 * 86_400_000  # from the last order; then the worker forgets


class SavedBuyer(msgspec.Struct, frozen=True):
    contact: Contact
    provider: str
    method: SavedMethod | None
    updated_ms: int = 0


class SavedBuyers:
    """Reads, writes and forgets."""

    def __init__(self, db: Database, secret_key: str, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._key = secret_key
        seal = hmac.new(secret_key.encode(), b"saved-buyers\0seal", hashlib.sha256).digest()
        self._seal = Fernet(base64.urlsafe_b64encode(seal))

    def tag(self, device: str) -> str:
        """The device as SQL knows it."""
        return sign(self._key, "saved-buyer", device)

    async def of(self, device: str) -> SavedBuyer | None:
        """What the device asked to remember; None for nothing, and for what another key sealed."""
        return await self._of_tag(self.tag(device))

    async def of_person(self, person: str, devices: Collection[str]) -> dict[str, SavedBuyer | None]:
        """What was remembered of a person, by the device's tag; None for what another key sealed.

        That is on `devices`, where her sessions are, and on those that her orders asked or paid from, whatever became
        of their sessions: unless the address there is another's by now, since people share devices.
        """
        here = {self.tag(device) for device in devices}
        ordered = await self._db.read(lambda c: _ordered_from(c, person, here))
        found: dict[str, SavedBuyer | None] = {}
        for tag in sorted(here | ordered.keys()):
            hers, others = ordered.get(tag, (set(), set()))
            kept = await self._of_tag(tag)
            email = "" if kept is None else _plain(kept.contact.email)
            if kept is None or email in hers or (tag in here and email not in others):
                found[tag] = kept
        return found

    async def _of_tag(self, tag: str) -> SavedBuyer | None:
        query = select(saved_buyers).where(saved_buyers.c.device_tag == tag)
        row = await self._db.read(lambda c: c.execute(query).first())
        if row is None:
            return None
        try:
            contact = msgspec.json.decode(self._seal.decrypt(row.sealed.encode()), type=Contact)
        except (InvalidToken, msgspec.DecodeError):
            log.warning("saved_buyer.unreadable")  # the secret key was changed
            return None
        method = SavedMethod(row.method, row.method_label) if row.method else None
        return SavedBuyer(contact, row.provider, method, row.updated_ms)

    async def keep(self, device: str, contact: Contact) -> None:
        """Remember where orders go. A saved method stays."""
        tag, now = self.tag(device), self._clock.now_ms()
        sealed = self._seal.encrypt(msgspec.json.encode(contact)).decode()

        def write(connection: Connection) -> None:
            values = {"sealed": sealed, "updated_ms": now}
            if not connection.execute(
                update(saved_buyers).where(saved_buyers.c.device_tag == tag).values(values)
            ).rowcount:
                blank = {"device_tag": tag, "provider": "", "method": "", "method_label": ""}
                connection.execute(insert(saved_buyers).values(values | blank))

        await self._db.write(write)

    async def keep_method(self, tag: str, provider: str, method: SavedMethod) -> None:
        """Remember how it paid, unless it was forgotten meanwhile."""
        values = {"provider": provider, "method": method.ref, "method_label": method.label}
        await self._db.write(
            lambda c: (
                c.execute(
                    update(saved_buyers)
                    .where(saved_buyers.c.device_tag == tag)
                    .values(values | {"updated_ms": self._clock.now_ms()})
                ).rowcount
            )
        )

    async def forget(self, device: str) -> SavedBuyer | None:
        """Keep nothing of it; answers what there was, so that the provider can be told too."""
        return await self.forget_tag(self.tag(device))

    async def forget_tag(self, tag: str) -> SavedBuyer | None:
        """As `forget`, by the device's tag."""
        before, of = await self._of_tag(tag), saved_buyers.c.device_tag == tag
        await self._db.write(lambda c: c.execute(delete(saved_buyers).where(of)).rowcount)
        return before

    async def prune(self) -> int:
        """Forget who has not bought for a year."""
        before = self._clock.now_ms() - KEPT_MS
        return int(
            await self._db.write(
                lambda c: c.execute(delete(saved_buyers).where(saved_buyers.c.updated_ms < before)).rowcount
            )
        )


def _ordered_from(connection: Connection, person: str, here: Collection[str]) -> dict[str, tuple[set[str], set[str]]]:
    """Devices, by tag, that remember something: those `here`, and others from which a person ordered. Of each the
    e-mail addresses that she gave there, and those that others did."""
    pays = and_(payments.c.method != "", payments.c.method == saved_buyers.c.method)
    given = (
        select(saved_buyers.c.device_tag, orders.c.buyer, orders.c.email)
        .select_from(saved_buyers)
        .join(payments, or_(payments.c.saver == saved_buyers.c.device_tag, pays))
        .join(orders, orders.c.id == payments.c.order_id)
    )
    tags = {*here, *connection.execute(given.where(orders.c.buyer == person)).scalars()}
    found: dict[str, tuple[set[str], set[str]]] = {}
    for tag, buyer, email in connection.execute(given.where(saved_buyers.c.device_tag.in_(tags))):
        hers, others = found.setdefault(tag, (set(), set()))
        (hers if buyer == person else others).add(_plain(email))
    return found


def _plain(email: str) -> str:
    return email.strip().casefold()
