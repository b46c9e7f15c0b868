"""Which provider the settings name."""

from __future__ import annotations

from live.clock import Clock
from live.settings import Settings
from live.shop.payments.port import Provider
from live.shop.payments.sandbox import SandboxProvider
from live.store.sql import Database


def provider_of(settings: Settings, db: Database, clock: Clock) -> Provider:
    """The settings were checked at the start: one that is named has its keys."""
    if settings.payments == "stripe":
        from live.shop.payments.stripe import StripeProvider  # half a second of imports, for those who use it

        return StripeProvider(settings)
    return SandboxProvider(db, settings, clock)
