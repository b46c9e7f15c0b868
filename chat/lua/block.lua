-- Adds a term to the blocked ones, up to a bound.
-- KEYS  1 terms (set)
-- ARGV  1 term, 2 most terms
-- Returns 1 | 0 when there are too many
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 1 end
if redis.call('SCARD', KEYS[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
