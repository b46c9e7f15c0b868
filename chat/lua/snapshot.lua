-- The room at one moment: its position and what it shows belong together.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 mode (hash), 5 pinned, 6 questions (hash)
-- ARGV  1 epoch to begin if need be, 2 lines wanted, 3 seconds the room's keys live on, last: see epoch.lua
-- Returns {epoch, seq, viewers, {field, value, ...} of the mode, pinned line or '', {question, ...}, {envelope, ...}},
--         lines oldest first, 1 or 0: whether the archive's part is there; with -1 lines wanted only the first three
local epoch = epoch_now(KEYS[1], ARGV[1])
if epoch == ARGV[1] then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
local head = redis.call('HMGET', KEYS[1], 'seq', 'viewers')
local answer = {epoch, tonumber(head[1]), tonumber(head[2] or '0')}
local wanted = tonumber(ARGV[2])
if wanted < 0 then return answer end
local lines = {}
if wanted > 0 then
  for _, number in ipairs(redis.call('ZRANGE', KEYS[3], -wanted, -1)) do
    local entry = redis.call('HGET', KEYS[2], number)
    if entry then lines[#lines + 1] = entry end
  end
end
answer[4] = redis.call('HGETALL', KEYS[4])
answer[5] = redis.call('GET', KEYS[5]) or ''
answer[6] = redis.call('HVALS', KEYS[6])
answer[7] = lines
answer[8] = redis.call('HEXISTS', string.sub(KEYS[1], 1, -5) .. 'silences', 'loaded')
return answer
