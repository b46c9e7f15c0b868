"""Settings, from the environment and `.env`. The README's table lists each; a test compares the two."""

from __future__ import annotations

import contextlib
from functools import cached_property
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from live.ids import new_secret

TROUBLES = ("late", "twice", "unordered", "forged", "lost", "refund_pending", "refund_fails", "disputed", "dispute_won")


class Settings(BaseSettings):
    """One process's settings. Field `hold_ttl_s` is the environment's `FRONTROW_HOLD_TTL_S`; some keep the
    names that platforms and others' tools give them: `REDIS_URL`, `DATABASE_URL`, `PORT`, LiveKit's."""

    model_config = SettingsConfigDict(env_prefix="FRONTROW_", env_file=".env", extra="ignore", populate_by_name=True)

    # where things are
    data_dir: Path = Field(Path("data"), description="Folder of the embedded stores, pictures and recordings.")
    redis_url: str | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="Redis or Valkey 7 or newer, or a node of a cluster. Unset: an embedded one.",
    )
    database_url: str | None = Field(
        None, validation_alias="DATABASE_URL", description="PostgreSQL. Unset: SQLite in the data folder."
    )
    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(8000, validation_alias="PORT", ge=1, le=65535, description="Port of the web process.")
    public_url: str = Field("", description="Address that people type. Default: http://HOST:PORT.")
    allowed_origins: str = Field("", description="Further origins that may use the API and the socket, by comma.")
    trusted_proxies: str = Field("127.0.0.1", description="Proxies whose X-Forwarded headers are believed, by comma.")

    # the picture
    relay_udp_host: str = Field("", description="Address of the relay's UDP port. Default: every address of the host.")
    relay_udp_port: int = Field(8189, ge=0, le=65535, description="The relay's one UDP port; 0 takes a free one.")
    relay_announce: str = Field("", description="Addresses viewers are told, by comma. Default: all of the host's.")
    relay_control_host: str = Field("127.0.0.1", description="Address on which the relay takes orders from web.")
    relay_control_port: int = Field(0, ge=0, le=65535, description="Port for those orders; 0 takes a free one.")
    relay_capacity: int = Field(1000, ge=1, description="Viewers one relay process admits.")
    relay_busy_percent: int = Field(
        85, ge=0, le=100, description="CPU share of a relay process above which it takes no more viewers; 0: never."
    )
    formation: str = Field("", description="How many of each process `serve` and `demo` run: `relay=2,worker=2`.")
    relay_kernel: bool = Field(True, description="Send by a C routine, compiled at the first start if `cc` is there.")
    publish_max_kbps: int = Field(4000, ge=100, description="Ceiling told to a publisher (REMB), kbit/s.")
    media_engine: Literal["embedded", "livekit"] = Field("embedded", description="Who carries the picture.")
    livekit_url: str = Field("", validation_alias="LIVEKIT_URL", description="LiveKit's address, `wss://…`.")
    livekit_key: str = Field("", validation_alias="LIVEKIT_API_KEY", description="LiveKit's API key.")
    livekit_secret: str = Field("", validation_alias="LIVEKIT_API_SECRET", description="LiveKit's API secret.")
    turn_urls: str = Field("", description="TURN and STUN servers viewers are told, by comma (RFC 7065 addresses).")
    turn_secret: str = Field("", description="Secret shared with them (coturn's `static-auth-secret`).")
    hls: bool = Field(True, description="Package each show as low-latency HLS too, for networks WebRTC can't cross.")
    hls_window_s: int = Field(30, ge=20, le=300, description="Seconds of each show that HLS players may go back.")
    tail_host: str = Field("127.0.0.1", description="Address on which `frontrow tail` answers web.")
    tail_port: int = Field(0, ge=0, le=65535, description="Port for that; 0 takes a free one.")
    record: bool = Field(False, description="Record each show's picture into the data folder, without re-encoding.")
    recording_days: int = Field(30, ge=0, description="Days a recording is kept after its end; 0 keeps it for ever.")
    recording_gb: float = Field(0, ge=0, description="GiB all recordings may take, the oldest go first; 0 is no limit.")

    # the room
    room_busy_percent: int = Field(
        85,
        ge=0,
        le=100,
        description="CPU share of a web process above which it gives up decoration (hearts, presence, …); 0: never.",
    )

    # the room
    room_days: int = Field(
        365,
        ge=0,
        description="Days that talk, questions, notes and ended bans are kept; 0 keeps them for ever.",
    )

    # the shop
    hold_ttl_s: int = Field(300, ge=10, le=3600, description="Seconds a held piece stays set aside; a show may differ.")
    max_per_buyer: int = Field(4, ge=1, description="Units of one SKU that one buyer may hold or own in a show.")
    payments: Literal["sandbox", "stripe"] = Field(
        "sandbox", description="Payment provider; the sandbox moves no money."
    )
    sandbox_trouble: str = Field(
        "",
        description="Troubles of the sandbox, by comma: late, twice, unordered, forged, lost; refund_pending,"
        " refund_fails, disputed, dispute_won.",
    )
    stripe_secret_key: str = Field("", validation_alias="STRIPE_SECRET_KEY", description="Stripe's secret key.")
    stripe_publishable_key: str = Field(
        "", validation_alias="STRIPE_PUBLISHABLE_KEY", description="Stripe's key for pages."
    )
    stripe_webhook_secret: str = Field(
        "", validation_alias="STRIPE_WEBHOOK_SECRET", description="Secret of Stripe's messages to us, `whsec_…`."
    )
    stripe_api_base: str = Field("", description="Another address for Stripe's API, for tests.")

    # merchants' own systems
    webhook_networks: str = Field(
        "", description="Private networks that webhooks may reach, by comma: `10.2.0.0/16`. Over http:// too."
    )

    # letters to buyers
    smtp_url: str = Field("", description="`smtps://user:password@host`. Unset: letters are files in `data/mail`.")
    mail_from: str = Field("", description="Sender of letters. Default: orders@ the public address's host.")

    # secrets and logs
    secret_key: str = Field("", description="Key of signed links and webhooks. Default: made once in the data folder.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="Logs for people or for machines.")

    @model_validator(mode="after")
    def _stripe_has_its_keys(self) -> Self:
        if self.payments == "stripe":
            said = {
                "STRIPE_SECRET_KEY": self.stripe_secret_key,
                "STRIPE_PUBLISHABLE_KEY": self.stripe_publishable_key,
                "STRIPE_WEBHOOK_SECRET": self.stripe_webhook_secret,
            }
            missing = [name for name, value in said.items() if not value]
            if missing:
                raise ValueError(f"payments by Stripe need {', '.join(missing)} too")
        unknown = sorted(self.troubles - set(TROUBLES))
        if unknown:
            raise ValueError(f"FRONTROW_SANDBOX_TROUBLE does not know {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _livekit_is_told_where(self) -> Self:
        if self.media_engine == "livekit":
            if not (self.livekit_url and self.livekit_key and self.livekit_secret):
                raise ValueError("it needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET too")
            if find_spec("livekit") is None:
                raise ValueError("it needs the package livekit-api; `make livekit` installs it")
        return self

    @field_validator("webhook_networks")
    @classmethod
    def _networks_are_networks(cls, text: str) -> str:
        for part in filter(None, (part.strip() for part in text.split(","))):
            ip_network(part)  # a ValueError says what is wrong with it
        return text

    @property
    def base_url(self) -> str:
        """`public_url`, or the listening address as a browser on this machine would type it."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"

    @property
    def troubles(self) -> frozenset[str]:
        """`sandbox_trouble` as a set."""
        return frozenset(part.strip() for part in self.sandbox_trouble.split(",")) - {""}

    @property
    def is_https(self) -> bool:
        return urlsplit(self.base_url).scheme == "https"

    @property
    def origins(self) -> frozenset[str]:
        """Origins (RFC 6454) whose pages may send unsafe requests and open sockets."""
        parts = urlsplit(self.base_url)
        more = (origin.strip().rstrip("/") for origin in self.allowed_origins.split(","))
        return frozenset({f"{parts.scheme}://{parts.netloc}", *more} - {""})

    @cached_property
    def key(self) -> str:
        """`secret_key`, or the one in the data folder; made there on first use."""
        return self.secret_key or _kept_secret(self.data_dir / "secret_key")


def _kept_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{new_secret()[:8]}")
        draft.touch(mode=0o600)
        draft.write_text(new_secret())
        # Of two processes that start at once one links its draft, whole, and the other reads that one.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().strip()
