-- Puts back what the archive holds, under anything that was written meanwhile.
-- KEYS  1 silences (hash), 2 terms (set)
-- ARGV  1 how many silences, then field and value of each, then terms
-- Returns 1
local n = tonumber(ARGV[1])
for i = 0, n - 1 do redis.call('HSETNX', KEYS[1], ARGV[2 + 2 * i], ARGV[3 + 2 * i]) end
redis.call('HSET', KEYS[1], 'loaded', 1)
redis.call('SADD', KEYS[2], '')
for i = 2 + 2 * n, #ARGV do redis.call('SADD', KEYS[2], ARGV[i]) end
return 1
