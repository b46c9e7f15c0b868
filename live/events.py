"""Every kind that live sends or takes over the room's socket, typed. `docs/protocol.md` says the same; a test compares.

Four catalogues: EVENTS go to everyone in a show and are numbered, VOLATILE to everyone and are not, PRIVATE to one
person or to staff, INTENTS come from a page and name the least role that may send them. chat's own kinds (lines,
presence, hearts, moderation) are in `chat/kinds.py`. It is one file, long as it is, because the wire is one contract.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from live.money import Money

ShowStatus = Literal["scheduled", "live", "ended"]
PictureState = Literal["waiting", "live", "slate"]
OrderStatus = Literal[  # shop/order_state.py
    "pending",
    "paid",
    "part_fulfilled",
    "fulfilled",
    "part_returned",
    "returned",
    "part_refunded",
    "refunded",
    "cancelled",
]
CartLineState = Literal["held", "lapsed", "paying"]


# ---- what a page shows -------------------------------------------------------------------------


class Variant(msgspec.Struct, frozen=True):
    """One size and colour of a piece. `was` is a struck-through price, or None."""

    sku: str
    size: str
    colour: str
    colour_hex: str
    price: Money
    was: Money | None = None
    gtin: str = ""


class View(msgspec.Struct, frozen=True):
    """A further picture of a piece, as its first one is told."""

    picture: str
    picture_alt: str
    srcset: str


class Piece(msgspec.Struct, frozen=True):
    """A product as its card shows it. `picture` is a path on this server, `srcset` the same in further widths (HTML's
    attribute), or empty; `picture_alt` says what it shows. `more` are its other pictures, in order."""

    product: str
    title: str
    brand: str
    blurb: str
    picture: str
    picture_alt: str
    variants: list[Variant]
    srcset: str = ""
    more: list[View] = []


class Drop(msgspec.Struct, frozen=True):
    """On what terms a look's pieces can be held: from `opens_ms` to `closes_ms` (server time, or None), at most `limit`
    units of them a buyer. `hot`: buyers stand in a line, drawn at the opening by the seed whose SHA-256 (hex) is
    `commitment`. `work_bits`: a proof of work is asked for (0: none)."""

    opens_ms: int | None = None
    closes_ms: int | None = None
    limit: int | None = None
    hot: bool = False
    commitment: str = ""
    work_bits: int = 0


class Card(msgspec.Struct, frozen=True):
    """A look that was dropped: one piece or several. `at` is the media time in ms, `dropped_ms` server time. Its pieces
    can be held while `drop` says so."""

    look: str
    number: int
    title: str
    pieces: list[Piece]
    at: int
    dropped_ms: int
    drop: Drop = Drop()


class Level(msgspec.Struct, frozen=True):
    """Units of a SKU that can still be held. `rev` grows with each change of it: keep the higher, drop the lower."""

    left: int
    rev: int


class ShowFacts(msgspec.Struct, frozen=True):
    """The show itself. `starts_ms`, `opened_ms`, `ended_ms` are server time, or None."""

    id: str
    slug: str
    title: str
    tagline: str
    brand: str
    status: ShowStatus
    starts_ms: int | None
    opened_ms: int | None
    ended_ms: int | None
    hold_ttl_s: int
    currency: str
    poster: str


class Picture(msgspec.Struct, frozen=True):
    """waiting: no publisher yet; live; slate: it dropped and may come back. `media_ms` was the media time at
    server time `wall_ms`: the two together give the media time of any moment while live."""

    state: PictureState
    media_ms: int
    wall_ms: int


class CartLine(msgspec.Struct, frozen=True):
    """A line of the bag. `held_until_ms` is server time; a lapsed line keeps its place so that it can be held again."""

    sku: str
    qty: int
    look: str
    piece: str
    picture: str
    size: str
    colour: str
    price: Money
    state: CartLineState
    held_until_ms: int


class Wait(msgspec.Struct, frozen=True):
    """A place in the queue for a piece that is sold out. `ahead`: people before her when the bag was read."""

    sku: str
    ahead: int


class Cart(msgspec.Struct, frozen=True):
    """One person's bag in a show. `rev` grows with each change: keep the higher. A SKU that leaves `waits` and comes
    among the lines was offered to her."""

    lines: list[CartLine]
    total: Money
    rev: int
    waits: list[Wait] = []


class LookRow(msgspec.Struct, frozen=True):
    """A row of the run of show, for staff. `state`: waiting, dropped (its card is out), withdrawn."""

    look: str
    number: int
    title: str
    state: Literal["waiting", "dropped", "withdrawn"]
    pieces: list[Piece]
    at: int | None
    drop: Drop = Drop()


PlaceState = Literal["none", "lobby", "line", "turn", "took", "passed", "lost"]


class Place(msgspec.Struct, frozen=True):
    """Where somebody stands for a hot drop. lobby: she is in the draw; line: at most `ahead` people are before her,
    less those who left since (`gone` now, and as `queue.moved` says later); turn: she may hold a piece until `until_ms`
    (server time); took: she did, and may take more until then; passed: her turn ended unused; lost: she was away when
    it came; none: she has no place."""

    look: str
    state: PlaceState
    ahead: int = 0
    gone: int = 0
    until_ms: int = 0


class Work(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proof of work: SHA-256 of `challenge`, a colon and `answer` in decimal begins with as many zero bits as were
    asked for (`work.ask`)."""

    challenge: str
    answer: int


class Tally(msgspec.Struct, frozen=True):
    """Figures for the host: people watching, units in holds, orders paid, and their sum less what went
    back and what lost disputes took."""

    viewers: int
    held: int
    orders: int
    revenue: Money


class Poll(msgspec.Struct, frozen=True, tag_field="game", tag="poll"):
    """A question to the room. `counts` are votes a choice; `mine` is the reader's own choice, in a snapshot only."""

    id: str
    question: str
    choices: list[str]
    closes_ms: int
    closed: bool
    counts: list[int]
    mine: int | None = None


class Quiz(msgspec.Struct, frozen=True, tag_field="game", tag="quiz"):
    """A question with a right answer. Until it is closed nobody is told `right` or `counts`, only how many answered.
    A page that shows the picture late takes answers as much later, at most 15 s."""

    id: str
    question: str
    choices: list[str]
    closes_ms: int
    closed: bool
    answers: int
    right: int | None = None
    counts: list[int] | None = None
    mine: int | None = None


class Winner(msgspec.Struct, frozen=True):
    person: str
    name: str


class Draw(msgspec.Struct, frozen=True, tag_field="game", tag="draw"):
    """A lucky draw, free to enter. `commitment` is the SHA-256 (hex) of the seed, published before the first entry;
    `seed` and `entries_digest` (both hex) come with the winners, so that anyone can check them (`draw.proof`)."""

    id: str
    prize: str
    places: int
    closes_ms: int
    closed: bool
    commitment: str
    entries: int
    seed: str | None = None
    entries_digest: str | None = None
    winners: list[Winner] = []
    mine: bool = False


class Rain(msgspec.Struct, frozen=True, tag_field="game", tag="rain"):
    """Coupon rain: `budget` falls in exact cents on at most `portions` of those who tapped in the window, whoever was
    first. `caught` is on how many it fell; `mine` is the reader's own part, in a snapshot only."""

    id: str
    budget: Money
    portions: int
    closes_ms: int
    closed: bool
    commitment: str
    caught: int = 0
    seed: str | None = None
    mine: Money | None = None


Game = Poll | Quiz | Draw | Rain


class LiveSnapshot(msgspec.Struct, frozen=True):
    """live's part of `welcome` and `reset`. `pinned` is the look whose card is up, or None. `runsheet` and `tally`
    are for staff, else None. `play` holds the games that are open or were closed within two minutes, `places` where the
    reader stands for hot drops."""

    show: ShowFacts
    picture: Picture
    cards: list[Card]
    pinned: str | None
    stock: dict[str, Level]
    cart: Cart
    runsheet: list[LookRow] | None = None
    tally: Tally | None = None
    play: list[Game] = []
    places: list[Place] = []


# ---- events: past tense ------------------------------------------------------------------------


class ShowOpened(msgspec.Struct, frozen=True):
    show: ShowFacts


class ShowEnded(msgspec.Struct, frozen=True):
    show: ShowFacts


class PictureChanged(msgspec.Struct, frozen=True):
    picture: Picture


class RelayGone(msgspec.Struct, frozen=True):
    """Volatile: a relay died. Whose session address begins with its id joins anew at once."""

    relay: str


class CardDropped(msgspec.Struct, frozen=True):
    """The card is out and pinned. `stock` holds its SKUs' levels at that moment."""

    card: Card
    stock: dict[str, Level]


class CardChanged(msgspec.Struct, frozen=True):
    """A card that is out says something else: a price, words, a picture, a further size. `card` is all of it now."""

    card: Card
    stock: dict[str, Level]


class CardWithdrawn(msgspec.Struct, frozen=True):
    """Un-dropped: the card goes, `pinned` is the look that is up now. Pieces held stay held."""

    look: str
    pinned: str | None


class DropChanged(msgspec.Struct, frozen=True):
    """A look that is out has other terms: it was closed, or its caps changed."""

    look: str
    drop: Drop


class DropDrawn(msgspec.Struct, frozen=True):
    """The line of a hot drop was drawn among `people`, and can be checked: `seed` (hex) is what `commitment` was
    published for, `entries_digest` that of the people, whom `GET /api/shows/{slug}/looks/{look}/drawn` lists."""

    look: str
    commitment: str
    seed: str
    entries_digest: str
    people: int


class Queue(msgspec.Struct, frozen=True):
    """`gone`: how many left the line at its head so far; `waiting`: how many stand in it."""

    gone: int
    waiting: int


class QueueMoved(msgspec.Struct, frozen=True):
    """Volatile, at most once a second: the lines of hot drops, by look."""

    lines: dict[str, Queue]


class PlaceChanged(msgspec.Struct, frozen=True):
    place: Place


class StockChanged(msgspec.Struct, frozen=True):
    stock: dict[str, Level]


class CartChanged(msgspec.Struct, frozen=True):
    cart: Cart


class OrderChanged(msgspec.Struct, frozen=True):
    """The buyer's order moved. `token` opens `/orders/{token}`."""

    order: str
    number: str
    status: OrderStatus
    token: str
    total: Money


class RunsheetChanged(msgspec.Struct, frozen=True):
    runsheet: list[LookRow]


class TallyChanged(msgspec.Struct, frozen=True):
    tally: Tally


class RecordingChanged(msgspec.Struct, frozen=True):
    """recording: a file began; finished: it is whole; failed: recording stopped, `why` says of what, and begins again
    by itself; behind: the disk is too slow, `dropped` packets are missing so far; caught_up."""

    state: Literal["recording", "finished", "failed", "behind", "caught_up"]
    why: Literal["", "disk_full", "file", "media"] = ""
    dropped: int = 0


class PollOpened(msgspec.Struct, frozen=True):
    poll: Poll


class PollCounted(msgspec.Struct, frozen=True):
    """Volatile, at most once a second: votes a choice so far."""

    poll: str
    counts: list[int]


class PollClosed(msgspec.Struct, frozen=True):
    poll: Poll


class QuizOpened(msgspec.Struct, frozen=True):
    quiz: Quiz


class QuizCounted(msgspec.Struct, frozen=True):
    """Volatile, at most once a second: how many answered so far."""

    quiz: str
    answers: int


class QuizClosed(msgspec.Struct, frozen=True):
    """The answer, when the last viewer's time was up."""

    quiz: Quiz


class DrawOpened(msgspec.Struct, frozen=True):
    draw: Draw


class DrawDrawn(msgspec.Struct, frozen=True):
    draw: Draw


class RainOpened(msgspec.Struct, frozen=True):
    rain: Rain


class RainFallen(msgspec.Struct, frozen=True):
    rain: Rain


class RainCaught(msgspec.Struct, frozen=True):
    """To one person: her part of the rain."""

    rain: str
    amount: Money


EVENTS: dict[str, type[msgspec.Struct]] = {
    "show.opened": ShowOpened,
    "show.ended": ShowEnded,
    "picture.changed": PictureChanged,
    "card.dropped": CardDropped,
    "card.changed": CardChanged,
    "card.withdrawn": CardWithdrawn,
    "drop.changed": DropChanged,
    "drop.drawn": DropDrawn,
    "stock.changed": StockChanged,
    "poll.opened": PollOpened,
    "poll.closed": PollClosed,
    "quiz.opened": QuizOpened,
    "quiz.closed": QuizClosed,
    "draw.opened": DrawOpened,
    "draw.drawn": DrawDrawn,
    "rain.opened": RainOpened,
    "rain.fallen": RainFallen,
}

VOLATILE: dict[str, type[msgspec.Struct]] = {
    "relay.gone": RelayGone,
    "poll.counted": PollCounted,
    "quiz.counted": QuizCounted,
    "queue.moved": QueueMoved,
}

PRIVATE: dict[str, type[msgspec.Struct]] = {
    "cart.changed": CartChanged,
    "place.changed": PlaceChanged,
    "order.changed": OrderChanged,
    "runsheet.changed": RunsheetChanged,
    "tally.changed": TallyChanged,
    "recording.changed": RecordingChanged,
    "rain.caught": RainCaught,
}


# ---- intents: imperative -----------------------------------------------------------------------


class CartAdd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold `qty` more of `sku`. `work` where the drop asks for it and no line is stood in. Answer: {"cart": Cart}.
    Refused: sold_out, over_limit (`cap`: piece, product or drop), not_live, not_open (carries opens_ms), closed,
    in_line, work_needed, invalid, throttled (carries retry_after_s)."""

    sku: str
    qty: int = 1
    work: Work | None = None


class CartRemove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give the line back to stock. Answer: {"cart": Cart}."""

    sku: str


class WaitIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wait for a piece that is sold out, or no longer. What comes back is offered to the first in the queue, as a hold
    of a minute. Answer: {"cart": Cart}. Refused: still_left (hold it), over_limit (queues one person may be in),
    not_live, not_open, closed, in_line (of a hot drop), not_found, throttled (carries retry_after_s)."""

    sku: str


class LookIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which look. Answer: {"look": id}. Refused: not_found, wrong_state."""

    look: str


class DropIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put a look's card out. It counts down for `in_s` seconds (to 3,600) before its pieces can be held, and they can
    be for `for_s` seconds (5 to 86,400), or until it is closed. A hot drop counts down for 10 s at least. One that was
    closed may be dropped again. Answer: {"look": id}. Refused: not_found, not_live, wrong_state, invalid."""

    look: str
    in_s: int = 0
    for_s: int | None = None


class LookRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of a look's drop: `limit` units of its pieces a buyer (null: no cap), whether it is `hot`, and how many
    bits of work it asks for (0 to 22; 0: none). Hot and work can't change while it is out. Answer: {"look": id}.
    Refused: not_found, wrong_state, invalid."""

    look: str
    limit: int | None = None
    hot: bool = False
    work_bits: int = 0


class PlaceTake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Into a hot drop's lobby while it counts down, or at the end of its line. One place a person and a device; who has
    one keeps it. Answer: {"place": Place}. Refused: not_found, not_live, closed, wrong_state (not hot), over_limit (cap
    device: another person of this device stands there), work_needed, overloaded (the line is full), throttled."""

    look: str
    work: Work | None = None


class PlaceIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`place.ask`: where do I stand; `place.leave`: give the place up. Answer: {"place": Place}. Refused: not_found,
    throttled."""

    look: str


class WorkAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A challenge for one hold or one place of this look, good for ten minutes and for once. Answer: {"challenge",
    "bits", "until_ms"}. Refused: not_found, throttled."""

    look: str


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No body."""


class PollOpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask 2 to 6 choices for 10 to 600 seconds. Answer: {"poll": Poll}. Refused: invalid, conflict (too many games
    at once), store_down."""

    question: str
    choices: list[str]
    seconds: int


class PollVote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vote a person, changeable until the close. Answer: {"poll", "choice"}. Refused: invalid, not_found,
    wrong_state, store_down."""

    poll: str
    choice: int


class PollClose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Close before its time. Answer: {"poll": Poll}. Refused: not_found, store_down."""

    poll: str


class QuizOpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As a poll, of 5 to 120 seconds; `right` is the index of the right choice. Answer: {"quiz": Quiz}. Refused:
    invalid, conflict, store_down."""

    question: str
    choices: list[str]
    right: int
    seconds: int


class QuizAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer a person, changeable until her time is up; `delay_ms` is how late her picture is (at most 15,000
    count). Answer: {"quiz", "choice"}. Refused: invalid, not_found, wrong_state, store_down."""

    quiz: str
    choice: int
    delay_ms: int = 0


class DrawOpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A draw of 1 to 100 places, open for 10 to 3,600 seconds. Answer: {"draw": Draw}. Refused: invalid, conflict,
    store_down."""

    prize: str
    places: int
    seconds: int


class DrawEnter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Enter, once and free. Answer: {"draw"}. Refused: not_found, wrong_state, store_down."""

    draw: str


class DrawProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the winners follow from, for anyone to check: entries in order, 200 from `start`. Answer: {"draw": Draw,
    "entries": [person], "next": int | null}. Refused: not_found, wrong_state (not drawn yet), store_down."""

    draw: str
    start: int = 0


class RainOpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let `budget` (at most 1,000,000 minor units) fall on at most 10,000 `portions` after 3 to 60 seconds. Answer:
    {"rain": Rain}. Refused: invalid, conflict, store_down."""

    budget: Money
    portions: int
    seconds: int


class RainTap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stand in the rain; when in the window does not matter. `delay_ms` as in quiz.answer. Answer: {"rain"}. Refused:
    not_found, wrong_state, store_down."""

    rain: str
    delay_ms: int = 0


PLAY_INTENTS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "poll.open": (PollOpen, "host"),
    "poll.vote": (PollVote, "viewer"),
    "poll.close": (PollClose, "host"),
    "quiz.open": (QuizOpen, "host"),
    "quiz.answer": (QuizAnswer, "viewer"),
    "draw.open": (DrawOpen, "host"),
    "draw.enter": (DrawEnter, "viewer"),
    "draw.proof": (DrawProof, "viewer"),
    "rain.open": (RainOpen, "host"),
    "rain.tap": (RainTap, "viewer"),
}

INTENTS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "cart.add": (CartAdd, "viewer"),
    "cart.remove": (CartRemove, "viewer"),
    "wait.join": (WaitIntent, "viewer"),
    "wait.leave": (WaitIntent, "viewer"),
    "place.take": (PlaceTake, "viewer"),
    "place.leave": (PlaceIntent, "viewer"),
    "place.ask": (PlaceIntent, "viewer"),
    "work.ask": (WorkAsk, "viewer"),
    "card.drop": (DropIntent, "host"),
    "card.close": (LookIntent, "host"),
    "look.rule": (LookRule, "host"),
    "card.withdraw": (LookIntent, "host"),
    "look.next": (Nothing, "host"),
    "show.open": (Nothing, "host"),
    "show.end": (Nothing, "host"),
    **PLAY_INTENTS,
}
