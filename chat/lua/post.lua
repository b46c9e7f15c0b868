-- A line of talk: answers a repeat with its first result, checks what must not race (silence, slow mode, flood),
-- then appends, numbers and publishes as publish.lua does.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 lines by this person (zset), 5 op (string), 6 pace (zset),
--       7 silences (hash), 8 mode (hash), 9 who (hash)
-- ARGV  1 epoch to use if the room has none, 2 envelope up to the line's id, 3 envelope from after it,
--       4 numbers kept, 5 channel, 6 seconds the room's keys live on, 7 now (ms), 8 person, 9 device, 10 "1": exempt
--       from silence and pace, 11 op, 12 flood: lines, 13 flood: within ms, 14 who (JSON), 15 lines a join replays,
--       16 op's life (ms), 17 author as told on the bus
-- Returns {'posted' | 'again', epoch, seq} | {'unloaded'} | {'silenced', until_ms .. ' ' .. record}
--       | {'slow', retry_ms, slow_s} | {'flood', retry_ms}
local again = redis.call('GET', KEYS[5])
if again then
  local epoch, seq = string.match(again, '^(%S+) (%d+)$')
  return {'again', epoch, tonumber(seq)}
end
local now = tonumber(ARGV[7])
if ARGV[10] ~= '1' then
  if redis.call('HEXISTS', KEYS[7], 'loaded') == 0 then return {'unloaded'} end
  local found = redis.call('HMGET', KEYS[7], 'p:' .. ARGV[8], 'd:' .. ARGV[9])
  for i = 1, 2 do
    if found[i] and (i == 1 or ARGV[9] ~= '') and tonumber(string.match(found[i], '^%d+')) > now then
      return {'silenced', found[i]}
    end
  end
  local slow_ms = tonumber(redis.call('HGET', KEYS[8], 'slow_s') or '0') * 1000
  local flood_ms = tonumber(ARGV[13])
  local kept_ms = math.max(flood_ms, slow_ms)
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now - kept_ms)
  if slow_ms > 0 then
    local last = redis.call('ZREVRANGE', KEYS[6], 0, 0, 'WITHSCORES')
    if last[2] and tonumber(last[2]) + slow_ms > now then
      return {'slow', tonumber(last[2]) + slow_ms - now, slow_ms / 1000}
    end
  end
  if redis.call('ZCOUNT', KEYS[6], now - flood_ms, '+inf') >= tonumber(ARGV[12]) then
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[6], now - flood_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return {'flood', tonumber(oldest[2]) + flood_ms - now + 1}
  end
  redis.call('ZADD', KEYS[6], now, ARGV[11])
  redis.call('PEXPIRE', KEYS[6], kept_ms)
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', 0)
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local envelope = '{"seq":' .. seq .. ',' .. ARGV[2] .. epoch .. '.' .. seq .. ARGV[3]
local cap = tonumber(ARGV[4])
redis.call('HSET', KEYS[2], seq, envelope)
redis.call('HDEL', KEYS[2], seq - cap)
redis.call('ZADD', KEYS[3], seq, seq)
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[15]))
redis.call('ZADD', KEYS[4], seq, seq)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', seq - cap)
for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[6]) end
redis.call('SET', KEYS[5], epoch .. ' ' .. seq, 'PX', ARGV[16])
redis.call('HSET', KEYS[9], ARGV[8], ARGV[14])
redis.call('SPUBLISH', ARGV[5], 'e ' .. epoch .. ' ' .. seq .. ' line.posted ' .. ARGV[17] .. '\n' .. envelope)
return {'posted', epoch, seq}
