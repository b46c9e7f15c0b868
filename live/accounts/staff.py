"""The brand's people: who they are, what they were granted, and whether a password is theirs."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import msgspec
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from live.accounts.roles import GRANTABLE, Grant, Role
from live.clock import Clock
from live.errors import Conflict, Invalid, NotFound
from live.ids import new_id
from live.store.sql import Database
from live.store.tables import grants as grant_rows
from live.store.tables import staff as staff_rows

PASSWORD_MIN = 12  # characters; OWASP ASVS 5 asks for 8 at least and no composition rules
PASSWORD_MAX = 256  # argon2 hashes what it is given: a megabyte of password is an attack

_HASHER = PasswordHasher(type=Type.ID)  # RFC 9106's low-memory profile: 64 MiB, 3 passes
# Checked when the address is unknown, so that it takes as long as a wrong password. Of random bytes that were thrown
# away; written down, because making it takes every process 0.2 s of its start. A test holds its costs to _HASHER's.
_NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$sYP2Gp3fgDvHMUqmSURYKA$9YFID3IA0Sc3mnCegKuIg/2tc3P7CcndQO3t8q9E5Ag"


class Staff(msgspec.Struct, frozen=True):
    """One of the brand's people. A disabled one keeps their history and opens nothing."""

    id: str
    email: str
    name: str
    disabled: bool = False


class StaffBook:
    """Staff and grants in SQL."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        # A hash takes 64 MiB and tens of milliseconds: two at a time, the rest wait their turn.
        self._turns = asyncio.Semaphore(2)

    async def add(self, email: str, name: str, password: str | None = None) -> Staff:
        """A new member of staff, without any role yet. Without a password they sign in by link.

        Raises: Invalid (email, password), Conflict when the address is taken.
        """
        email = _address(email)
        hashed = None if password is None else await self._hash(password)
        row = {
            "id": new_id("stf"),
            "email": email,
            "name": name.strip() or email.partition("@")[0],
            "password_hash": hashed,
            "disabled": False,
            "created_ms": self._clock.now_ms(),
        }

        def write(sql: Connection) -> None:
            try:
                sql.execute(insert(staff_rows).values(row))
            except IntegrityError:
                raise Conflict("address_taken", email=email) from None

        await self._db.write(write)
        return Staff(str(row["id"]), email, str(row["name"]))

    async def by_id(self, staff_id: str) -> Staff | None:
        return await self._db.read(lambda sql: _one(sql, staff_rows.c.id == staff_id))

    async def by_email(self, email: str) -> Staff | None:
        return await self._db.read(lambda sql: _one(sql, staff_rows.c.email == email.strip().lower()))

    async def list(self) -> builtins.list[Staff]:
        """Everyone who was not dismissed, by address."""

        def read(sql: Connection) -> builtins.list[Staff]:
            query = select(staff_rows).where(staff_rows.c.disabled.is_(False)).order_by(staff_rows.c.email)
            return [_staff(row) for row in sql.execute(query)]

        return await self._db.read(read)

    async def set_password(self, staff_id: str, password: str) -> None:
        hashed = await self._hash(password)
        await self._db.write(lambda sql: _change(sql, staff_id, password_hash=hashed))

    async def grant(
        self, staff_id: str, role: Role, *, brand_id: str | None = None, show_id: str | None = None
    ) -> None:
        """Give a role over a brand or over one show; giving it twice is giving it once. Someone who was dismissed is
        taken back by it, with this role alone. Raises: Invalid, NotFound."""
        if role not in GRANTABLE:
            raise Invalid("role", "unknown")
        if (brand_id is None) == (show_id is None):
            raise Invalid("scope", "one_of_brand_or_show")

        def write(sql: Connection) -> None:
            if _one(sql, staff_rows.c.id == staff_id) is None:
                raise NotFound("staff", staff_id)
            _change(sql, staff_id, disabled=False)
            # UNIQUE takes two NULLs for different, so the store alone would let the same grant in twice.
            if Grant(role, brand_id, show_id) not in _grants(sql, staff_id):
                sql.execute(insert(grant_rows).values(staff_id=staff_id, role=role, brand_id=brand_id, show_id=show_id))

        await self._db.write(write)

    async def withdraw(self, staff_id: str, grant: Grant) -> None:
        """Take a role back; taking one that is not held changes nothing."""

        def write(sql: Connection) -> None:
            sql.execute(
                delete(grant_rows).where(
                    grant_rows.c.staff_id == staff_id,
                    grant_rows.c.role == grant.role,
                    grant_rows.c.brand_id.is_not_distinct_from(grant.brand_id),
                    grant_rows.c.show_id.is_not_distinct_from(grant.show_id),
                )
            )

        await self._db.write(write)

    async def grants(self, staff_id: str) -> builtins.list[Grant]:
        """What one member of staff holds; nothing when they are disabled or unknown."""
        return await self._db.read(lambda sql: _grants(sql, staff_id))

    async def check_password(self, email: str, password: str) -> Staff | None:
        """The member of staff whose address and password these are. Takes as long when either is wrong."""

        def read(sql: Connection) -> tuple[Staff | None, str | None]:
            row = sql.execute(select(staff_rows).where(staff_rows.c.email == email.strip().lower())).first()
            return (None, None) if row is None else (_staff(row), row.password_hash)

        found, hashed = await self._db.read(read)
        right = await self._verify(hashed or _NOBODYS_HASH, password)
        if found is None or hashed is None or found.disabled or not right:
            return None
        if _HASHER.check_needs_rehash(hashed):
            await self.set_password(found.id, password)
        return found

    async def _hash(self, password: str) -> str:
        if len(password) < PASSWORD_MIN:
            raise Invalid("password", "too_short")
        if len(password) > PASSWORD_MAX:
            raise Invalid("password", "too_long")
        async with self._turns:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def _verify(self, hashed: str, password: str) -> bool:
        if len(password) > PASSWORD_MAX:
            return False
        async with self._turns:
            return await asyncio.to_thread(_verify, hashed, password)


def disable(sql: Connection, staff_id: str) -> None:
    """Takes every grant and the password; the name stays on what they did. Raises: NotFound."""
    _change(sql, staff_id, disabled=True, password_hash=None)
    sql.execute(delete(grant_rows).where(grant_rows.c.staff_id == staff_id))


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _address(email: str) -> str:
    email = email.strip().lower()
    local, at, host = email.rpartition("@")
    if not (local and at and "." in host) and host != "localhost":
        raise Invalid("email", "not_an_address")
    if len(email) > 254 or any(character.isspace() for character in email):
        raise Invalid("email", "not_an_address")
    return email


def _one(sql: Connection, condition: ColumnElement[bool]) -> Staff | None:
    row = sql.execute(select(staff_rows).where(condition)).first()
    return None if row is None else _staff(row)


def _staff(row: Row[Any]) -> Staff:
    return Staff(row.id, row.email, row.name, bool(row.disabled))


def _grants(sql: Connection, staff_id: str) -> list[Grant]:
    query = (
        select(grant_rows.c.role, grant_rows.c.brand_id, grant_rows.c.show_id)
        .join(staff_rows, staff_rows.c.id == grant_rows.c.staff_id)
        .where(staff_rows.c.id == staff_id, staff_rows.c.disabled.is_(False))
        .order_by(grant_rows.c.id)
    )
    return [Grant(row.role, row.brand_id, row.show_id) for row in sql.execute(query)]


def _change(sql: Connection, staff_id: str, **values: object) -> None:
    if not sql.execute(update(staff_rows).where(staff_rows.c.id == staff_id).values(**values)).rowcount:
        raise NotFound("staff", staff_id)
