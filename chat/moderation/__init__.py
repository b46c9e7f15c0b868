"""Keeping the talk fit to read: `rules` decide (pure), `store` keeps what was decided."""
