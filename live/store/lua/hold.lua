-- Sets units aside for a cart and writes the cart's line: all of it or nothing.
-- Where people wait for the SKU, its units are theirs: only the first of them may take one.
-- KEYS    1 gate  2 holds  3 held  4 lapsed  5 cart  6 op  7 owned  8 queue
-- ARGV    1 now_ms  2 cart  3 sku  4 units more  5 until_ms  6 units a buyer may hold or own
--         7 cart line (JSON) or ''  8 op_ttl_s  9 cart_ttl_s
-- RETURNS 'OK <units held> <until_ms> <left> <rev>' | 'SOLD_OUT <left>' | 'OVER_LIMIT <limit>' | 'UNKNOWN' | 'NOGATE'
--         The same op again: the first answer.
local gate, holds, held, lapsed, cart, op, owned, queue = unpack(KEYS)
local now, sku, more, limit = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local member = ARGV[2] .. '|' .. sku

local first = redis.call('GET', op)
if first then return first end
if redis.call('EXISTS', gate) == 0 then return 'NOGATE' end
if redis.call('HEXISTS', gate, 'n:' .. sku) == 0 then return 'UNKNOWN' end
purge(gate, holds, held, lapsed, now, 100)

local units = tonumber(redis.call('HGET', held, member) or '0')
local bought = tonumber(redis.call('HGET', owned, member) or '0')
local left = left_of(gate, sku)
local answer
if units + bought + more > limit then
  answer = 'OVER_LIMIT ' .. whole(limit)
elseif left < more then
  answer = 'SOLD_OUT ' .. whole(left)
elseif redis.call('EXISTS', queue) == 1 and redis.call('ZRANK', queue, ARGV[2]) ~= 0 then
  answer = 'SOLD_OUT 0'
else
  local until_ms = math.max(tonumber(ARGV[5]), tonumber(redis.call('ZSCORE', holds, member) or '0'))
  local now_left, rev = set_left(gate, sku, left - more)
  redis.call('HINCRBY', gate, 'held', more)
  redis.call('HSET', held, member, whole(units + more))
  redis.call('ZADD', holds, whole(until_ms), member)
  if redis.call('ZREM', queue, ARGV[2]) == 1 then redis.call('HDEL', cart, 'w:' .. sku) end
  if ARGV[7] ~= '' then
    redis.call('HSET', cart, 'l:' .. sku, ARGV[7], 'q:' .. sku, whole(units + more), 'b:' .. sku, ARGV[5])
    cart_changed(cart, now, ARGV[9])
  end
  answer = table.concat({'OK', whole(units + more), whole(until_ms), now_left, rev}, ' ')
end
redis.call('SET', op, answer, 'EX', ARGV[8])
return answer
