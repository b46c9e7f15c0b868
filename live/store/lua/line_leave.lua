-- Gives a person's place in a hot drop up. One that has none is no error.
-- KEYS    1 state  2 lobby  3 who  4 line  5 turns  6 took
-- ARGV    1 person
-- RETURNS 1 when there was a place, else 0
local state, lobby, whos, line, turns = unpack(KEYS)
local had = redis.call('ZREM', lobby, ARGV[1]) + redis.call('ZREM', line, ARGV[1]) + redis.call('ZREM', turns, ARGV[1])
forget(whos, ARGV[1])
return math.min(had, 1)
