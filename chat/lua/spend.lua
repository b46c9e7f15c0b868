-- Counts what one person does, over all processes: so many within a time that begins with the first.
-- KEYS  1 count (string)
-- ARGV  1 most, 2 within ms
-- Returns ms until she may again, 0: now (it is counted)
local done = redis.call('INCR', KEYS[1])
if done == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if done <= tonumber(ARGV[1]) then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))
