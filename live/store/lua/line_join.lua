-- Puts a person into the lobby of a hot drop, or, once it is open, at the end of its line. Who stands there keeps her place.
-- One place a person and a device: who comes a second time, in another tab or signed in anew, finds the first.
-- KEYS    1 state  2 lobby  3 who  4 line  5 turns  6 took  7 stage
-- ARGV    1 now_ms  2 person  3 device  4 opens_ms or 0  5 closes_ms or 0  6 the stage's version as read, or '*'  7 ttl_s
--         8 people at most
-- RETURNS {'LOBBY' | 'LINE' | 'TURN' | 'TOOK', people ahead or until_ms, gone} | {'DEVICE'} | {'FULL'} | {'STALE'} |
--         {'CLOSED <closes_ms>'}
local state, lobby, whos, line, turns, took, stage = unpack(KEYS)
local now, who, device = ARGV[1], ARGV[2], ARGV[3]
local no = refusal(stage, ARGV[6], now, '0', ARGV[5])
if no then return {no} end
local place, number = stands(state, lobby, line, turns, took, who, now)
if place == 'NONE' then
  local other = redis.call('HGET', whos, 'd:' .. device)
  if other and other ~= who and stands(state, lobby, line, turns, took, other, now) ~= 'NONE' then return {'DEVICE'} end
  if redis.call('ZCARD', lobby) + redis.call('ZCARD', line) >= tonumber(ARGV[8]) then return {'FULL'} end
  redis.call('ZREM', turns, who)
  redis.call('HSET', whos, 'p:' .. who, device, 'd:' .. device, who)
  if tonumber(now) < tonumber(ARGV[4]) and redis.call('HEXISTS', state, 'sealed') == 0 then
    redis.call('ZADD', lobby, now, who)
  else
    seal(state, lobby, now)
    redis.call('ZADD', line, whole(TICKETS_FROM + redis.call('HINCRBY', state, 'tickets', 1)), who)
  end
  for _, key in ipairs({state, lobby, whos, line}) do redis.call('EXPIRE', key, ARGV[7]) end
  place, number = stands(state, lobby, line, turns, took, who, now)
end
return {place, number, redis.call('HGET', state, 'gone') or '0'}
