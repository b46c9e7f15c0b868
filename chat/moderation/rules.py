"""What may be said. Pure: text in, a reason or None out.

Text is matched on keys and never shown or kept as one (a skeleton mangles real Russian). Per word:

    key 1  NFKC, NFKD, without marks, format and control characters, casefolded: zalgo, zero-width, full-width,
           mathematical letters
    key 2  key 1 with Cyrillic, Greek and small-capital look-alikes as Latin letters (a small part of Unicode TR39's
           skeleton)
    key 3  key 2 with leet digits as letters, separators stripped, letters said thrice or more said once or twice

Words are compared whole, so that a term never hits inside an innocent longer word; `term*` also hits what begins with
it. In scripts that don't put spaces between words a term is looked for anywhere. Time per line: at most words × longest
term lookups, no backtracking. What a line is not (not ASCII, no digits, nothing stretched) is found out first: most
lines have one form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from linkify_it import LinkifyIt
from rapidfuzz import fuzz

MAX_TERM_CHARS = 80
MAX_TERMS = 1_000
TIMEOUT_S = (10, 28 * 24 * 3600)
MAX_SLOW_S = 3_600
FLOOD_LINES, FLOOD_MS = 20, 30_000
REPEAT_WITHIN_MS = 30_000
REPEATS_ALLOWED = 2
_ALIKE_PERCENT = 90
_SHORTEST_PREFIX = 3

# What a reader takes for the Latin letter. Confusables of Unicode TR39: Cyrillic, Greek, small capitals.
_LOOK_ALIKES = str.maketrans(
    "авеёкмнорстухіјѕԁԛԝһӏгαβεικνορτυχγη" + "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "abeekmhopctyxijsdqwhlrabeikvoptuxyn" + "abcdeghijklmnoprstuvwyz",
)
_LEET = str.maketrans("013456789@$!|+€", "oieasgtbgasiite")
_IS_LEET = re.compile(r"[013456789@$!|+€]")
_RUN_OF_THREE = re.compile(r"(.)\1{2,}")
_SEPARATORS = re.compile(r"[\W_]+")
# "he'll" is two words; "i'diot" is one that hides.
_CONTRACTION = re.compile(r"^(\w+)['’](s|t|d|m|ll|re|ve)$")
_links = LinkifyIt()


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
    """A room's blocked terms, ready to be looked for."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._phrases: set[str] = set()
        self._prefixes: set[str] = set()
        self._anywhere: set[str] = set()
        for term in terms:
            key = plain_key(term).strip()
            if key.endswith("*"):
                self._prefixes |= {"".join(_words(form)) for form in _forms(key[:-1])}
            elif any(unicodedata.category(char) == "Lo" for char in key):
                self._anywhere.add(key)
            elif key:
                self._phrases |= {" ".join(_words(form)) for form in _forms(key)}
        self._phrases.discard("")
        self._longest = max((phrase.count(" ") + 1 for phrase in self._phrases), default=0)
        # The words that longer phrases begin with; and a phrase spelled out letter by letter has no spaces left.
        self._begins = {phrase.split(" ")[0] for phrase in self._phrases if " " in phrase}
        self._phrases |= {phrase.replace(" ", "") for phrase in self._phrases}
        self._prefixes = {prefix for prefix in self._prefixes if len(prefix) >= _SHORTEST_PREFIX}
        self._prefix_sizes = sorted({len(prefix) for prefix in self._prefixes})

    def hit(self, text: str) -> bool:
        key = plain_key(text)
        if not key.isascii() and any(term in key for term in self._anywhere):
            return True
        return any(self._hits(_words(form)) for form in _forms(key))

    def _hits(self, words: list[str]) -> bool:
        if not self._phrases.isdisjoint(words):
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


def imitates(name: str, crew: Iterable[str]) -> bool:
    """Whether a viewer's `name` would be taken for one of the `crew`'s names, or for an office."""
    key = _name_key(name)
    return key in _OFFICES or key in map(_name_key, crew)


def has_link(text: str) -> bool:
    return bool(_links.test(text))


def is_repeat(text: str, recent: Sequence[str]) -> bool:
    """Whether `text` says again what the person's `recent` lines (keys of the last 30 s) already said twice."""
    key = plain_key(text)
    return sum(fuzz.ratio(key, said) >= _ALIKE_PERCENT for said in recent) >= REPEATS_ALLOWED


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


def _name_key(name: str) -> str:
    """What two names that look the same have in common."""
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
