-- Closes a case, once: of two moderators at the same moment one has decided. What was held is appended, numbered and
-- published in the same step.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 lines by the author (zset), 5 cases, 6 claims, 7 decided, 8 questions
-- ARGV  1 epoch to use if the room has none, 2 envelope up to the id, 3 envelope from after it, 4 numbers kept,
--       5 channel, 6 seconds the room's keys live on, 7 now (ms), 8 moderator, 9 her name, 10 case, 11 verdict,
--       12 what to append: "line" | "question" | "", 13 lines a join replays, 14 seconds a decision is remembered
-- Returns {'closed', line or question or ''} | {'again', the same} | {'claimed', name, until_ms}
--       | {'decided', verdict, name} | {'gone'}
local now = tonumber(ARGV[7])
if redis.call('HEXISTS', KEYS[5], ARGV[10]) == 0 then
  local was = redis.call('HGET', KEYS[7], ARGV[10])
  if not was then return {'gone'} end
  local verdict, person, id, name = string.match(was, '^(%S+) (%S+) (%S+) (.*)$')
  if person == ARGV[8] and verdict == ARGV[11] then return {'again', id == '-' and '' or id} end
  return {'decided', verdict, name}
end
local claim = redis.call('HGET', KEYS[6], ARGV[10])
if claim then
  local until_ms, person, name = string.match(claim, '^(%d+) (%S+) (.*)$')
  if tonumber(until_ms) > now and person ~= ARGV[8] then return {'claimed', name, tonumber(until_ms)} end
end
redis.call('HDEL', KEYS[5], ARGV[10])
redis.call('HDEL', KEYS[6], ARGV[10])
local id = ''
if ARGV[12] ~= '' then
  local epoch = redis.call('HGET', KEYS[1], 'epoch')
  if not epoch then
    epoch = ARGV[1]
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', 0)
  end
  local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
  id = epoch .. '.' .. seq
  local kind = ARGV[12] == 'line' and 'line.posted' or 'question.changed'
  local envelope = '{"seq":' .. seq .. ',' .. ARGV[2] .. id .. ARGV[3]
  local cap = tonumber(ARGV[4])
  redis.call('HSET', KEYS[2], seq, envelope)
  redis.call('HDEL', KEYS[2], seq - cap)
  if ARGV[12] == 'line' then
    redis.call('ZADD', KEYS[3], seq, seq)
    redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[13]))
    redis.call('ZADD', KEYS[4], seq, seq)
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', seq - cap)
  else
    redis.call('HSET', KEYS[8], id, '{"id":"' .. id .. string.sub(ARGV[3], 1, -3))
  end
  for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[6]) end
  redis.call('SPUBLISH', ARGV[5], 'e ' .. epoch .. ' ' .. seq .. ' ' .. kind .. ' !\n' .. envelope)
end
redis.call('HSET', KEYS[7], ARGV[10], ARGV[11] .. ' ' .. ARGV[8] .. ' ' .. (id == '' and '-' or id) .. ' ' .. ARGV[9])
redis.call('EXPIRE', KEYS[7], ARGV[14])
return {'closed', id}
