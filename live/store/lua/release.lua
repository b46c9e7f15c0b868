-- Gives a cart's units of one SKU back to stock and takes the line out of the cart.
-- KEYS    1 gate  2 holds  3 held  4 cart  5 op
-- ARGV    1 now_ms  2 cart  3 sku  4 op_ttl_s  5 cart_ttl_s
-- RETURNS 'OK <units given back> <left> <rev>' | 'NOGATE'. A line that was not there is no error.
--         The same op again: the first answer.
local gate, holds, held, cart, op = unpack(KEYS)
local sku = ARGV[3]

local first = redis.call('GET', op)
if first then return first end
if redis.call('EXISTS', gate) == 0 then return 'NOGATE' end

local units = drop_hold(gate, holds, held, ARGV[2] .. '|' .. sku)
if units > 0 then put_back(gate, sku, units) end
if redis.call('HDEL', cart, 'l:' .. sku, 'q:' .. sku, 'b:' .. sku) > 0 then cart_changed(cart, ARGV[1], ARGV[5]) end
local answer = 'OK ' .. whole(units) .. ' ' .. shown(left_of(gate, sku)) .. ' ' .. (redis.call('HGET', gate, 'r:' .. sku) or '0')
redis.call('SET', op, answer, 'EX', ARGV[4])
return answer
