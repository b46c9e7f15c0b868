-- Puts a cart at the end of the queue for a SKU that is sold out; who waits already keeps her place.
-- KEYS    1 gate  2 cart  3 queue  4 queues  5 stage
-- ARGV    1 now_ms  2 cart  3 sku  4 queues one cart may be in  5 cart_ttl_s  6 opens_ms or 0  7 closes_ms or 0
--         8 the stage's version as read, or '*'
-- RETURNS 'OK' | 'FREE' (there is one: hold it) | 'OVER_LIMIT' | 'UNKNOWN' | 'NOGATE' | 'STALE' | 'NOT_OPEN <opens_ms>' |
--         'CLOSED <closes_ms>'
local gate, cart, queue, queues, stage = unpack(KEYS)
local now, who, sku = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', gate) == 0 then return 'NOGATE' end
if redis.call('HEXISTS', gate, 'n:' .. sku) == 0 then return 'UNKNOWN' end
local no = refusal(stage, ARGV[8], now, ARGV[6], ARGV[7])
if no then return no end
if redis.call('ZRANK', queue, who) then return 'OK' end
if left_of(gate, sku) > 0 and redis.call('EXISTS', queue) == 0 then return 'FREE' end
local waits = 0
for _, field in ipairs(redis.call('HKEYS', cart)) do
  if string.sub(field, 1, 2) == 'w:' then waits = waits + 1 end
end
if waits >= tonumber(ARGV[4]) then return 'OVER_LIMIT' end
redis.call('ZADD', queue, whole(redis.call('HINCRBY', queues, '#', 1)), who)
redis.call('HSET', queues, sku, '1')
redis.call('HSET', cart, 'w:' .. sku, '1')
redis.call('EXPIRE', queue, ARGV[5])
redis.call('EXPIRE', queues, ARGV[5])
cart_changed(cart, now, ARGV[5])
return 'OK'
