-- Keep a nickname in a session that still stands: HSET alone would bring a revoked one back as a stump.
--
-- KEYS[1]  session:<digest>, hash
-- ARGV[1]  the name
-- Returns 1 when it was kept, 0 when the session had ended.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'name', ARGV[1])
return 1
