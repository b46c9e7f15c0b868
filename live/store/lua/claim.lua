-- A paid order takes its units: out of the cart's holds, and what they lack out of stock. All lines or none.
-- The claim stands until the sale is a fact in SQL (consume.lua) or is called off (unclaim.lua).
-- KEYS    1 gate  2 holds  3 held  4 lapsed  5 cart  6 claims  7 owned  8 the order's mark (consume.lua)
-- ARGV    1 now_ms  2 cart  3 order  4 cart_ttl_s  then sku, units, …
-- RETURNS {'OK', epoch, for each level that moved: sku, left, rev} | {'SHORT', sku, left} | {'NOGATE'}
--         The same order again, also after its sale: {'OK', epoch}.
local gate, holds, held, lapsed, cart, claims, owned, mark = unpack(KEYS)
local now, who, order = ARGV[1], ARGV[2], ARGV[3]

local epoch = redis.call('HGET', gate, 'epoch')
if not epoch then return {'NOGATE'} end
if redis.call('HEXISTS', claims, order) == 1 or redis.call('EXISTS', mark) == 1 then return {'OK', epoch} end
purge(gate, holds, held, lapsed, now, 100)

for i = 5, #ARGV, 2 do
  -- A hold past its time that the purge did not reach does not count: its units belong to stock.
  local member = who .. '|' .. ARGV[i]
  if tonumber(redis.call('ZSCORE', holds, member) or '0') <= tonumber(now) then
    local units = drop_hold(gate, holds, held, member)
    if units > 0 then put_back(gate, ARGV[i], units) end
  end
  local units = tonumber(redis.call('HGET', held, member) or '0')
  local left = math.max(0, left_of(gate, ARGV[i])) -- who holds may pay, though staff took units away: SQL says who is first
  if units + left < tonumber(ARGV[i + 1]) then return {'SHORT', ARGV[i], whole(left)} end
end

local answer, lines = {'OK', epoch}, {}
for i = 5, #ARGV, 2 do
  local sku, units = ARGV[i], tonumber(ARGV[i + 1])
  local member = who .. '|' .. sku
  local from_hold = math.min(units, tonumber(redis.call('HGET', held, member) or '0'))
  if from_hold > 0 then
    redis.call('HINCRBY', gate, 'held', -from_hold)
    if redis.call('HINCRBY', held, member, -from_hold) == 0 then
      redis.call('HDEL', held, member)
      redis.call('ZREM', holds, member)
    else
      redis.call('HSET', cart, 'q:' .. sku, redis.call('HGET', held, member))
    end
  end
  if units > from_hold then
    local left, rev = set_left(gate, sku, left_of(gate, sku) - (units - from_hold))
    table.insert(answer, sku)
    table.insert(answer, left)
    table.insert(answer, rev)
  end
  if redis.call('HEXISTS', held, member) == 0 then
    redis.call('HDEL', cart, 'l:' .. sku, 'q:' .. sku, 'b:' .. sku)
  end
  redis.call('HINCRBY', owned, member, units)
  lines[sku] = units
end
redis.call('HDEL', cart, 'paying')
cart_changed(cart, now, ARGV[4])
redis.call('HSET', claims, order, cjson.encode({cart = who, lines = lines}))
return answer
