"""Events to merchants' own systems, by Standard Webhooks.

kinds.py       what is told, and in which shape
endpoints.py   where it goes: addresses, secrets and their rotation, which kinds; switched off and on
deliveries.py  one event to one endpoint: fan out, claim, record, log, replay
way_out.py     the only way to a merchant's address: refused at connect time unless it is the public internet
postbox.py     posts what is due, each endpoint at its own pace
"""
