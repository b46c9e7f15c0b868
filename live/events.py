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


class Piece(msgspec.Struct, frozen=True):
    """A product as its card shows it. `picture` is a path on this server; `picture_alt` says what it shows."""

    product: str
    title: str
    brand: str
    blurb: str
    picture: str
    picture_alt: str
    variants: list[Variant]


class Card(msgspec.Struct, frozen=True):
    """A look that was dropped: one piece or several. `at` is the media time in ms, `dropped_ms` server time."""

    look: str
    number: int
    title: str
    pieces: list[Piece]
    at: int
    dropped_ms: int


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


class Tally(msgspec.Struct, frozen=True):
    """Figures for the host: people watching, units in holds, orders paid and their sum."""

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
    are for staff, else None. `play` holds the games that are open or were closed within two minutes."""

    show: ShowFacts
    picture: Picture
    cards: list[Card]
    pinned: str | None
    stock: dict[str, Level]
    cart: Cart
    runsheet: list[LookRow] | None = None
    tally: Tally | None = None
    play: list[Game] = []


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
}

PRIVATE: dict[str, type[msgspec.Struct]] = {
    "cart.changed": CartChanged,
    "order.changed": OrderChanged,
    "runsheet.changed": RunsheetChanged,
    "tally.changed": TallyChanged,
    "recording.changed": RecordingChanged,
    "rain.caught": RainCaught,
}


# ---- intents: imperative -----------------------------------------------------------------------


class CartAdd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold `qty` more of `sku`. Answer: {"cart": Cart}. Refused: sold_out, over_limit, not_live, invalid,
    throttled (carries retry_after_s)."""

    sku: str
    qty: int = 1


class CartRemove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give the line back to stock. Answer: {"cart": Cart}."""

    sku: str


class WaitIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wait for a piece that is sold out, or no longer. What comes back is offered to the first in the queue, as a hold
    of a minute. Answer: {"cart": Cart}. Refused: still_left (hold it), over_limit (queues one person may be in),
    not_live, not_found, throttled (carries retry_after_s)."""

    sku: str


class LookIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which look. Answer: {"look": id}. Refused: not_found, wrong_state."""

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
    "card.drop": (LookIntent, "host"),
    "card.withdraw": (LookIntent, "host"),
    "look.next": (Nothing, "host"),
    "show.open": (Nothing, "host"),
    "show.end": (Nothing, "host"),
    **PLAY_INTENTS,
}
