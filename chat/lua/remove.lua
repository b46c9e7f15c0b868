-- Takes lines out of the log for good: each entry becomes a tombstone under its own number, in place, so that neither a
-- join nor a resume ever sees the text again; then one event tells the screens. A line that was pinned stands in the log
-- once more with each pin, and goes there too.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 lines by a person (zset; read when ARGV 6 is "*"), 5 pinned (string),
--       6 pins (zset), 7 silences (hash), 8 taken (hash)
-- ARGV  1 epoch to begin if need be, 2 numbers kept, 3 channel, 4 seconds the room's keys live on,
--       5 "moderator" | "author", 6 a number, or "*" for all by the person, 7 the taking's id ("": it is not noted),
--       8 what is to be written of it (JSON) up to the lines' ids, 9 from after them, last: see epoch.lua
-- Returns {epoch, seq of the event (0: there was nothing to remove), id, id, ...} | {'unloaded'}
local epoch = epoch_now(KEYS[1], ARGV[1])
-- What the archive is about to put back would come after this, and stay.
if redis.call('HEXISTS', KEYS[7], 'loaded') == 0 then return {'unloaded'} end
local numbers = {ARGV[6]}
if ARGV[6] == '*' then numbers = redis.call('ZRANGE', KEYS[4], 0, -1) end
local ids, gone = {}, {}
for _, number in ipairs(numbers) do
  local entry = redis.call('HGET', KEYS[2], number)
  if entry and string.find(entry, '^{"seq":%d+,"kind":"line%.posted"') then
    -- Its own id: it may be of the epoch before, when the store came back without its newest numbers.
    local id = string.match(entry, '"body":{"line":{"id":"([^"]+)"')
    redis.call('HSET', KEYS[2], number,
      '{"seq":' .. number .. ',"kind":"line.removed","body":{"line":"' .. id .. '","by":"' .. ARGV[5] .. '"}}')
    redis.call('ZREM', KEYS[3], number)
    local pinned = redis.call('GET', KEYS[5])
    if pinned and string.sub(pinned, 1, 9 + #id) == '{"id":"' .. id .. '",' then redis.call('DEL', KEYS[5]) end
    ids[#ids + 1] = id
    gone[id] = true
  end
end
if #ids == 0 then return {epoch, 0} end
for _, number in ipairs(redis.call('ZRANGE', KEYS[6], 0, -1)) do
  local entry = redis.call('HGET', KEYS[2], number)
  local id = entry and string.match(entry, '^{"seq":%d+,"kind":"line%.pinned","body":{"line":{"id":"([^"]+)"')
  if id and gone[id] then
    redis.call('HSET', KEYS[2], number, '{"seq":' .. number .. ',"kind":"line.pinned","body":{"line":null}}')
    redis.call('ZREM', KEYS[6], number)
  end
end
local kind, body = 'line.removed', '"line":"' .. ids[1] .. '"'
if ARGV[6] == '*' then
  kind, body = 'lines.removed', '"lines":["' .. table.concat(ids, '","') .. '"]'
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local envelope = '{"seq":' .. seq .. ',"kind":"' .. kind .. '","body":{' .. body .. ',"by":"' .. ARGV[5] .. '"}}'
redis.call('HSET', KEYS[2], seq, envelope)
redis.call('HDEL', KEYS[2], seq - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('SPUBLISH', ARGV[3], 'e ' .. epoch .. ' ' .. seq .. ' ' .. kind .. '\n' .. envelope)
-- Until the archive has it: whoever took them out may not live to tell.
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[8], ARGV[7], ARGV[8] .. '"' .. table.concat(ids, '","') .. '"' .. ARGV[9])
  redis.call('EXPIRE', KEYS[8], ARGV[4])
end
local answer = {epoch, seq}
for _, id in ipairs(ids) do answer[#answer + 1] = id end
return answer
