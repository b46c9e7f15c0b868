-- One process's beat: who came and went there, and how many people are in the room over all processes. A process whose
-- beat ran out is taken off with everyone on it. Time is the store's, so that machines needn't agree on it.
-- KEYS  1 here (zset of processes), 2 persons on this process (set), 3 head
-- ARGV  1 process, 2 ms a beat holds, 3 channel, 4 key of a process's persons, up to its id, 5 "1": what follows is
--       everyone, 6 how many came, then persons who came, then persons who left
-- Returns {people in the room, people on this process}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[5] == '1' then redis.call('DEL', KEYS[2]) end
local came = tonumber(ARGV[6])
for i = 7, #ARGV do
  if i - 6 <= came then redis.call('SADD', KEYS[2], ARGV[i]) else redis.call('SREM', KEYS[2], ARGV[i]) end
end
local own = redis.call('SCARD', KEYS[2])
if own > 0 then
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
  redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[2]) + 2000)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], dead)
  redis.call('DEL', ARGV[4] .. dead)
end
local sets = {}
for i, process in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do sets[i] = ARGV[4] .. process end
local count = 0
if #sets == 1 then
  count = redis.call('SCARD', sets[1])
elseif #sets > 1 then
  count = #redis.call('SUNION', unpack(sets))
end
if redis.call('HGET', KEYS[3], 'viewers') ~= tostring(count) then
  redis.call('HSET', KEYS[3], 'viewers', count)
  redis.call('SPUBLISH', ARGV[3],
    'v presence.counted\n{"kind":"presence.counted","body":{"viewers":' .. count .. '}}')
end
return {count, own}
