-- The sale is a fact in SQL: its claim is done with.
-- KEYS    1 gate  2 claims
-- ARGV    1 order
-- RETURNS {epoch or '', 1 when the claim was there}
local gate, claims = unpack(KEYS)
local done = redis.call('HDEL', claims, ARGV[1])
-- Counted, so that a reconcile that read SQL before this sale sees that it is late.
if done == 1 then redis.call('HINCRBY', gate, 'consumed', 1) end
return {redis.call('HGET', gate, 'epoch') or '', done}
