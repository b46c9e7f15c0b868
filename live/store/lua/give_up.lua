-- Takes a name away from the one who has it, and only from that one: another may have taken it meanwhile.
-- KEYS    1 a string
-- ARGV    1 the holder
-- RETURNS 1 when it was deleted, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
