-- An appeal comes up, once a silence.
-- KEYS  1 appeals, 2 decided
-- ARGV  1 case, 2 case (JSON), 3 most cases
-- Returns 'new' | 'again' | 'decided' | 'full'
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 'decided' end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 'again' end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'new'
