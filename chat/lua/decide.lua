-- Carries a decision out, once. What was held is appended, numbered and published in the step that closes the case; not
-- when its author was banned meanwhile.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 lines by the author (zset), 5 cases of its kind, 6 claims, 7 decided,
--       8 questions, 9 silences
-- ARGV  1 epoch to begin if need be, 2 envelope up to the id, 3 envelope from after it, 4 numbers kept,
--       5 channel, 6 seconds the room's keys live on, 7 now (ms), 8 moderator, 9 her name, 10 case, 11 verdict,
--       12 what to append: "line" | "question" | "", 13 lines a join replays, 14 seconds a decision is remembered,
--       15 author, last: see epoch.lua
-- Returns {'closed', line or question or ''} | {'again', the same} | {'decided', verdict, name} | {'gone'}
--       | {'unloaded'}
local epoch = epoch_now(KEYS[1], ARGV[1])
if redis.call('HEXISTS', KEYS[5], ARGV[10]) == 0 then
  local was = redis.call('HGET', KEYS[7], ARGV[10])
  if not was then return {'gone'} end
  local verdict, person, id, name = string.match(was, '^(%S+) (%S+) (%S+) (.*)$')
  if person == ARGV[8] and verdict == ARGV[11] then return {'again', id == '-' and '' or id} end
  return {'decided', verdict, name}
end
if ARGV[12] ~= '' and redis.call('HEXISTS', KEYS[9], 'loaded') == 0 then return {'unloaded'} end
redis.call('HDEL', KEYS[5], ARGV[10])
redis.call('HDEL', KEYS[6], ARGV[10])
local silence = redis.call('HGET', KEYS[9], 'p:' .. ARGV[15])
local is_banned = silence and string.find(silence, '"kind":"ban"', 1, true)
  and tonumber(string.match(silence, '^%d+')) > tonumber(ARGV[7])
local id = ''
if ARGV[12] ~= '' and not is_banned then
  local room = {
    head = KEYS[1], log = KEYS[2], lines = KEYS[3], by = KEYS[4], questions = KEYS[8], epoch = epoch, channel = ARGV[5],
    kept = tonumber(ARGV[4]), replayed = tonumber(ARGV[13]), life_s = ARGV[6],
  }
  id = append(room, ARGV[12], ARGV[2], ARGV[3], '!')
end
redis.call('HSET', KEYS[7], ARGV[10], ARGV[11] .. ' ' .. ARGV[8] .. ' ' .. (id == '' and '-' or id) .. ' ' .. ARGV[9])
redis.call('EXPIRE', KEYS[7], ARGV[14])
return {'closed', id}
