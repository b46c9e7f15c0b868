-- Pins a line as it stands in the log, or takes the pin down; appends, numbers and publishes that in the same step.
-- KEYS  1 head, 2 log, 3 pinned (string), 4 pins (zset), 5 silences (hash)
-- ARGV  1 epoch of the line, 2 its number ("": take down), 3 numbers kept, 4 channel, 5 seconds the room's keys live on,
--       6 epoch to begin if need be, last: see epoch.lua
-- Returns {epoch, seq of the act; of the newest event if nothing was pinned} | {'unloaded'} | false (no such line)
local epoch = epoch_now(KEYS[1], ARGV[6])
-- What the archive is about to put back would come after this, and stay.
if redis.call('HEXISTS', KEYS[5], 'loaded') == 0 then return {'unloaded'} end
local line = 'null'
if ARGV[2] == '' then
  if redis.call('DEL', KEYS[3]) == 0 then return {epoch, tonumber(redis.call('HGET', KEYS[1], 'seq'))} end
else
  local entry = redis.call('HGET', KEYS[2], ARGV[2])
  if not entry or not string.find(entry, '^{"seq":%d+,"kind":"line%.posted"') then return false end
  if string.match(entry, '"body":{"line":{"id":"([^"]+)"') ~= ARGV[1] .. '.' .. ARGV[2] then return false end
  local _, before = string.find(entry, '"body":{"line":', 1, true)
  line = string.sub(entry, before + 1, -3)
  redis.call('SET', KEYS[3], line, 'EX', ARGV[5])
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local envelope = '{"seq":' .. seq .. ',"kind":"line.pinned","body":{"line":' .. line .. '}}'
redis.call('HSET', KEYS[2], seq, envelope)
redis.call('HDEL', KEYS[2], seq - tonumber(ARGV[3]))
if line ~= 'null' then
  redis.call('ZADD', KEYS[4], seq, seq)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', seq - tonumber(ARGV[3]))
  redis.call('EXPIRE', KEYS[4], ARGV[5])
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('SPUBLISH', ARGV[4], 'e ' .. epoch .. ' ' .. seq .. ' line.pinned\n' .. envelope)
return {epoch, seq}
