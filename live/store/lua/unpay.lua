-- The payment came to nothing: the holds fall back to their own expiry, with a little time to try again.
-- KEYS    1 holds  2 cart
-- ARGV    1 now_ms  2 cart  3 order  4 grace_ms  5 cart_ttl_s
-- RETURNS 1, or 0 when the cart is not paying for that order
local holds, cart = unpack(KEYS)
if redis.call('HGET', cart, 'paying') ~= ARGV[3] then return 0 end
redis.call('HDEL', cart, 'paying')
for _, field in ipairs(redis.call('HKEYS', cart)) do
  if string.sub(field, 1, 2) == 'b:' then
    local own = tonumber(redis.call('HGET', cart, field))
    local until_ms = math.max(own, tonumber(ARGV[1]) + tonumber(ARGV[4]))
    redis.call('ZADD', holds, 'XX', 'LT', whole(until_ms), ARGV[2] .. '|' .. string.sub(field, 3))
  end
end
cart_changed(cart, ARGV[1], ARGV[5])
return 1
