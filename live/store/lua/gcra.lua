-- A limit that refills steadily (GCRA): `burst` at once, then one each `every_ms`.
-- KEYS    1 a string: the ms at which the limit is whole again
-- ARGV    1 now_ms  2 every_ms  3 burst
-- RETURNS 0 when it is let through, else the ms to wait
local now, every, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local whole_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + every
local wait = whole_at - burst * every - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', whole_at), 'PX', string.format('%.0f', whole_at - now))
return 0
