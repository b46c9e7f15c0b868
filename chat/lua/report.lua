-- A viewer reports a line: each counts once, and what a moderator has looked at already does not come up again.
-- KEYS  1 cases, 2 decided, 3 who reported the line (set)
-- ARGV  1 case, 2 person, 3 case up to the number of reports, 4 case from after it, 5 most cases, 6 seconds kept
-- Returns {'new' | 'more', reports, case (JSON)} | {'again'} | {'decided'} | {'full'}
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return {'decided'} end
local is_new = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if is_new and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return {'full'} end
if redis.call('SADD', KEYS[3], ARGV[2]) == 0 then return {'again'} end
redis.call('EXPIRE', KEYS[3], ARGV[6])
local reports = redis.call('SCARD', KEYS[3])
local case = ARGV[3] .. reports .. ARGV[4]
redis.call('HSET', KEYS[1], ARGV[1], case)
return {is_new and 'new' or 'more', reports, case}
