-- Gives one unit that came back to the first who waits for it: her hold and her bag's line, and her place is used up.
-- She is noted as one who is to be told, until somebody has (told.lua): whoever offered may die before.
-- KEYS    1 gate  2 holds  3 held  4 cart  5 owned  6 queue  7 queues  8 lapsed  9 stage  10 op  11 untold
-- ARGV    1 now_ms  2 cart that should be first  3 sku  4 until_ms  5 units of the SKU a buyer may hold or own
--         6 cart line (JSON)  7 cart_ttl_s  8 opens_ms or 0  9 closes_ms or 0  10 the stage's version as read, or '*'
--         11 op_ttl_s  12 number of caps, then these (shared.lua)
-- RETURNS 'OK <left> <rev>' | 'SKIPPED' (she has all she may) | 'MOVED' (another is first) | 'NONE' (no unit) | 'NOGATE' |
--         'STALE' | 'NOT_OPEN <opens_ms>' | 'CLOSED <closes_ms>'. The same op again: the first answer, if it was one of
--         the first two.
local gate, holds, held, cart, owned, queue, queues, lapsed, stage, op, untold = unpack(KEYS)
local now, who, sku = ARGV[1], ARGV[2], ARGV[3]
local member = who .. '|' .. sku
local first = redis.call('GET', op)
if first then return first end
if redis.call('EXISTS', gate) == 0 then return 'NOGATE' end
local no = refusal(stage, ARGV[10], now, ARGV[8], ARGV[9])
if no then return no end
if redis.call('ZRANGE', queue, 0, 0)[1] ~= who then return 'MOVED' end
purge(gate, holds, held, lapsed, now, 100)
local left = left_of(gate, sku)
if left < 1 then return 'NONE' end

redis.call('ZREM', queue, who)
redis.call('HDEL', cart, 'w:' .. sku)
if redis.call('EXISTS', queue) == 0 then redis.call('HDEL', queues, sku) end
redis.call('ZADD', untold, now, who)
local has = taken_by(holds, held, owned, member, now)
local answer
if has + 1 > tonumber(ARGV[5]) or over_cap(holds, held, owned, who, 1, now, 12) then
  answer = 'SKIPPED'
else
  local units = tonumber(redis.call('HGET', held, member) or '0')
  local now_left, rev = set_left(gate, sku, left - 1)
  redis.call('HINCRBY', gate, 'held', 1)
  redis.call('HSET', held, member, whole(units + 1))
  redis.call('ZADD', holds, 'GT', ARGV[4], member)
  redis.call('HSET', cart, 'l:' .. sku, ARGV[6], 'q:' .. sku, whole(units + 1), 'b:' .. sku, ARGV[4])
  answer = 'OK ' .. now_left .. ' ' .. rev
end
cart_changed(cart, now, ARGV[7])
redis.call('SET', op, answer, 'EX', ARGV[11])
return answer
