"""Every Redis key of live, in one place: its type, life and owner. chat's are in `chat/keys.py`.

All keys of a show's shop share the hash tag `{show}`, so that one script may touch them on a cluster.

key                        type    life                owner
s:{show}:gate              hash    until rebuilt       shop.stock       units left, rev, epoch (fields: lua/shared.lua)
s:{show}:holds             zset    until rebuilt       shop.stock       cart|sku by expiry ms
s:{show}:held              hash    until rebuilt       shop.stock       cart|sku -> units
s:{show}:claims            hash    until rebuilt       shop.stock       order -> its lines, between payment and sale
s:{show}:owned             hash    until rebuilt       shop.stock       cart|sku -> units bought
s:{show}:lapsed            list    last 10,000         shop.stock       lapsed holds whose owners are to be told
s:{show}:queue:<sku>       zset    7 days from change  shop.waitlist    carts that wait for a SKU, by ticket
s:{show}:queues            hash    7 days from change  shop.waitlist    SKUs that somebody waits for; `#`: last ticket
s:{show}:cart:<cart>       hash    7 days from change  shop.cart        lines, `rev`, `paying`
s:{show}:untold           zset    until told          shop.stock       carts whose owners are to be told, by ms
s:{show}:line:<drop>:<..>  6 keys  2 days from change  shop.line        a hot drop's line (fields: lua/line.lua)
s:{show}:work:<digest>     string  15 minutes          shop.work        the operation that used this proof of work
s:{show}:op:<cart>:<what>  string  10 minutes          shop.stock       first answer of an operation (act|sku|op)
s:{show}:stage             string  7 days from change  desk             version of the show's programme: counts changes
s:{show}:sold:<order>      string  10 minutes          shop.stock       mark: this order's claim was consumed
s:{show}:plays             zset    7 days from change  play             ids of games by when they stop being shown
s:{show}:play:<id>         hash    7 days from change  play             facts, secret, result (JSON), state, counts
s:{show}:play:<id>:people  hash    7 days from change  play             person -> choice or name
plays:due                  zset    until closed        play             show|id by the ms at which the worker closes it
s:{show}:media             hash    60 s from the beat  relay.server     media clock: state, media_ms, wall_ms
                                                                     (LiveKit's: a day, stage.media, first_ms)
relay:<id>                 hash    10 s from the beat  relay.server     where it is, how full, its shows: relay.registry
relays                     set     -                   relay.server     ids of relays, pruned by readers
relay:show:<show>          string  10 s from the beat  relay.server     id of its origin: who claimed it last
tail:<id>                  string  8 s from the beat   tail.server      address at which a tail answers web
tail:show:<show>           string  8 s from the beat   tail.server      id of the tail that packages the show
session:<digest>           hash    30 days from use    accounts         person, device, staff id, name, csrf
staff-sessions:<staff>     set     30 days from use    accounts         digests of the sessions of one signed in
signin:<digest>            hash    as issued           accounts         one-click link: staff id or guest
throttle:<what>:<who>      string  the window          accounts, web    count of tries in the window
pace:<what>:<who>          string  till whole again    accounts         a steady limit's state (gcra.lua)
whep-events:<stream>       string  60 s from reading   desk.audience    a player's event stream (JSON)
lock:<name>                string  as taken            store            one process at a time
"""

from __future__ import annotations


def gate(show: str) -> str:
    return f"s:{{{show}}}:gate"


def holds(show: str) -> str:
    return f"s:{{{show}}}:holds"


def held(show: str) -> str:
    return f"s:{{{show}}}:held"


def claims(show: str) -> str:
    return f"s:{{{show}}}:claims"


def owned(show: str) -> str:
    return f"s:{{{show}}}:owned"


def lapsed(show: str) -> str:
    return f"s:{{{show}}}:lapsed"


def cart(show: str, cart_id: str) -> str:
    return f"s:{{{show}}}:cart:{cart_id}"


def queue(show: str, sku: str) -> str:
    return f"s:{{{show}}}:queue:{sku}"


def queues(show: str) -> str:
    return f"s:{{{show}}}:queues"


def untold(show: str) -> str:
    return f"s:{{{show}}}:untold"


LINE_PARTS = ("state", "lobby", "who", "line", "turns", "took")


def line(show: str, drop: str) -> list[str]:
    """The keys of a hot drop's line, in the order of `LINE_PARTS`. `drop` names one arming of a look."""
    return [f"s:{{{show}}}:line:{drop}:{part}" for part in LINE_PARTS]


def work(show: str, challenge_digest: str) -> str:
    return f"s:{{{show}}}:work:{challenge_digest}"


def op(show: str, cart_id: str, act: str, sku: str, op_id: str) -> str:
    """A repeat is the same act on the same SKU: the answer of one piece must never be told as the stock of another."""
    return f"s:{{{show}}}:op:{cart_id}:{act}|{sku}|{op_id}"


def stage(show: str) -> str:
    return f"s:{{{show}}}:stage"


def sold(show: str, order: str) -> str:
    return f"s:{{{show}}}:sold:{order}"


def media(show: str) -> str:
    return f"s:{{{show}}}:media"


def plays(show: str) -> str:
    return f"s:{{{show}}}:plays"


def play(show: str, play_id: str) -> str:
    return f"s:{{{show}}}:play:{play_id}"


def play_people(show: str, play_id: str) -> str:
    return f"s:{{{show}}}:play:{play_id}:people"


def play_of(people_key: str) -> tuple[str, str]:
    """The show and the game of a `play_people`."""
    show, _, play_id = people_key.removeprefix("s:{").removesuffix(":people").partition("}:play:")
    return show, play_id


PLAYS_DUE = "plays:due"

RELAYS = "relays"


def relay(relay_id: str) -> str:
    return f"relay:{relay_id}"


def relay_of_show(show: str) -> str:
    return f"relay:show:{show}"


def tail(tail_id: str) -> str:
    return f"tail:{tail_id}"


def tail_of_show(show: str) -> str:
    return f"tail:show:{show}"


def session(session_digest: str) -> str:
    return f"session:{session_digest}"


def staff_sessions(staff_id: str) -> str:
    return f"staff-sessions:{staff_id}"


def sign_in(token_digest: str) -> str:
    return f"signin:{token_digest}"


def event_stream(name: str) -> str:
    return f"whep-events:{name}"


def throttle(what: str, who: str) -> str:
    return f"throttle:{what}:{who}"


def pace(what: str, who: str) -> str:
    return f"pace:{what}:{who}"


def lock(name: str) -> str:
    return f"lock:{name}"
