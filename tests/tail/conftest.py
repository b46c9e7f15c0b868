"""The tail's tests make their RTP and publish like the relay's."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "relay"))
