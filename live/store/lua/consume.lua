-- The sale is a fact in SQL: its claim is done with.
-- KEYS    1 gate  2 claims  3 the order's mark
-- ARGV    1 order  2 mark_ttl_s
-- RETURNS {epoch or '', 1 when the claim was there}
local gate, claims, mark = unpack(KEYS)
local done = redis.call('HDEL', claims, ARGV[1])
-- Counted, so that a reconcile that read SQL before this sale sees that it is late.
if done == 1 then redis.call('HINCRBY', gate, 'consumed', 1) end
-- A second process that settles the same order a moment later must not claim its units anew.
redis.call('SET', mark, 'sold', 'EX', ARGV[2])
return {redis.call('HGET', gate, 'epoch') or '', done}
