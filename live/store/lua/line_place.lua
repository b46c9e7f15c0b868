-- Where a person stands in the line of a hot drop.
-- KEYS    1 state  2 lobby  3 who  4 line  5 turns  6 took
-- ARGV    1 now_ms  2 person
-- RETURNS {'LOBBY' | 'LINE' | 'TURN' | 'TOOK' | 'NONE', people ahead or until_ms, gone}
local state, lobby, whos, line, turns, took = unpack(KEYS)
local place, number = stands(state, lobby, line, turns, took, ARGV[2], ARGV[1])
return {place, number, redis.call('HGET', state, 'gone') or '0'}
