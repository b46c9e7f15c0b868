"""Frontrow: the show and the shop. `live` imports `chat`; the arrows are in docs/architecture.md."""
