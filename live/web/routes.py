"""THE table: every address this server answers, who may come in, and what guards it.

A door (`doors.py`) states its least role and, when it is unsafe, how it knows that the person meant it. There is no
default: a door that says neither isn't built, and a route that isn't in this table isn't served.
"""

from __future__ import annotations

from live.web import (
    api,
<<<<<<< HEAD
    drops,
=======
    catalogue_api,
    catalogue_desk,
>>>>>>> 244c741 (Staff keep the catalogue on pages of their own: pictures made for the web, prices and sales, units, and feeds that are checked before they come in)
    health,
    hls,
    hooks_api,
    machines,
    merchant,
    openapi,
    orders_api,
    orders_desk,
    pages,
    picture,
    picture_desk,
    replay,
    room,
    studio,
    till,
    whep_events,
    whip,
)
from live.web.doors import BODY_MAX, EVENT_MAX, SDP_MAX, Door
from live.web.doors import door as _door

DOORS: tuple[Door, ...] = (
    # pages
    _door("GET /", pages.home, "anyone", "read", "page"),
    _door("GET /shows/{slug}", pages.show, "anyone", "read", "page"),
    _door("GET /orders/{token}", pages.order, "anyone", "read", "page"),
    _door("GET /sign-in", pages.sign_in, "anyone", "read", "page"),
    _door("POST /sign-in", pages.sign_in, "viewer", "csrf", "page", a_minute=20),
    _door("GET /sign-in/{token}", pages.sign_in_link, "anyone", "read", "page", a_minute=30),
    _door("POST /sign-out", pages.sign_out, "viewer", "csrf", "page"),
    _door("GET /studio", studio.index, "moderator", "read", "page"),
    _door("GET /studio/shows/{slug}", studio.show, "host", "read", "page"),
    _door("GET /studio/shows/{slug}/picture", picture_desk.desk, "host", "read", "page"),
    _door("GET /studio/shows/{slug}/room", studio.room, "moderator", "read", "page"),
    _door("GET /studio/orders", orders_desk.index, "staff", "read", "page"),
    _door("GET /studio/orders.csv", orders_desk.export, "staff", "read", "page", a_minute=20),
    _door("GET /studio/orders/{number}", orders_desk.order, "staff", "read", "page"),
    _door("POST /studio/orders/{number}", orders_desk.act, "staff", "csrf", "page"),
    _door("GET /studio/packing", orders_desk.packing, "staff", "read", "page"),
<<<<<<< HEAD
    _door("GET /studio/api", machines.tokens, "staff", "read", "page"),
    _door("POST /studio/api", machines.token_make, "staff", "csrf", "page", a_minute=20),
    _door("POST /studio/api/{token}/revoke", machines.token_revoke, "staff", "csrf", "page"),
    _door("GET /studio/webhooks", machines.hooks, "staff", "read", "page"),
    _door("POST /studio/webhooks", machines.hook_add, "staff", "csrf", "page", a_minute=20),
    _door("GET /studio/webhooks/{endpoint}", machines.hook, "staff", "read", "page"),
    _door("POST /studio/webhooks/{endpoint}", machines.hook_act, "staff", "csrf", "page"),
=======
    _door("GET /studio/catalogue", catalogue_desk.catalogue, "staff", "read", "page"),
    _door("GET /studio/catalogue/import", catalogue_desk.bring_in, "staff", "read", "page"),
    _door("GET /studio/catalogue/export.tsv", catalogue_desk.export_feed, "staff", "read", "page", a_minute=20),
    _door("GET /studio/catalogue/{product}", catalogue_desk.product, "staff", "read", "page"),
>>>>>>> 244c741 (Staff keep the catalogue on pages of their own: pictures made for the web, prices and sales, units, and feeds that are checked before they come in)
    _door("GET /sandbox/pay/{ref}", pages.sandbox_pay, "anyone", "read", "page", framed=True),
    _door("POST /sandbox/pay/{ref}", till.sandbox_choose, "viewer", "csrf", "api"),
    # the show and the bag
    _door("GET /api/shows/{slug}", api.snapshot, "viewer", "read", "api"),
    _door("POST /api/shows/{slug}/cart", api.cart_add, "viewer", "csrf", "api"),
    _door("DELETE /api/shows/{slug}/cart/{sku}", api.cart_remove, "viewer", "csrf", "api"),
    _door("POST /api/shows/{slug}/waitlist", api.wait_join, "viewer", "csrf", "api"),
    _door("DELETE /api/shows/{slug}/waitlist/{sku}", api.wait_leave, "viewer", "csrf", "api"),
    _door("GET /api/shows/{slug}/looks/{look}/place", drops.place_ask, "viewer", "read", "api"),
    _door("POST /api/shows/{slug}/looks/{look}/place", drops.place_take, "viewer", "csrf", "api"),
    _door("DELETE /api/shows/{slug}/looks/{look}/place", drops.place_leave, "viewer", "csrf", "api"),
    _door("GET /api/shows/{slug}/looks/{look}/work", drops.work_ask, "viewer", "read", "api"),
    _door("GET /api/shows/{slug}/looks/{look}/drawn", drops.drawn, "anyone", "read", "api"),
    _door("POST /api/shows/{slug}/quote", till.quote, "viewer", "csrf", "api"),
    _door("POST /api/shows/{slug}/checkout", till.checkout, "viewer", "csrf", "api", a_minute=30),
    _door("GET /api/address-forms/{country}", till.address_form, "anyone", "read", "api"),
    _door("GET /api/me/saved", till.saved, "viewer", "read", "api"),
    _door("DELETE /api/me/saved", till.forget, "viewer", "csrf", "api"),
    _door("GET /api/shows/{slug}/replay", replay.replay, "anyone", "read", "api"),
    _door("GET /shows/{slug}/recordings/{file}", replay.recording, "anyone", "read", "api", a_minute=600),
    _door("GET /api/orders/{token}", api.order, "anyone", "read", "api"),
    _door("GET /api/orders/{token}/pay", till.pay_page, "anyone", "read", "api"),
    _door("POST /api/name", api.name, "viewer", "csrf", "api", a_minute=20),
    # running the show
    _door("POST /api/shows/{slug}/open", api.show_open, "host", "csrf", "api", scope="shows:run"),
    _door("POST /api/shows/{slug}/end", api.show_end, "host", "csrf", "api", scope="shows:run"),
    _door("POST /api/shows/{slug}/looks/{look}/drop", drops.look_drop, "host", "csrf", "api", scope="shows:run"),
    _door("POST /api/shows/{slug}/looks/{look}/close", drops.look_close, "host", "csrf", "api", scope="shows:run"),
    _door("PUT /api/shows/{slug}/looks/{look}/terms", drops.look_rule, "host", "csrf", "api", scope="shows:run"),
    _door("PUT /api/shows/{slug}/products/{product}/cap", drops.product_cap, "host", "csrf", "api", scope="shows:run"),
    _door("POST /api/shows/{slug}/looks/{look}/withdraw", api.look_withdraw, "host", "csrf", "api", scope="shows:run"),
    _door("POST /api/shows/{slug}/next", api.look_next, "host", "csrf", "api", scope="shows:run"),
    _door("POST /api/shows/{slug}/publish-key", api.publish_key, "host", "csrf", "api", a_minute=10),
    _door("PUT /api/shows/{slug}/publisher-rule", api.publisher_rule, "host", "csrf", "api"),
    # the room, for programs; a person's data
    _door("GET /api/shows/{slug}/room", room.desk, "moderator", "read", "api", scope="room:read"),
    _door("POST /api/shows/{slug}/room", room.act, "moderator", "csrf", "api", a_minute=600, scope="room:moderate"),
    _door("GET /api/people/{person}", room.person, "staff", "read", "api", a_minute=30),
    _door("DELETE /api/people/{person}", room.person_erase, "staff", "csrf", "api", a_minute=30),
    _door("GET /api/shows/{slug}/service", api.service, "host", "read", "api", scope="shows:read"),
    _door("PUT /api/shows/{slug}/service", api.service_set, "host", "csrf", "api", scope="shows:run"),
    _door("GET /api/shows/{slug}/recordings", replay.recordings, "host", "read", "api", scope="shows:read"),
    _door("GET /api/shows/{slug}/viewers", picture_desk.viewers, "host", "read", "api"),
    _door("GET /api/shows/{slug}/picture/seen", picture_desk.seen, "host", "read", "api"),
    _door("GET /api/shows/{slug}/stats", api.stats, "staff", "read", "api", scope="shows:read"),
    _door("POST /api/stock/adjust", api.stock_adjust, "staff", "csrf", "api", a_minute=600, scope="stock:write"),
    # the merchant's own system
    _door("GET /api/openapi.json", openapi.document, "anyone", "read", "api"),
    _door("GET /api/merchant/orders", merchant.orders, "staff", "read", "api", scope="orders:read"),
    _door("GET /api/merchant/orders/{order}", merchant.order, "staff", "read", "api", scope="orders:read"),
    _door("GET /api/merchant/products", merchant.products, "staff", "read", "api", scope="catalogue:read"),
    _door("GET /api/merchant/stock", merchant.stock, "staff", "read", "api", scope="stock:read"),
    _door("GET /api/merchant/shows", merchant.shows, "staff", "read", "api", scope="shows:read"),
    _door("GET /api/merchant/webhooks", hooks_api.endpoints, "staff", "read", "api", scope="webhooks:write"),
    _door("POST /api/merchant/webhooks", hooks_api.add, "staff", "csrf", "api", scope="webhooks:write"),
    _door("PUT /api/merchant/webhooks/{endpoint}", hooks_api.change, "staff", "csrf", "api", scope="webhooks:write"),
    _door("DELETE /api/merchant/webhooks/{endpoint}", hooks_api.remove, "staff", "csrf", "api", scope="webhooks:write"),
    _door(
        "POST /api/merchant/webhooks/{endpoint}/secret",
        hooks_api.rotate,
        "staff",
        "csrf",
        "api",
        scope="webhooks:write",
    ),
    _door(
        "GET /api/merchant/webhooks/{endpoint}/deliveries",
        hooks_api.log,
        "staff",
        "read",
        "api",
        scope="webhooks:write",
    ),
    _door(
        "POST /api/merchant/webhooks/{endpoint}/replay",
        hooks_api.replay,
        "staff",
        "csrf",
        "api",
        scope="webhooks:write",
    ),
    _door(
        "POST /api/merchant/webhooks/{endpoint}/test", hooks_api.try_out, "staff", "csrf", "api", scope="webhooks:write"
    ),
    _door("GET /api/shows/{slug}/run", merchant.run, "host", "read", "api", scope="shows:read"),
    _door("GET /api/shows/{slug}/timeline", merchant.timeline, "host", "read", "api", scope="shows:read"),
    # orders
    _door("GET /api/staff/orders", orders_api.index, "staff", "read", "api", scope="orders:read"),
    _door("GET /api/staff/orders/{number}", orders_api.one, "staff", "read", "api", scope="orders:read"),
    _door("POST /api/staff/orders/{number}/shipments", orders_api.fulfil, "staff", "csrf", "api", scope="orders:write"),
    _door(
        "POST /api/staff/orders/{number}/shipments/{shipment}/void",
        orders_api.unfulfil,
        "staff",
        "csrf",
        "api",
        scope="orders:write",
    ),
    _door(
        "POST /api/staff/orders/{number}/returns", orders_api.take_back, "staff", "csrf", "api", scope="orders:write"
    ),
    _door("POST /api/staff/orders/{number}/refunds", orders_api.refund, "staff", "csrf", "api", scope="orders:write"),
    _door("POST /api/staff/orders/{number}/cancel", orders_api.cancel, "staff", "csrf", "api", scope="orders:write"),
    _door("POST /api/staff/orders/{number}/notes", orders_api.note, "staff", "csrf", "api", scope="orders:write"),
    # the catalogue
    _door("PUT /api/catalogue/products/{product}", catalogue_api.describe, "staff", "csrf", "api", body_max=32 * 1024),
    _door("PUT /api/catalogue/variants/{sku}/price", catalogue_api.price, "staff", "csrf", "api", a_minute=600),
    _door(
        "POST /api/catalogue/products/{product}/pictures",
        catalogue_api.picture_add,
        "staff",
        "csrf",
        "api",
        body_max=catalogue_api.PICTURE_MAX,
        within_s=catalogue_api.UPLOAD_S,
    ),
    _door("PATCH /api/catalogue/pictures/{picture}", catalogue_api.picture_change, "staff", "csrf", "api"),
    _door("DELETE /api/catalogue/pictures/{picture}", catalogue_api.picture_remove, "staff", "csrf", "api"),
    _door("GET /api/catalogue/imports", catalogue_api.import_list, "staff", "read", "api", a_minute=600),
    _door(
        "POST /api/catalogue/imports",
        catalogue_api.import_add,
        "staff",
        "csrf",
        "api",
        body_max=catalogue_api.FEED_MAX,
        a_minute=20,
        within_s=catalogue_api.UPLOAD_S,
    ),
    _door("GET /api/catalogue/imports/{id}", catalogue_api.import_one, "staff", "read", "api", a_minute=600),
    _door("POST /api/catalogue/imports/{id}", catalogue_api.import_apply, "staff", "csrf", "api"),
    _door("DELETE /api/catalogue/imports/{id}", catalogue_api.import_stop, "staff", "csrf", "api"),
    # the payment provider
    _door(
        "POST /api/payments/{provider}/events",
        till.provider_event,
        "anyone",
        "signed",
        "api",
        body_max=EVENT_MAX,
        a_minute=6000,
    ),
    # the picture
    _door("POST /api/media/events", api.media_event, "anyone", "signed", "api", body_max=SDP_MAX, a_minute=6000),
    _door("GET /api/shows/{slug}/picture", picture.picture, "anyone", "read", "api"),
    _door("GET,POST,OPTIONS /whip/{slug}", whip.publish, "anyone", "bearer", "media", body_max=SDP_MAX),
    _door(
        "PATCH,DELETE,OPTIONS /whip/{slug}/{session}",
        whip.publish_session,
        "anyone",
        "bearer",
        "media",
        body_max=SDP_MAX,
    ),
    _door("GET,POST,OPTIONS /whep/{slug}", whip.play, "anyone", "open", "media", body_max=SDP_MAX),
    _door(
        "PATCH,DELETE,OPTIONS /whep/{slug}/{session}", whip.play_session, "anyone", "open", "media", body_max=SDP_MAX
    ),
    _door("GET /hls/{slug}/{file}", hls.take, "anyone", "read", "stream", a_minute=60_000),
    _door(
        "POST,OPTIONS /whep/{slug}/{session}/events", whep_events.create, "anyone", "open", "media", body_max=BODY_MAX
    ),
    _door("GET,DELETE,OPTIONS /whep/{slug}/{session}/events/{stream}", whep_events.stream, "anyone", "open", "media"),
    # the house
    _door("GET /healthz", health.healthz, "anyone", "read", "house", a_minute=6000),
    _door("GET /readyz", health.readyz, "anyone", "read", "house", a_minute=6000),
    _door("GET /metrics", health.metrics, "anyone", "read", "house", a_minute=6000),
)
