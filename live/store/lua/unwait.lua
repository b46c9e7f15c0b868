-- Takes a cart out of the queue for a SKU. One that does not wait is no error.
-- KEYS    1 cart  2 queue  3 queues
-- ARGV    1 now_ms  2 cart  3 sku  4 cart_ttl_s
-- RETURNS 1 when it waited, else 0
local cart, queue, queues = unpack(KEYS)
local waited = redis.call('ZREM', queue, ARGV[2])
if redis.call('EXISTS', queue) == 0 then redis.call('HDEL', queues, ARGV[3]) end
if redis.call('HDEL', cart, 'w:' .. ARGV[3]) == 1 then cart_changed(cart, ARGV[1], ARGV[4]) end
return waited
