-- Keeps a term, up to a bound.
-- KEYS  1 terms (hash)
-- ARGV  1 term, 2 its kind, 3 most terms
-- Returns 1 | 0 when there are too many
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
