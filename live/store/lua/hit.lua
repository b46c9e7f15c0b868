-- A limit by window: counts one try.
-- KEYS    1 a string: tries in this window
-- ARGV    1 seconds a window lasts
-- RETURNS {tries so far, this one with them, seconds until the window ends}
local count = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[1], 'NX')
return {count, redis.call('TTL', KEYS[1])}
