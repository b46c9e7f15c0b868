-- The room at one moment: its position and the newest lines belong together.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 mode (hash)
-- ARGV  1 epoch to use if the room has none, 2 lines wanted, 3 seconds the room's keys live on
-- Returns {epoch, seq, slow_s, links, viewers, envelope, ...} oldest line first
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', 0)
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
local mode = redis.call('HMGET', KEYS[4], 'slow_s', 'links')
local head = redis.call('HMGET', KEYS[1], 'seq', 'viewers')
local answer = {epoch, tonumber(head[1]), tonumber(mode[1] or '0'), tonumber(mode[2] or '0'), tonumber(head[2] or '0')}
local wanted = tonumber(ARGV[2])
if wanted > 0 then
  for _, number in ipairs(redis.call('ZRANGE', KEYS[3], -wanted, -1)) do
    local entry = redis.call('HGET', KEYS[2], number)
    if entry then answer[#answer + 1] = entry end
  end
end
return answer
