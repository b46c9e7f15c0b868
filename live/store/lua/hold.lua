-- Sets units aside for a cart and writes the cart's line: all of it or nothing.
-- Where people wait for the SKU, its units are theirs: only the first of them may take one. Not of a hot drop, whose
-- line decides.
-- KEYS    1 gate  2 holds  3 held  4 lapsed  5 cart  6 op  7 owned  8 queue  9 stage
--         of a hot drop also  10 turns  11 took
-- ARGV    1 now_ms  2 cart  3 sku  4 units more  5 until_ms  6 units of the SKU a buyer may hold or own
--         7 cart line (JSON) or ''  8 op_ttl_s  9 cart_ttl_s  10 opens_ms or 0  11 closes_ms or 0
--         12 the stage's version as read, or '*'  13 number of caps, then these (shared.lua)
-- RETURNS 'OK <units held> <until_ms> <left> <rev>' | 'SOLD_OUT <left>' | 'OVER_LIMIT <limit> <cap>' | 'UNKNOWN' |
--         'NOGATE' | 'STALE' (read the programme again) | 'NOT_OPEN <opens_ms>' | 'CLOSED <closes_ms>' | 'IN_LINE'
--         The same op again: the first answer, of those that the stock gave.
local gate, holds, held, lapsed, cart, op, owned, queue, stage, turns, took = unpack(KEYS)
local now, who, sku, more, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local member = who .. '|' .. sku

local first = redis.call('GET', op)
if first then return first end
if redis.call('EXISTS', gate) == 0 then return 'NOGATE' end
if redis.call('HEXISTS', gate, 'n:' .. sku) == 0 then return 'UNKNOWN' end
local no = refusal(stage, ARGV[12], now, ARGV[10], ARGV[11])
if no then return no end
local window, used
if turns then
  window = tonumber(redis.call('ZSCORE', turns, who) or '0')
  used = tonumber(redis.call('ZSCORE', took, who) or '0')
  if math.max(window, used) <= tonumber(now) then return 'IN_LINE' end
end
purge(gate, holds, held, lapsed, now, 100)

local units = tonumber(redis.call('HGET', held, member) or '0')
local left = left_of(gate, sku)
-- Her own hold that ran out, should the purge not have reached it: it must not keep her from the piece.
if units > 0 and tonumber(redis.call('ZSCORE', holds, member) or '0') <= tonumber(now) then
  drop_hold(gate, holds, held, member)
  left = left + units
  put_back(gate, sku, units)
  units = 0
end
local bought = tonumber(redis.call('HGET', owned, member) or '0')
local answer
if units + bought + more > limit then
  answer = 'OVER_LIMIT ' .. whole(limit) .. ' piece'
elseif ARGV[13] ~= '0' then
  answer = over_cap(holds, held, owned, who, more, now, 13)
end
if answer then -- a cap says no
elseif left < more then
  answer = 'SOLD_OUT ' .. shown(left)
elseif not turns and redis.call('EXISTS', queue) == 1 and redis.call('ZRANK', queue, who) ~= 0 then
  answer = 'SOLD_OUT 0'
else
  local until_ms = math.max(tonumber(ARGV[5]), tonumber(redis.call('ZSCORE', holds, member) or '0'))
  local now_left, rev = set_left(gate, sku, left - more)
  redis.call('HINCRBY', gate, 'held', more)
  redis.call('HSET', held, member, whole(units + more))
  redis.call('ZADD', holds, whole(until_ms), member)
  if redis.call('ZREM', queue, who) == 1 then redis.call('HDEL', cart, 'w:' .. sku) end
  if turns and redis.call('ZREM', turns, who) == 1 then redis.call('ZADD', took, whole(window), who) end
  if ARGV[7] ~= '' then
    redis.call('HSET', cart, 'l:' .. sku, ARGV[7], 'q:' .. sku, whole(units + more), 'b:' .. sku, ARGV[5])
    cart_changed(cart, now, ARGV[9])
  end
  answer = table.concat({'OK', whole(units + more), whole(until_ms), now_left, rev}, ' ')
end
redis.call('SET', op, answer, 'EX', ARGV[8])
return answer
