"""Which edition of a record a form was filled in from.

Two of the staff may have one form open. Who saves second is told what changed meanwhile, instead of undoing it in
silence: the form carries the edition it was made from, and the transaction that saves compares it with what stands.
"""

from __future__ import annotations

import hashlib

import msgspec

from live.errors import Edited


def edition_of(*facts: object) -> str:
    """A short digest of what a form shows. The same facts have the same one."""
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()[:16]


def same(asked: str, *facts: object) -> None:
    """Raises Edited when `asked` is another edition than these facts'. "" asks nothing: who saves doesn't care."""
    if asked and asked != edition_of(*facts):
        raise Edited()
