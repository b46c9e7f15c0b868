"""The whole server with a relay, and one show on air that a camera publishes."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "relay"))  # its camera and viewer
