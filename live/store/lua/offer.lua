-- Gives one unit that came back to the first who waits for it: her hold and her bag's line, and her place is used up.
-- KEYS    1 gate  2 holds  3 held  4 cart  5 owned  6 queue  7 queues  8 lapsed
-- ARGV    1 now_ms  2 cart that should be first  3 sku  4 until_ms  5 units a buyer may hold or own
--         6 cart line (JSON)  7 cart_ttl_s
-- RETURNS 'OK <left> <rev>' | 'SKIPPED' (she has all she may) | 'MOVED' (another is first) | 'NONE' (no unit) | 'NOGATE'
local gate, holds, held, cart, owned, queue, queues, lapsed = unpack(KEYS)
local now, who, sku = ARGV[1], ARGV[2], ARGV[3]
local member = who .. '|' .. sku
if redis.call('EXISTS', gate) == 0 then return 'NOGATE' end
if redis.call('ZRANGE', queue, 0, 0)[1] ~= who then return 'MOVED' end
purge(gate, holds, held, lapsed, now, 100)
local left = left_of(gate, sku)
if left < 1 then return 'NONE' end

redis.call('ZREM', queue, who)
redis.call('HDEL', cart, 'w:' .. sku)
if redis.call('EXISTS', queue) == 0 then redis.call('HDEL', queues, sku) end
local units = tonumber(redis.call('HGET', held, member) or '0')
if units + tonumber(redis.call('HGET', owned, member) or '0') + 1 > tonumber(ARGV[5]) then
  cart_changed(cart, now, ARGV[7])
  return 'SKIPPED'
end
local now_left, rev = set_left(gate, sku, left - 1)
redis.call('HINCRBY', gate, 'held', 1)
redis.call('HSET', held, member, whole(units + 1))
redis.call('ZADD', holds, 'GT', ARGV[4], member)
redis.call('HSET', cart, 'l:' .. sku, ARGV[6], 'q:' .. sku, whole(units + 1), 'b:' .. sku, ARGV[4])
cart_changed(cart, now, ARGV[7])
return 'OK ' .. now_left .. ' ' .. rev
