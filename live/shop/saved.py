"""What a device asked us to remember: to whom its orders go, and by which saved method it pays. Opened by that device
only, sealed with our key, forgotten on request.

A device is named by its session (accounts/sessions.py) or by its own signed cookie (web/security.py); SQL holds a keyed
hash of it, so that a copy of the store says neither who bought nor where to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection, delete, insert, select, update

from live.clock import Clock
from live.ids import sign
from live.shop.contact import Contact
from live.shop.payments.port import SavedMethod
from live.store.sql import Database
from live.store.tables import saved_buyers

log = structlog.get_logger()

KEPT_MS = 365 * 86_400_000  # from the last order; then the worker forgets


class SavedBuyer(msgspec.Struct, frozen=True):
    contact: Contact
    provider: str
    method: SavedMethod | None


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
        query = select(saved_buyers).where(saved_buyers.c.device_tag == self.tag(device))
        row = await self._db.read(lambda c: c.execute(query).first())
        if row is None:
            return None
        try:
            contact = msgspec.json.decode(self._seal.decrypt(row.sealed.encode()), type=Contact)
        except (InvalidToken, msgspec.DecodeError):
            log.warning("saved_buyer.unreadable")  # the secret key was changed
            return None
        return SavedBuyer(contact, row.provider, SavedMethod(row.method, row.method_label) if row.method else None)

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
        before = await self.of(device)
        of = saved_buyers.c.device_tag == self.tag(device)
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
