"""What may be said. Pure: text in, a reason or None out.

Text is matched on keys and never shown or kept as one (a skeleton mangles real Russian). Per word:

    key 1  NFKC, NFKD, without marks, format and control characters, casefolded: zalgo, zero-width, full-width,
           mathematical letters
    key 2  key 1 with Cyrillic, Greek and small-capital look-alikes as Latin letters (a small part of Unicode TR39's
           skeleton); Greek capitals also as the Latin capitals that they look like
    key 3  key 2 with leet digits as letters, separators stripped, letters said thrice or more said once or twice

Words are compared whole, so that a term never hits inside an innocent longer word; `term*` also hits what begins with
it. In scripts that don't put spaces between words a term is looked for anywhere. Time per line: at most words × longest
term lookups, no backtracking. What a line is not (not ASCII, no digits, nothing stretched) is found out first: most
lines have one form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from linkify_it import LinkifyIt
from publicsuffixlist import PublicSuffixList
from rapidfuzz import fuzz

MAX_TERM_CHARS = 80
MAX_TERMS = 1_000
TIMEOUT_S = (10, 28 * 24 * 3600)
MAX_SLOW_S = 3_600
FLOOD_LINES, FLOOD_MS = 20, 30_000
REPEAT_WITHIN_MS = 30_000
REPEATS_ALLOWED = 2
MAX_AGE_S = 31 * 24 * 3600
MAX_RAID_S = 3_600
RAID_KNOWN_MS = 600_000  # who was there so long before a raid may go on talking
RAID_SLOW_MS = 15_000
_ALIKE_PERCENT = 90
_SHORT_CHARS = 12  # "size 36?" and "size 38?" are two questions: so short a line repeats only what is the same
_SHORTEST_PREFIX = 3

# What a reader takes for the Latin letter. Confusables of Unicode TR39: Cyrillic, Greek, small capitals.
_LOOK_ALIKES = str.maketrans(
    "авеёкмнорстухіјѕԁԛԝһӏгαβεικνορτυχγη" + "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "abeekmhopctyxijsdqwhlrabeikvoptuxyn" + "abcdeghijklmnoprstuvwyz",
)
# Capitals that look like another Latin letter than their small ones do: "ΝΑΖΙ" is "vaζi" in small letters.
_CAPITALS = str.maketrans("ΗΜΝΥΖ", "HMNYZ")
_HAS_CAPITALS = re.compile("[ΗΜΝΥΖ\U0001d6a8-\U0001d7cb]")  # mathematical ones, too
_LEET = str.maketrans("013456789@$!|+€", "oieasgtbgasiite")
_IS_LEET = re.compile(r"[013456789@$!|+€]")
_RUN_OF_THREE = re.compile(r"(.)\1{2,}")
_NUMBERS = re.compile(r"\d+")
_KEYCAPS = re.compile("[#*0-9]\ufe0f?\u20e3")
_SEPARATORS = re.compile(r"[\W_]+")
# "he'll" is two words; "i'diot" is one that hides.
_CONTRACTION = re.compile(r"^(\w+)['’](s|t|d|m|ll|re|ve)$")
_links = LinkifyIt()
_suffixes = PublicSuffixList()  # bundled: nothing is asked of the network; read in 0.04 s of CPU, once a process
# Countries' top-level domains that are also words with which a sentence goes on.
_WORDS_TOO = frozenset(
    f"{first}{last}"
    for first, lasts in {
        "a": "dilmnstu", "b": "ey", "c": "a", "d": "eo", "e": "st", "f": "i", "h": "e", "i": "dlnst", "l": "aio",
        "m": "aeouy", "n": "aeiou", "p": "am", "r": "e", "s": "aeiot", "t": "ouv", "u": "s", "v": "ai", "w": "e",
        "y": "a",
    }.items()
    for last in lasts
)  # fmt: skip


def plain_key(text: str) -> str:
    """Key 1."""
    if text.isascii() and text.isprintable():
        return text.lower()
    # NFKD of a text's NFKC is the text's NFKD.
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (char for char in decomposed if unicodedata.category(char) not in ("Mn", "Me", "Cf") and _visible(char))
    return "".join(kept).casefold()


def skeleton_key(text: str) -> str:
    """Key 2."""
    return plain_key(text).translate(_LOOK_ALIKES)


class Terms:
    """Words and phrases, ready to be looked for."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._phrases: dict[str, str] = {}  # how it may be written -> the term as typed
        self._prefixes: dict[str, str] = {}
        self._anywhere: dict[str, str] = {}
        for term in terms:
            key = plain_key(term).strip()
            if key.endswith("*"):
                self._prefixes |= {"".join(_words(form)): term for form in _forms(key[:-1])}
            elif any(unicodedata.category(char) == "Lo" for char in key):
                self._anywhere[key] = term
            elif key:
                self._phrases |= {" ".join(_words(form)): term for form in _forms(key)}
        self._phrases.pop("", None)
        self._longest = max((phrase.count(" ") + 1 for phrase in self._phrases), default=0)
        # The words that longer phrases begin with; and a phrase spelled out letter by letter has no spaces left.
        self._begins = {phrase.split(" ")[0] for phrase in self._phrases if " " in phrase}
        self._phrases |= {phrase.replace(" ", ""): term for phrase, term in self._phrases.items()}
        self._prefixes = {prefix: term for prefix, term in self._prefixes.items() if len(prefix) >= _SHORTEST_PREFIX}
        self._prefix_sizes = sorted({len(prefix) for prefix in self._prefixes})

    def hit(self, text: str) -> bool:
        key = plain_key(text)
        if self._anywhere and not key.isascii() and any(term in key for term in self._anywhere):
            return True
        return any(self._hits(_words(form)) for form in _forms_of(text, key))

    def hits(self, text: str) -> set[str]:
        """Every term, as typed, that the text holds. Slower than `hit`: for a line that was hit."""
        key = plain_key(text)
        found = {typed for term, typed in self._anywhere.items() if term in key}
        for form in _forms_of(text, key):
            words = _words(form)
            for start, word in enumerate(words):
                found |= {self._prefixes[word[:size]] for size in self._prefix_sizes if word[:size] in self._prefixes}
                for n in range(1, self._longest + 1):
                    phrase = " ".join(words[start : start + n])
                    if phrase in self._phrases:
                        found.add(self._phrases[phrase])
        return found

    def _hits(self, words: list[str]) -> bool:
        if not self._phrases.keys().isdisjoint(words):
            return True
        for start, word in enumerate(words):
            for size in self._prefix_sizes:
                if word[:size] in self._prefixes:
                    return True
            if word in self._begins:
                for n in range(2, self._longest + 1):
                    if " ".join(words[start : start + n]) in self._phrases:
                        return True
        return False


class Ban(msgspec.Struct, frozen=True):
    """What a room's terms say of a text: `blocked` or `held`; neither: it may pass."""

    blocked: bool = False
    held: bool = False


class RoomTerms:
    """A room's terms by kind. What is allowed is taken out of a text before the others are looked for, so that it wins:
    "Scunthorpe United" allowed leaves "scunthorpe idiot" blocked by "idiot"."""

    def __init__(self, terms: Mapping[str, str]) -> None:
        def of(kind: str) -> list[str]:
            return sorted(term for term, its in terms.items() if its == kind)

        self.blocked, self.held, self.allowed = of("blocked"), of("held"), of("allowed")
        self._blocked, self._held = Terms(self.blocked), Terms(self.held)
        self._allowed = [words for term in self.allowed if (words := plain_key(term).split())]
        # A suffix that was allowed before it was one, or before it was refused, allows nothing.
        self._hosts = frozenset(
            host_of(term) for term in self.allowed if is_address(term) and not is_public_suffix(term)
        )

    def look(self, text: str) -> Ban:
        if self._allowed and (self._blocked.hit(text) or self._held.hit(text)):
            text = self._without_allowed(text)
        if self._blocked.hit(text):
            return Ban(blocked=True)
        return Ban(held=self._held.hit(text))

    def link(self, text: str) -> str:
        """ "" without a link, "listed" when each leads to an allowed address or below one, else "other". Below
        "example.co.uk" is "shop.example.co.uk"; nothing is below what anybody may have an address under, "co.uk"."""
        hosts = link_hosts(text)
        if not hosts:
            return ""
        return "listed" if all(self._is_listed(host) for host in hosts) else "other"

    def _is_listed(self, host: str) -> bool:
        labels = host_of(host).split(".")
        return any(".".join(labels[start:]) in self._hosts for start in range(len(labels) - 1))

    def _without_allowed(self, text: str) -> str:
        words = text.split()
        keys = [plain_key(word).strip('.,;:!?…"()«»') for word in words]
        at, kept = 0, []
        while at < len(words):
            n = next((len(term) for term in self._allowed if keys[at : at + len(term)] == term), 0)
            if not n:
                kept.append(words[at])
            at += n or 1
        return " ".join(kept)


def imitates(name: str, crew: Iterable[str]) -> bool:
    """Whether a viewer's `name` would be taken for one of the `crew`'s names, or for an office."""
    return is_office(name) or not name_keys(name).isdisjoint(key for other in crew for key in name_keys(other))


def is_office(name: str) -> bool:
    """Whether it says that someone is in charge."""
    return not name_keys(name).isdisjoint(_OFFICES)


def has_link(text: str) -> bool:
    return bool(link_hosts(text))


def link_hosts(text: str) -> list[str]:
    """The hosts that the text's links lead to, lower case, without `www.`."""
    # Nothing is a link without one of these; most lines have none.
    if not ("." in text or "://" in text or "@" in text) or not _links.test(text):
        return []
    hosts = []
    for match in _links.match(text) or []:
        rest = match.url.partition(":")[2].lstrip("/")
        host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].lower().removeprefix("www.")
        # "nice.is it wool" forgot a space and leads nowhere.
        if not match.schema and host.count(".") == 1 and "/" not in match.raw and host[-2:] in _WORDS_TOO:
            continue
        hosts.append(host.partition(":")[0].rstrip("."))
    return hosts


def host_of(address: str) -> str:
    """A host as it is looked up: lower case, without `www.` and a last dot, in its ASCII form (IDNA)."""
    host = address.lower().removeprefix("www.").rstrip(".")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def is_address(term: str) -> bool:
    """Whether an allowed term is a host, for the link rule `listed`."""
    return "." in host_of(term) and " " not in term


def is_public_suffix(address: str) -> bool:
    """Whether anybody may have an address under it: "com", "co.uk", "github.io" (publicsuffix.org, as bundled)."""
    host = host_of(address)
    return _suffixes.publicsuffix(host) == host


def is_emote(text: str) -> bool:
    """Nothing but emoji, punctuation and space, and at least one emoji."""
    is_one = False
    for char in text:
        category = unicodedata.category(char)
        if category[0] in "LN" and char not in "\u20e3#*0123456789":
            return False
        is_one = is_one or category == "So" or char == "\u20e3"
    return is_one and not any(char.isdigit() for char in _KEYCAPS.sub("", text))


def is_repeat(text: str, recent: Sequence[str]) -> bool:
    """Whether `text` says again what the person's `recent` lines (keys of the last 30 s) already said twice.

    What differs in a number says something else: "in 36?" and "in 38?" are two questions."""
    key = plain_key(text)
    numbers = _NUMBERS.findall(key)
    alike = 0
    for said in recent:
        if said == key:
            alike += 1
        elif len(key) > _SHORT_CHARS and numbers == _NUMBERS.findall(said):
            alike += fuzz.ratio(key, said) >= _ALIKE_PERCENT
    return alike >= REPEATS_ALLOWED


def _forms_of(text: str, key: str) -> set[str]:
    """Those of a text whose key 1 is `key`, its capitals as they look included."""
    capitals = _as_capitals_look(text)
    return _forms(key) if capitals is None else _forms(key) | _forms(plain_key(capitals))


def _as_capitals_look(text: str) -> str | None:
    """The text with Greek capitals as Latin ones; None without any."""
    if text.isascii() or not _HAS_CAPITALS.search(text):
        return None
    return unicodedata.normalize("NFKD", text).translate(_CAPITALS)


def _forms(key: str) -> set[str]:
    """The ways a key-1 text may be meant: as it is, as it looks, as leet, with stretched letters said once or twice."""
    forms = {key}
    seen_as = key
    if not key.isascii():
        seen_as = key.translate(_LOOK_ALIKES)
        forms.add(seen_as)
    if _IS_LEET.search(seen_as):
        forms.add(" ".join(word if word.isdigit() else word.translate(_LEET) for word in seen_as.split()))
    if any(_RUN_OF_THREE.search(form) for form in forms):
        forms |= {_RUN_OF_THREE.sub(by, form) for form in forms for by in (r"\1", r"\1\1")}
    return forms


def name_keys(name: str) -> frozenset[str]:
    """Two names that look the same have one of these in common."""
    capitals = _as_capitals_look(name)
    return frozenset({_name_key(name)} if capitals is None else {_name_key(name), _name_key(capitals)})


def _name_key(name: str) -> str:
    letters = _SEPARATORS.sub("", plain_key(name).translate(_LOOK_ALIKES).translate(_LEET))
    # "l" and "I", "rn" and "m", "vv" and "w" are one to a reader.
    return letters.replace("l", "i").replace("rn", "m").replace("vv", "w")


# The keys of names that say someone is in charge.
_OFFICES = {_name_key(word) for word in ("admin", "administrator", "moderator", "mod", "staff", "host", "support")}


def _words(text: str) -> list[str]:
    """Words without separators inside them; letters spelled out one by one are a word too."""
    words: list[str] = []
    spelled = ""
    for chunk in text.split():
        letters = chunk if chunk.isalnum() else _SEPARATORS.sub("", chunk)
        if len(letters) == 1:
            spelled += letters
            continue
        if spelled:
            words.append(spelled)
            spelled = ""
        if letters is chunk:
            words.append(chunk)
        elif letters:
            # "bad-word" hides "badword" and says "bad word": look at both.
            parts = [part for part in _SEPARATORS.split(chunk) if part]
            if not _CONTRACTION.match(chunk.strip('.,;:!?…"()')):
                words.append(letters)
            if len(parts) > 1:
                words.extend(parts)
    if spelled:
        words.append(spelled)
    return words


def _visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) != "Cc"
