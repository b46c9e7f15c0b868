"""The durable facts: every SQL table. Times are server milliseconds (`*_ms`), money is minor units (`*_minor`).

Migrations in `migrations/` build the same on SQLite and PostgreSQL; a test compares them with this file.
It is one file, long as it is, because the schema is one thing: whoever changes a table sees what refers to it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite only counts up by itself in a column of exactly INTEGER.
Counter = BigInteger().with_variant(Integer, "sqlite")

# ---- catalogue ---------------------------------------------------------------------------------

brands = Table(
    "brands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),  # ISO 4217
    Column("country", Text, nullable=False),  # ISO 3166-1 alpha-2
    Column("created_ms", BigInteger, nullable=False),
    Column("tax", Text, nullable=False, default="", server_default=""),  # JSON: shop.taxes.Taxes; "": the country's own
)

products = Table(
    "products",
    metadata,
    Column("id", Text, primary_key=True),
    Column("brand_id", Text, ForeignKey("brands.id"), nullable=False, index=True),
    Column("slug", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("blurb", Text, nullable=False, default=""),
    Column("picture", Text, nullable=False, default=""),  # path on this server
    Column("picture_alt", Text, nullable=False, default=""),
    Column("created_ms", BigInteger, nullable=False),
    Column("max_per_buyer", Integer),  # units of all its variants that one buyer may hold or own in a show
    UniqueConstraint("brand_id", "slug"),
)

variants = Table(
    "variants",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("product_id", Text, ForeignKey("products.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False, default=0),
    Column("size", Text, nullable=False, default=""),
    Column("colour", Text, nullable=False, default=""),
    Column("colour_hex", Text, nullable=False, default=""),
    Column("gtin", Text, nullable=False, default=""),
    Column("options", Text, nullable=False, default="{}", server_default="{}"),  # JSON: what is neither size nor colour
    Column("price_minor", BigInteger, nullable=False),  # what is charged while no sale is on: shop/sale.py
    Column("was_minor", BigInteger),
    Column("sale_minor", BigInteger),  # charged from sale_from_ms until just before sale_until_ms
    Column("sale_from_ms", BigInteger),
    Column("sale_until_ms", BigInteger),
    Column("sale_was_minor", BigInteger),  # struck through while it is
    Column("on_hand", Integer, nullable=False),  # units owned by the brand, sold ones included
    Column("sold", Integer, nullable=False, default=0),
    CheckConstraint("sold >= 0", name="sold_not_negative"),
    CheckConstraint("sold <= on_hand", name="never_oversold"),  # invariant I2, kept by the store itself
    CheckConstraint("price_minor >= 0", name="price_not_negative"),
)

prices = Table(  # what is charged from when on: the history behind a struck-through price, and what a sale will change
    "prices",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("sku", Text, ForeignKey("variants.sku"), nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Index("ix_prices_sku_from_ms", "sku", "from_ms"),
)

pictures = Table(  # of products; products.picture is the first one's
    "pictures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("product_id", Text, ForeignKey("products.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False, unique=True),  # of its files, which nobody can guess: shop/pictures.py
    Column("widths", Text, nullable=False),  # in pixels, by comma
    Column("width", Integer, nullable=False),  # of the original, upright
    Column("height", Integer, nullable=False),
    Column("alt", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

imports = Table(  # feeds brought in, or only checked: shop/imports.py
    "imports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("brand_id", Text, ForeignKey("brands.id"), nullable=False, index=True),
    Column("busy", Text, unique=True),  # the brand's id while this one writes: there is one at a time
    Column("name", Text, nullable=False),  # the file's, as its sender called it
    Column("state", Text, nullable=False),  # waiting | checking | checked | queued | importing | done | failed
    Column("actor", Text, nullable=False, default=""),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("bytes_read", BigInteger, nullable=False, default=0),
    Column("report", Text, nullable=False, default="{}"),  # JSON: counts, and what is to be said of rows
    Column("why", Text, nullable=False, default=""),  # it failed
    Column("created_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),  # whoever works on it is alive
    Column("ended_ms", BigInteger),
    Index("ix_imports_state_created_ms", "state", "created_ms"),
)

# ---- the show ----------------------------------------------------------------------------------

shows = Table(
    "shows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("brand_id", Text, ForeignKey("brands.id"), nullable=False, index=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("tagline", Text, nullable=False, default=""),
    Column("poster", Text, nullable=False, default=""),
    Column("status", Text, nullable=False, default="scheduled"),
    Column("starts_ms", BigInteger),
    Column("opened_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("hold_ttl_s", Integer, nullable=False, default=300),
    Column("max_per_buyer", Integer, nullable=False, default=4),
    Column("publish_key_digest", Text, unique=True),
    Column("publish_key_rotated_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("second_publisher", Text, nullable=False, default="takes_over", server_default="takes_over"),
    CheckConstraint("second_publisher in ('takes_over', 'refused')", name="second_publisher_known"),
    CheckConstraint("status in ('scheduled', 'live', 'ended')", name="status_known"),
)

looks = Table(
    "looks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("show_id", Text, ForeignKey("shows.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False, default="waiting"),
    Column("at_ms", BigInteger),  # media time of the drop
    Column("dropped_ms", BigInteger),
    Column("drop_id", BigInteger),  # the timeline's entry of it
    Column("max_per_buyer", Integer),  # units of all its pieces that one buyer may hold or own
    Column("hot", Integer, nullable=False, default=0, server_default="0"),  # 1: buyers stand in a drawn line
    Column("work_bits", Integer, nullable=False, default=0, server_default="0"),  # proof of work asked for; 0: none
    Column("opens_ms", BigInteger),  # a dropped look's pieces can be held from here …
    Column("closes_ms", BigInteger),  # … to here
    Column("seed", Text, nullable=False, default="", server_default=""),  # hex; secret until its line is drawn
    UniqueConstraint("show_id", "number"),
    CheckConstraint("state in ('waiting', 'dropped', 'withdrawn')", name="state_known"),
)

look_products = Table(
    "look_products",
    metadata,
    Column("look_id", Text, ForeignKey("looks.id"), primary_key=True),
    Column("product_id", Text, ForeignKey("products.id"), primary_key=True),
    Column("position", Integer, nullable=False, default=0),
)

drawn_lines = Table(  # how the line of a hot drop came out, for anyone to check
    "drawn_lines",
    metadata,
    Column("look_id", Text, ForeignKey("looks.id"), primary_key=True),
    Column("commitment", Text, primary_key=True),  # SHA-256 of the seed, published when the drop was armed
    Column("show_id", Text, ForeignKey("shows.id"), nullable=False),
    Column("seed", Text, nullable=False),
    Column("entries", Text, nullable=False),  # JSON: person ids, sorted
    Column("entries_digest", Text, nullable=False),
    Column("people", Integer, nullable=False),
    Column("drawn_ms", BigInteger, nullable=False),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("show_id", Text, ForeignKey("shows.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),  # media time
    Column("wall_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, default=""),
    Column("body", Text, nullable=False, default="{}"),  # JSON
    Index("ix_timeline_show_id_at_ms", "show_id", "at_ms"),
)

recordings = Table(
    "recordings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("show_id", Text, ForeignKey("shows.id"), nullable=False, index=True),
    Column("path", Text, nullable=False),  # below the data folder
    Column("state", Text, nullable=False),  # recording | finished | failed | removed
    Column("starts_at_ms", BigInteger, nullable=False),  # media time of its first frame
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("duration_ms", BigInteger, nullable=False, default=0, server_default="0"),
    # failed: disk_full | file | media | gone; removed: age | space | hand
    Column("why", Text, nullable=False, default="", server_default=""),
    Column("kept", Integer, nullable=False, default=0, server_default="0"),  # 1: retention leaves it alone
    Column("indexed_ms", BigInteger),  # when the file was given its index, so that players can seek
)

# ---- terms of sale -----------------------------------------------------------------------------

shipping_methods = Table(
    "shipping_methods",
    metadata,
    Column("id", Text, primary_key=True),
    Column("brand_id", Text, ForeignKey("brands.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False, default=0),
    Column("name", Text, nullable=False),
    Column("places", Text, nullable=False),  # countries by comma, EU, or * for wherever no other method goes
    Column("price_minor", BigInteger, nullable=False),
    Column("free_above_minor", BigInteger),  # goods worth this much go free
    Column("days_min", Integer, nullable=False),
    Column("days_max", Integer, nullable=False),
    Column("retired_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("price_minor >= 0", name="price_not_negative"),
    CheckConstraint("0 <= days_min and days_min <= days_max", name="days_in_order"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("brand_id", Text, ForeignKey("brands.id"), nullable=False),
    Column("code", Text, nullable=False),  # capitals
    Column("kind", Text, nullable=False),
    Column("value", BigInteger, nullable=False, default=0),  # percent: hundredths of a percent; amount: minor units
    Column("min_minor", BigInteger, nullable=False, default=0),  # goods must be worth this much
    Column("starts_ms", BigInteger),
    Column("ends_ms", BigInteger),
    Column("cap", Integer),  # orders in all
    Column("cap_each", Integer),  # orders a person
    Column("stacks", Boolean, nullable=False, default=False),  # may stand beside other codes that do
    Column("buyer", Text, nullable=False, default="", index=True),  # one person's own; erased: nobody's any more
    Column("used", Integer, nullable=False, default=0),
    Column("retired_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("brand_id", "code"),
    CheckConstraint("kind in ('percent', 'amount', 'free_shipping')", name="kind_known"),
    CheckConstraint("kind <> 'percent' or value between 1 and 10000", name="percent_in_range"),
    CheckConstraint("used >= 0 and (cap is null or used <= cap)", name="cap_kept"),  # kept by the store itself
)

promotion_uses = Table(  # one order's use of a code; gone when the order is cancelled
    "promotion_uses",
    metadata,
    Column("promotion_id", Text, ForeignKey("promotions.id"), primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), primary_key=True),
    Column("buyer", Text, nullable=False),
    Column("email_tag", Text, nullable=False),  # keyed hash: another browser is still the same person
    Index("ix_promotion_uses_order_id", "order_id"),
)

saved_buyers = Table(  # what a device asked us to remember; opened by that device only
    "saved_buyers",
    metadata,
    Column("device_tag", Text, primary_key=True),  # keyed hash of the device's id
    Column("sealed", Text, nullable=False),  # the contact, encrypted (shop.saved)
    Column("provider", Text, nullable=False, default=""),
    Column("method", Text, nullable=False, default=""),  # the provider's own name of a saved method
    Column("method_label", Text, nullable=False, default=""),  # Visa ·· 4242
    Column("updated_ms", BigInteger, nullable=False),
)

# ---- orders and money --------------------------------------------------------------------------

orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Text, nullable=False, unique=True),  # what people read out: FR-7K3M-Q2
    Column("show_id", Text, ForeignKey("shows.id"), nullable=False),
    Column("buyer", Text, nullable=False),  # person id
    Column("cart", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("request_digest", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),  # JSON
    Column("currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("paid_ms", BigInteger),
    Column("settle_after_ms", BigInteger, nullable=False),  # when the worker looks at a pending one
    # total = goods - discount + shipping, and + tax where it is not in the prices (shop.totals)
    Column("goods_minor", BigInteger, nullable=False, default=0, server_default="0"),
    Column("discount_minor", BigInteger, nullable=False, default=0, server_default="0"),
    Column("shipping_minor", BigInteger, nullable=False, default=0, server_default="0"),
    Column("tax_minor", BigInteger, nullable=False, default=0, server_default="0"),
    Column("tax_included", Integer, nullable=False, default=1, server_default="1"),  # 1: the prices contain it
    Column("tax_bp", Integer, nullable=False, default=0, server_default="0"),  # hundredths of a percent
    Column("tax_place", Text, nullable=False, default="", server_default=""),  # whose rate: DE, CA-ON
    Column("shipping_title", Text, nullable=False, default="", server_default=""),
    Column("codes", Text, nullable=False, default="[]", server_default="[]"),  # JSON: promotion codes, as they were
    UniqueConstraint("buyer", "idempotency_key"),  # invariant I5, per buyer
    CheckConstraint(  # shop/order_state.py says what each means
        "status in ('pending', 'paid', 'part_fulfilled', 'fulfilled', 'part_returned', 'returned', 'part_refunded',"
        " 'refunded', 'cancelled')",
        name="status_known",
    ),
    Index("ix_orders_status_settle_after_ms", "status", "settle_after_ms"),
    Index("ix_orders_show_id_created_ms", "show_id", "created_ms"),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Text, ForeignKey("orders.id"), primary_key=True),
    Column("sku", Text, ForeignKey("variants.sku"), primary_key=True),
    Column("qty", Integer, nullable=False),
    Column("unit_minor", BigInteger, nullable=False),
    Column("title", Text, nullable=False),  # as it was sold
    Column("size", Text, nullable=False, default=""),
    Column("colour", Text, nullable=False, default=""),
    Column("picture", Text, nullable=False, default=""),
    Column("look_id", Text, nullable=False, default=""),
    Column("at_ms", BigInteger),  # media time of the tap
    Column("drop_id", BigInteger),  # the drop it was held in: the timeline's entry; NULL where nobody knows
    Column("discount_minor", BigInteger, nullable=False, default=0, server_default="0"),  # its part of the order's
    Column("tax_minor", BigInteger, nullable=False, default=0, server_default="0"),  # … contained or added alike
    # What became of the `qty` units of a sold line.
    Column("shipped", Integer, nullable=False, server_default="0"),
    Column("struck", Integer, nullable=False, server_default="0"),  # cancelled before they were shipped
    Column("returned", Integer, nullable=False, server_default="0"),  # out of the shipped ones
    Column("restocked", Integer, nullable=False, server_default="0"),  # struck or returned, and sold no more
    CheckConstraint("qty > 0", name="qty_positive"),
    CheckConstraint(
        "shipped >= 0 and struck >= 0 and shipped + struck <= qty and returned >= 0 and returned <= shipped"
        " and restocked >= 0 and restocked <= struck + returned",
        name="units_add_up",
    ),
)

shipments = Table(  # a parcel, or a part of an order that left in some other way
    "shipments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("carrier", Text, nullable=False, default=""),
    Column("tracking", Text, nullable=False, default=""),  # the parcel's number
    Column("tracking_url", Text, nullable=False, default=""),  # https, or empty
    Column("created_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, default=""),  # staff id
    Column("voided_ms", BigInteger),  # noted by mistake: its units are to be shipped again
)

shipment_lines = Table(
    "shipment_lines",
    metadata,
    Column("shipment_id", Text, ForeignKey("shipments.id"), primary_key=True),
    Column("sku", Text, ForeignKey("variants.sku"), primary_key=True),
    Column("qty", Integer, nullable=False),
    CheckConstraint("qty > 0", name="qty_positive"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("provider", Text, nullable=False),
    Column("provider_ref", Text),  # the provider's own id
    Column("idempotency_key", Text, nullable=False, unique=True),  # one per attempt
    # created | authorising | captured | declined | cancelled | refunding | refunded; and of an order that is never
    # sold refund_failed, disputed, lost: shop/unsold.py
    Column("status", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=False, default=0),
    Column("refunded_minor", BigInteger, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("method", Text, nullable=False, default="", server_default=""),  # a saved one that is charged
    Column("saver", Text, nullable=False, default="", server_default=""),  # whose method to save: saved_buyers' tag
    CheckConstraint("captured_minor <= amount_minor", name="one_capture"),  # invariant I4
    CheckConstraint("refunded_minor <= captured_minor", name="refund_within_capture"),
    UniqueConstraint("provider", "provider_ref"),
)

refunds = Table(  # money that goes back: decided here first, then asked of the provider; shop/refund_books.py
    "refunds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("payment_id", Text, ForeignKey("payments.id"), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("why", Text, nullable=False),  # asked | cancelled | returned | outside | unsold (of an order never sold)
    Column("lines", Text, nullable=False, default="{}"),  # JSON: SKU -> units it is for; empty: an amount
    Column("note", Text, nullable=False, default=""),
    Column("status", Text, nullable=False),
    Column("answer", Text, nullable=False, default=""),  # why the provider refused, or the bank sent it back
    Column("actor", Text, nullable=False, default=""),  # staff id
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # when the worker asks (again), or looks what became of it
    Column("attempts", Integer, nullable=False, default=0),  # … so often, in this status
    Column("done_ms", BigInteger),  # when it came to its end
    Column("provider_ref", Text, nullable=False, default="", server_default=""),  # the provider's own id
    Column("again_of", Text, nullable=False, default="", server_default=""),  # the refund it is sent again for
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    CheckConstraint("status in ('asked', 'accepted', 'done', 'refused', 'failed')", name="status_known"),
    # One at a time: what the provider's books say then tells whether this one was done.
    Index(
        "ix_refunds_one_asked",
        "order_id",
        unique=True,
        sqlite_where=text("status = 'asked'"),
        postgresql_where=text("status = 'asked'"),
    ),
    Index("ix_refunds_status_due_ms", "status", "due_ms"),
)

disputes = Table(  # a buyer's bank wants its money back; shop/dispute_books.py
    "disputes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("payment_id", Text, ForeignKey("payments.id"), nullable=False),
    Column("provider_ref", Text, nullable=False),  # the provider's own id
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("due_ms", BigInteger),  # until when the provider takes evidence
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("withdrawn_ms", BigInteger),  # the bank took the money
    Column("returned_ms", BigInteger),  # … and gave it back
    Column("look_ms", BigInteger, nullable=False),  # when the worker asks after it
    Column("looks", Integer, nullable=False),
    CheckConstraint("status in ('open', 'won', 'lost', 'closed')", name="status_known"),
    UniqueConstraint("payment_id", "provider_ref"),
    Index("ix_disputes_look_ms", "look_ms"),
)

dispute_reads = Table(  # how far a provider's list of disputes was read; shop/dispute_list.py
    "dispute_reads",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("since_ms", BigInteger, nullable=False),  # all that was opened before is kept
    Column("next_ms", BigInteger, nullable=False),  # … and before this, once the reading under way ends; 0: none is
    Column("after", Text, nullable=False),  # the page that the reading has come to
    Column("due_ms", BigInteger, nullable=False),
)

payment_events = Table(  # what a provider told us, once each
    "payment_events",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

ledger = Table(  # append-only, by triggers: every change of an order
    "ledger",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("facts", Text, nullable=False, default="{}"),  # JSON
    Column("actor", Text, nullable=False, server_default=""),  # staff id; empty: the buyer or the shop
    Column("op", Text),  # the act's own name: sent again, it is the same act
    Index(
        "ix_ledger_order_id_op",
        "order_id",
        "op",
        unique=True,
        sqlite_where=text("op IS NOT NULL"),
        postgresql_where=text("op IS NOT NULL"),
    ),
)

outbox = Table(  # written in the transaction of what it tells
    "outbox",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("done_ms", BigInteger),
    Index("ix_outbox_done_ms_due_ms", "done_ms", "due_ms"),
)

webhook_endpoints = Table(  # merchants' own systems
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("brand_id", Text, ForeignKey("brands.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),  # whsec_…, as Standard Webhooks has it
    Column("disabled_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("kinds", Text, nullable=False, default="", server_default=""),  # by blanks; none: all of them
    Column("disabled_why", Text, nullable=False, default="", server_default=""),  # gone (410) | failing | hand
    Column("old_secret", Text),  # by blanks; sign too until then, while a receiver changes to the new one
    Column("old_secret_until_ms", BigInteger),
    Column("last_taken_ms", BigInteger),  # to the minute
    Column("made_by", Text, nullable=False, default="", server_default=""),  # staff, a token, cli; "": before we asked
)

webhook_deliveries = Table(  # one event to one endpoint: the log that staff see
    "webhook_deliveries",
    metadata,
    Column("outbox_id", Counter, ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True),
    Column("endpoint_id", Text, ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), primary_key=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger),
    Column("answer", Text, nullable=False, default=""),  # the last status, or why there was none
    Column("outcome", Text, nullable=False, default="waiting", server_default="waiting"),  # waiting | taken | failed
    Column("status", Integer, nullable=False, default=0, server_default="0"),  # HTTP's; 0: no answer
    Column("reply", Text, nullable=False, default="", server_default=""),  # how the answer's body began
    Column("tried_ms", BigInteger),
    Column("took_ms", Integer, nullable=False, default=0, server_default="0"),
    Index("ix_webhook_deliveries_endpoint_id_done_ms_due_ms", "endpoint_id", "done_ms", "due_ms"),
    Index("ix_webhook_deliveries_endpoint_id_outbox_id", "endpoint_id", "outbox_id"),
)

stock_told = Table(  # what merchants were last told of a SKU, so that each change is told and none twice
    "stock_told",
    metadata,
    Column("sku", Text, ForeignKey("variants.sku", ondelete="CASCADE"), primary_key=True),
    Column("on_hand", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
)

sandbox_charges = Table(  # the sandbox provider's own books; nothing of ours reads them but through its port
    "sandbox_charges",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("captured_minor", BigInteger, nullable=False, default=0),
    Column("refunded_minor", BigInteger, nullable=False, default=0),
    Column("facts", Text, nullable=False, default="{}"),  # JSON
    Column("created_ms", BigInteger, nullable=False),
)

sandbox_disputes = Table(  # … and its list of disputes; what became of each is in its charge's facts
    "sandbox_disputes",
    metadata,
    Column("ref", Text, ForeignKey("sandbox_charges.ref"), primary_key=True),
    Column("opened_ms", BigInteger, nullable=False, index=True),
)

sandbox_methods = Table(  # the sandbox's own too: cards it pretends to keep, by their last four digits only
    "sandbox_methods",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("last4", Text, nullable=False),
    Column("asks", Integer, nullable=False, default=0),  # 1: its bank asks for a code each time
    Column("gone_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
)

# ---- people ------------------------------------------------------------------------------------

staff = Table(
    "staff",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),  # lower case
    Column("name", Text, nullable=False),
    Column("password_hash", Text),  # argon2id, or None: sign-in by link only
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_ms", BigInteger, nullable=False),
)

grants = Table(  # a role over a brand's every show, or over one show
    "grants",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("staff_id", Text, ForeignKey("staff.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("brand_id", Text, ForeignKey("brands.id")),
    Column("show_id", Text, ForeignKey("shows.id")),
    CheckConstraint("role in ('host', 'moderator', 'staff')", name="role_known"),
    CheckConstraint("(brand_id is null) <> (show_id is null)", name="one_scope"),
    UniqueConstraint("staff_id", "role", "brand_id", "show_id"),
)

api_tokens = Table(  # programs that use the API
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),  # its first characters, for people to know it by
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # by blanks
    Column("brand_id", Text, ForeignKey("brands.id"), index=True),
    Column("show_id", Text, ForeignKey("shows.id"), index=True),
    Column("created_by", Text, nullable=False),  # staff id, or `cli`
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("last_used_ms", BigInteger),  # to the hour
    Column("revoked_ms", BigInteger),
    CheckConstraint("(brand_id is null) <> (show_id is null)", name="one_scope"),
)

# ---- the room's lasting part -------------------------------------------------------------------

chat_lines = Table(
    "chat_lines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("room", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("removed_ms", BigInteger),
    Column("removed_by", Text),
    Column("at_ms", BigInteger),  # media time
    # Only its author saw it: nothing that leaves the house may read such a row.
    Column("shadow", Boolean, nullable=False, default=False),
    Column("badge", Text, nullable=False, default=""),
    Column("reply", Text),  # JSON of chat.message.Reply
    Column("mentions", Text, nullable=False, default="[]"),  # JSON, a list of chat.message.Mention
    Index("ix_chat_lines_room_wall_ms", "room", "wall_ms"),
    Index("ix_chat_lines_person", "person"),
)

silences = Table(  # bans and timeouts
    "silences",
    metadata,
    Column("id", Text, primary_key=True),
    Column("room", Text, nullable=False, index=True),
    Column("person", Text, nullable=False),
    Column("device", Text, nullable=False, default=""),
    Column("network", Text, nullable=False, default=""),  # a keyed hash, looked at until network_until_ms
    Column("network_until_ms", BigInteger, nullable=False, default=0),
    Column("kind", Text, nullable=False),  # timeout | ban | shadow
    Column("until_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("actor", Text, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("lifted_ms", BigInteger),
)

blocked_terms = Table(
    "blocked_terms",
    metadata,
    Column("room", Text, primary_key=True),
    Column("term", Text, primary_key=True),
    Column("kind", Text, nullable=False, default="blocked"),  # blocked | held | allowed
    Column("actor", Text, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
)

room_pins = Table(  # the line that was pinned last, "" when it was taken down
    "room_pins",
    metadata,
    Column("room", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("epoch", Text, nullable=False),  # with seq: the number of that act in the room
    Column("seq", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
)

room_modes = Table(
    "room_modes",
    metadata,
    Column("room", Text, primary_key=True),
    Column("mode", Text, nullable=False),  # JSON
)

questions = Table(
    "questions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("room", Text, nullable=False),
    Column("person", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("badge", Text, nullable=False, default=""),
    Column("state", Text, nullable=False),  # open | claimed | answered | dismissed
    Column("by", Text, nullable=False, default=""),
    Column("wall_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger),  # media time of the asking
    Column("answered_at_ms", BigInteger),  # and of the answer
    Index("ix_questions_room_wall_ms", "room", "wall_ms"),
)

cases = Table(  # what waits for a moderator, and how it was decided
    "cases",
    metadata,
    Column("room", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False, index=True),
    Column("body", Text, nullable=False),  # JSON: chat.moderation.kinds.Case
    Column("wall_ms", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False, default=""),  # "" (waits) | approve | refuse
    Column("by", Text, nullable=False, default=""),
    Column("by_name", Text, nullable=False, default=""),
    Column("made", Text, nullable=False, default=""),  # the line or question that came of it
    Column("reason", Text, nullable=False, server_default=""),
    Column("decided_ms", BigInteger),
    Index("ix_cases_room_verdict", "room", "verdict"),
)

person_notes = Table(  # from one moderator to the next
    "person_notes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("room", Text, nullable=False),
    Column("person", Text, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_name", Text, nullable=False, default=""),
    Column("wall_ms", BigInteger, nullable=False),
)

audit = Table(  # who did what to whom, each row hashed over the one before
    "audit",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("room", Text, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("target", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("before", Text, nullable=False, default=""),
    Column("after", Text, nullable=False, default=""),
    Column("wall_ms", BigInteger, nullable=False),
    # The words (reason, before, after) are hashed with the salt into the seal, and the seal into the chain: they can be
    # erased, with their salt, without breaking it. "" in rows of before that.
    Column("salt", Text, nullable=False, default=""),
    Column("seal", Text, nullable=False, default=""),
    Column("erased_ms", BigInteger),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
)
