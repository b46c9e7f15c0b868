-- Gathers hearts over all processes: they are told together, at most once a gap.
-- KEYS  1 hearts (hash)
-- ARGV  1 hearts, 2 now (ms), 3 gap (ms), 4 channel
-- Returns hearts that still wait
local n = redis.call('HINCRBY', KEYS[1], 'n', ARGV[1])
redis.call('EXPIRE', KEYS[1], 60)
if n == 0 then return 0 end
if tonumber(ARGV[2]) - tonumber(redis.call('HGET', KEYS[1], 'at_ms') or '0') < tonumber(ARGV[3]) then return n end
redis.call('HSET', KEYS[1], 'n', 0, 'at_ms', ARGV[2])
redis.call('SPUBLISH', ARGV[4], 'v hearts.counted\n{"kind":"hearts.counted","body":{"n":' .. n .. '}}')
return 0
