"""Where `make peers` put the clients that are not ours."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def node_modules() -> Path:
    """The folder, for the versions that the Makefile names. Fails where it isn't: a client that isn't tried is no
    evidence."""
    text = (ROOT / "Makefile").read_text()
    found = [re.search(rf"^{name} := (\S+)$", text, re.MULTILINE) for name in ("WERIFT", "WHIP_WHEP", "LIVEKIT_CLIENT")]
    assert all(found)
    folder = ROOT / ".venv" / f"js-peers-{'-'.join(version[1] for version in found if version)}"
    assert (folder / "installed").is_file(), "the tests' clients from npm are not here: `make peers` installs them"
    return folder / "node_modules"
