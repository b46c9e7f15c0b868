-- Takes a case for a while, or lets it go.
-- KEYS  1 cases of its kind, 2 claims
-- ARGV  1 case, 2 moderator, 3 her name, 4 now (ms), 5 until (ms); 0 lets it go, 6 seconds claims live on
-- Returns {'ok'} | {'claimed', name, until_ms} | {'gone'}
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'gone'} end
local claim = redis.call('HGET', KEYS[2], ARGV[1])
if claim then
  local until_ms, person, name = string.match(claim, '^(%d+) (%S+) (.*)$')
  if tonumber(until_ms) > tonumber(ARGV[4]) and person ~= ARGV[2] then return {'claimed', name, tonumber(until_ms)} end
end
if ARGV[5] == '0' then
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[5] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
  redis.call('EXPIRE', KEYS[2], ARGV[6])
end
return {'ok'}
