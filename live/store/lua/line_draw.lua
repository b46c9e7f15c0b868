-- Lays a part of the order that was drawn. Any number of times, until the last part said that it is whole.
-- KEYS    1 state  2 line
-- ARGV    1 ttl_s  2 the first's place  3 '1' with the last part  then people in order
-- RETURNS 1 when this call made it whole, else 0
local state, line = unpack(KEYS)
if redis.call('HEXISTS', state, 'drawn') == 1 then return 0 end
for i = 4, #ARGV do redis.call('ZADD', line, whole(tonumber(ARGV[2]) + i - 4), ARGV[i]) end
redis.call('EXPIRE', line, ARGV[1])
if ARGV[3] ~= '1' then return 0 end
redis.call('EXPIRE', state, ARGV[1])
return redis.call('HSETNX', state, 'drawn', '1')
