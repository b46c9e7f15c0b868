-- Shared by the scripts that give out numbers, after epoch.lua.

-- Appends what somebody said, numbers and publishes it: returns its id and number.
-- room    keys: head, log, lines, by (lines by the author), questions; epoch, channel; kept: numbers, replayed: lines,
--         life_s: seconds the keys live on
-- what    "line" | "question"; before, after: the envelope around the id; author: as told on the bus
local function append(room, what, before, after, author)
  local seq = redis.call('HINCRBY', room.head, 'seq', 1)
  local id = room.epoch .. '.' .. seq
  local envelope = '{"seq":' .. seq .. ',' .. before .. id .. after
  redis.call('HSET', room.log, seq, envelope)
  redis.call('HDEL', room.log, seq - room.kept)
  if what == 'line' then
    redis.call('ZADD', room.lines, seq, seq)
    redis.call('ZREMRANGEBYRANK', room.lines, 0, -1 - room.replayed)
    redis.call('ZADD', room.by, seq, seq)
    redis.call('ZREMRANGEBYSCORE', room.by, '-inf', seq - room.kept - LEAP) -- what was put back is hers, too
  else
    redis.call('HSET', room.questions, id, '{"id":"' .. id .. string.sub(after, 1, -3))
  end
  for _, key in ipairs({room.head, room.log, room.lines, room.by}) do redis.call('EXPIRE', key, room.life_s) end
  local kind = what == 'line' and 'line.posted' or 'question.changed'
  redis.call('SPUBLISH', room.channel, 'e ' .. room.epoch .. ' ' .. seq .. ' ' .. kind .. ' ' .. author .. '\n' .. envelope)
  return id, seq
end

