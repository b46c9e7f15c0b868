-- Writes a field's next value, unless it is another by now.
-- KEYS  1 hash
-- ARGV  1 field, 2 the value it must still have, 3 the next
-- Returns 1 | 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
