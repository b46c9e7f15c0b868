-- A relay says again that a show is its own. Who claimed the show meanwhile has it.
-- KEYS    1 the show's relay
-- ARGV    1 the relay's id   2 seconds it lives
-- RETURNS the id of the relay that has the show
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
