-- What the scripts of a hot drop's line share; live/store/redis.py puts it before each of them.
--
-- state hash  sealed (ms) · n people in the lobby then · drawn · tickets given since · gone: left the line at its head
-- lobby zset  people who are there before the opening, by when they came
-- who   hash  p:<person> -> device · d:<device> -> person · a:<person> -> away since, ms
-- line  zset  people by place: 1 to n as drawn, then tickets
-- turns zset  people who may take a piece now and did not yet, by the end of their window
-- took  zset  people who did, by the end of their window: up to their cap they may take more

local TICKETS_FROM = 1000000000

-- Where somebody stands: 'TURN' until | 'TOOK' until | 'LINE' ahead | 'LOBBY' | 'NONE'.
local function stands(state, lobby, line, turns, took, who, now)
  local until_ms = redis.call('ZSCORE', turns, who)
  if until_ms and tonumber(until_ms) > tonumber(now) then return 'TURN', whole(until_ms) end
  until_ms = redis.call('ZSCORE', took, who)
  if until_ms and tonumber(until_ms) > tonumber(now) then return 'TOOK', whole(until_ms) end
  local ahead = redis.call('ZRANK', line, who)
  if ahead then return 'LINE', whole(ahead) end
  if redis.call('HEXISTS', state, 'drawn') == 0 and redis.call('ZSCORE', lobby, who) then return 'LOBBY', '0' end
  return 'NONE', '0'
end

-- Nobody comes into the lobby from here on: what is drawn is who is in it now.
local function seal(state, lobby, now)
  if redis.call('HSETNX', state, 'sealed', now) == 1 then
    redis.call('HSET', state, 'n', whole(redis.call('ZCARD', lobby)))
  end
end

local function forget(whos, who)
  local device = redis.call('HGET', whos, 'p:' .. who)
  redis.call('HDEL', whos, 'p:' .. who, 'a:' .. who)
  if device and redis.call('HGET', whos, 'd:' .. device) == who then redis.call('HDEL', whos, 'd:' .. device) end
end
