"""The room: sockets, fan-out, presence, history, talk and its moderation.

It carries `{seq, kind, at, body}` between people in a room and never learns what a card or an order is: `live` gives
it a Gate (who is at the door), a Scene (its part of the snapshot) and an Archive (what must outlive Redis), registers
its intents with `Hub.on` and publishes with `RedisBus.publish`. Nothing here imports `live`.
"""
