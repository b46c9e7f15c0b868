"""Both engines: our relays with a real publisher, and LiveKit's API on a real socket."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "relay"))  # relay_stage: a whole relay in one process
