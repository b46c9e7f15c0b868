-- Keeps a cart's holds while its buyer pays: every line must still be in force, else nothing changes.
-- KEYS    1 gate  2 holds  3 held  4 cart
-- ARGV    1 now_ms  2 cart  3 order  4 until_ms  5 most_ms beyond the hold's own expiry  6 cart_ttl_s
--         7 '1': also when the cart is being paid for already
-- RETURNS {'OK', for each line: line (JSON), units} | {'PAYING'} | {'LAPSED', sku…} | {'EMPTY'} | {'NOGATE'}
local gate, holds, held, cart = unpack(KEYS)
local now = tonumber(ARGV[1])

if redis.call('EXISTS', gate) == 0 then return {'NOGATE'} end
if ARGV[7] ~= '1' and redis.call('HEXISTS', cart, 'paying') == 1 then return {'PAYING'} end
local skus, gone = {}, {'LAPSED'}
for _, field in ipairs(redis.call('HKEYS', cart)) do
  if string.sub(field, 1, 2) == 'l:' then
    local sku = string.sub(field, 3)
    table.insert(skus, sku)
    if tonumber(redis.call('ZSCORE', holds, ARGV[2] .. '|' .. sku) or '0') <= now then table.insert(gone, sku) end
  end
end
if #skus == 0 then return {'EMPTY'} end
if #gone > 1 then return gone end

local answer = {'OK'}
for _, sku in ipairs(skus) do
  local member = ARGV[2] .. '|' .. sku
  -- Bounded from the hold's own expiry: asking to pay again and again does not keep a piece from the others.
  local own = tonumber(redis.call('HGET', cart, 'b:' .. sku) or ARGV[1])
  local until_ms = math.min(tonumber(ARGV[4]), own + tonumber(ARGV[5]))
  redis.call('ZADD', holds, 'XX', 'GT', whole(until_ms), member)
  table.insert(answer, redis.call('HGET', cart, 'l:' .. sku))
  table.insert(answer, redis.call('HGET', held, member))
end
redis.call('HSET', cart, 'paying', ARGV[3])
cart_changed(cart, ARGV[1], ARGV[6])
return answer
