"""Identifiers and signed links keep their form however quickly they are made."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

from live.ids import new_id, sign, signed, unsign


def test_an_id_is_its_prefix_and_a_ulid_that_sorts_by_birth() -> None:
    ids = [new_id("ord") for _ in range(2000)]
    assert all(re.fullmatch(r"ord_[0-7][0-9a-hjkmnp-tv-z]{25}", one) for one in ids)
    assert [one[:14] for one in ids] == sorted(one[:14] for one in ids)


def test_no_two_threads_and_no_two_processes_draw_the_same_id() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: new_id("x"), range(8000)))
    assert len({one[-16:] for one in made}) == 8000
    out, into = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads that may be there; the child uses none
        child = os.fork()
    if child == 0:
        os.write(into, new_id("x")[-16:].encode())
        os._exit(0)
    assert os.read(out, 16).decode() != new_id("x")[-16:], "a child inherits no drawn bits"
    os.waitpid(child, 0)


def test_a_tag_is_hmac_sha256_of_purpose_and_text() -> None:
    expected = hmac.new(b"key", b"order\0ord_1", hashlib.sha256).hexdigest()[:32]
    assert sign("key", "order", "ord_1") == sign("key", "order", "ord_1") == expected
    assert unsign("key", "order", signed("key", "order", "ord_1")) == "ord_1"
    assert unsign("key", "other", signed("key", "order", "ord_1")) is None
