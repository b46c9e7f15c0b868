-- Gives a cart's line its new price.
-- KEYS    1 cart
-- ARGV    1 field (l:<sku>)  2 price in minor units  3 now_ms  4 cart_ttl_s
-- RETURNS 1, or 0 when the line is gone
local line = redis.call('HGET', KEYS[1], ARGV[1])
if not line then return 0 end
-- cjson would turn an absent `at_ms` into a userdata and long integers into floats: only the figure is touched.
line = string.gsub(line, '("price":{"minor":)%d+', '%1' .. ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], line)
cart_changed(KEYS[1], ARGV[3], ARGV[4])
return 1
