-- Lets the first of a line in, as many as there are pieces that nobody's window stands for. A window that was not used is
-- over at its end; who is not there when it would be her turn is passed over, and loses her place after a while.
-- KEYS    1 state  2 lobby  3 who  4 line  5 turns  6 took  7 gate
-- ARGV    1 now_ms  2 window_ms  3 grace_ms of who is away  4 ttl_s  5 number of SKUs, then these
--         then for each of the first in the line: person, '1' there or '0' away
-- RETURNS {gone, people in the line, {'TURN' | 'PASSED' | 'LOST', person, until_ms or 0, …}} | {'NOGATE'}
local state, lobby, whos, line, turns, took, gate = unpack(KEYS)
local now = tonumber(ARGV[1])
if redis.call('EXISTS', gate) == 0 then return {'NOGATE'} end
local events = {}
local function event(what, who, until_ms)
  table.insert(events, what)
  table.insert(events, who)
  table.insert(events, until_ms)
end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', turns, '-inf', now, 'LIMIT', 0, 500)) do
  redis.call('ZREM', turns, who)
  forget(whos, who)
  event('PASSED', who, '0')
end
redis.call('ZREMRANGEBYSCORE', took, '-inf', now)
local skus = tonumber(ARGV[5])
local free = -redis.call('ZCARD', turns)
for i = 6, 5 + skus do free = free + math.max(0, left_of(gate, ARGV[i])) end
local gone = 0
for i = 6 + skus, #ARGV, 2 do
  local who = ARGV[i]
  if redis.call('ZSCORE', line, who) then
    if ARGV[i + 1] == '1' then
      redis.call('HDEL', whos, 'a:' .. who)
      if free > 0 then
        local until_ms = whole(now + tonumber(ARGV[2]))
        redis.call('ZREM', line, who)
        redis.call('ZADD', turns, until_ms, who)
        free = free - 1
        gone = gone + 1
        event('TURN', who, until_ms)
      end
    else
      redis.call('HSETNX', whos, 'a:' .. who, ARGV[1])
      if now - tonumber(redis.call('HGET', whos, 'a:' .. who)) >= tonumber(ARGV[3]) then
        redis.call('ZREM', line, who)
        forget(whos, who)
        gone = gone + 1
        event('LOST', who, '0')
      end
    end
  end
end
if gone > 0 then redis.call('HINCRBY', state, 'gone', gone) end
for _, key in ipairs({state, whos, line, turns, took}) do redis.call('EXPIRE', key, ARGV[4]) end
return {redis.call('HGET', state, 'gone') or '0', redis.call('ZCARD', line), events}
