-- A line of talk or a question: answers a repeat with its first result, checks what must not race (silence, mode, slow
-- mode, flood), then does one of three things in the same step: appends, numbers and publishes as publish.lua does;
-- puts it before the moderators; or lets its author alone see it.
-- KEYS  1 head, 2 log, 3 lines (zset), 4 lines by this person (zset), 5 op (string), 6 pace (zset), 7 silences (hash),
--       8 mode (hash), 9 who (hash), 10 said (list), 11 own (list), 12 cases (hash), 13 questions (hash), 14 asked (hash)
-- ARGV  1 epoch to begin if need be, 2 envelope up to the id, 3 envelope from after it,
--       4 numbers kept, 5 channel, 6 seconds the room's keys live on, 7 now (ms), 8 person, 9 device, 10 "1": exempt
--       from silence, mode and pace, 11 op, 12 flood: lines, 13 flood: within ms, 14 who (JSON), 15 lines a join
--       replays, 16 op's life (ms), 17 author as told on the bus, and whom it names, 18 "line" | "question",
--       19 digits that tell a shadowed one from any other, 20 case's id, 21 case up to its "why", 22 case from after it,
--       23 most cases, 24 why it is held ("": it isn't), 25 link: "" | "listed" | "other", 26 "1": has bought,
--       27 first seen (ms), 28 "1": nothing but emoji, 29 network, 30 match key, 31 raid: known for so long before it
--       (ms), 32 raid: ms between lines, 33 keys of lines remembered,
--       last: see epoch.lua
-- Returns {'new' | 'again', 'posted' | 'shadow', epoch, seq} | {'new' | 'again', 'held', case, why}
--       | {'new' | 'again', 'asked', question, '' or '-' (shadowed)} | {'unloaded'} | {'silenced', until_ms .. ' ' .. record}
--       | {'slow', retry_ms, slow_s} | {'flood', retry_ms} | {'blocked', why, until_ms}
local again = redis.call('GET', KEYS[5])
if again then
  local how, one, other = string.match(again, '^(%S+) (%S+) (%S*)$')
  return {'again', how, one, other}
end
local epoch = epoch_now(KEYS[1], ARGV[1])
local now = tonumber(ARGV[7])
local fate, why = 'posted', ARGV[24]
if ARGV[10] ~= '1' then
  if redis.call('HEXISTS', KEYS[7], 'loaded') == 0 then return {'unloaded'} end
  local found = redis.call('HMGET', KEYS[7], 'p:' .. ARGV[8], 'd:' .. ARGV[9], 'n:' .. ARGV[29])
  for i = 1, 2 do
    if found[i] and (i == 1 or ARGV[9] ~= '') and tonumber(string.match(found[i], '^%d+')) > now then
      if string.find(found[i], '"kind":"shadow"', 1, true) then fate = 'shadow' else return {'silenced', found[i]} end
    end
  end
  local mode = redis.call('HMGET', KEYS[8], 'slow_s', 'links', 'buyers', 'age_s', 'emote', 'hold', 'raid_until_ms',
    'raid_from_ms')
  local bought, since = ARGV[26] == '1', tonumber(ARGV[27])
  local slow_ms, links = tonumber(mode[1] or '0') * 1000, mode[2] or 'off'
  local raid_until = tonumber(mode[7] or '0')
  if raid_until > now then
    if not bought and since > tonumber(mode[8] or '0') - tonumber(ARGV[31]) then
      return {'blocked', 'raid', raid_until}
    end
    slow_ms, links = math.max(slow_ms, tonumber(ARGV[32])), 'off'
  end
  if mode[3] == '1' and not bought then return {'blocked', 'buyers', 0} end
  local age_ms = tonumber(mode[4] or '0') * 1000
  if age_ms > 0 and since + age_ms > now then return {'blocked', 'age', since + age_ms} end
  if mode[5] == '1' and ARGV[28] ~= '1' then return {'blocked', 'emote', 0} end
  if ARGV[25] ~= '' then
    if links == 'off' or links == '0' or (links == 'listed' and ARGV[25] ~= 'listed')
      or (links == 'buyers' and not bought) then
      return {'blocked', 'link', 0}
    end
    if links == 'held' and why == '' then why = 'link' end
  end
  if mode[6] == '1' and why == '' then why = 'hold' end
  -- Who comes from a banned person's network only since the ban may be she again: neighbours of before are not.
  if found[3] and ARGV[29] ~= '' and why == '' then
    local until_ms, from_ms = string.match(found[3], '^(%d+) (%d+) ')
    if tonumber(until_ms) > now and since >= tonumber(from_ms) then why = 'evasion' end
  end
  if why ~= '' and fate == 'posted' then fate = 'held' end
  if fate == 'held' and redis.call('HLEN', KEYS[12]) >= tonumber(ARGV[23]) then return {'blocked', 'full', 0} end
  local flood_ms = tonumber(ARGV[13])
  local kept_ms = math.max(flood_ms, slow_ms)
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now - kept_ms)
  if slow_ms > 0 then
    local last = redis.call('ZREVRANGE', KEYS[6], 0, 0, 'WITHSCORES')
    if last[2] and tonumber(last[2]) + slow_ms > now then
      return {'slow', tonumber(last[2]) + slow_ms - now, slow_ms / 1000}
    end
  end
  if redis.call('ZCOUNT', KEYS[6], now - flood_ms, '+inf') >= tonumber(ARGV[12]) then
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[6], now - flood_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return {'flood', tonumber(oldest[2]) + flood_ms - now + 1}
  end
  redis.call('ZADD', KEYS[6], now, ARGV[11])
  redis.call('PEXPIRE', KEYS[6], kept_ms)
  redis.call('LPUSH', KEYS[10], ARGV[7] .. ' ' .. ARGV[30])
  redis.call('LTRIM', KEYS[10], 0, tonumber(ARGV[33]) - 1)
  redis.call('EXPIRE', KEYS[10], 60)
end
redis.call('HSET', KEYS[9], ARGV[8], ARGV[14])
local kind = ARGV[18] == 'line' and 'line.posted' or 'question.changed'

local function answered(how, one, other)
  redis.call('SET', KEYS[5], how .. ' ' .. one .. ' ' .. other, 'PX', ARGV[16])
  return {'new', how, one, other}
end

if fate == 'shadow' and why ~= '' then
  -- She is told what anybody would be, or she would know by it that nobody else hears her. Nobody has to decide.
  redis.call('SPUBLISH', ARGV[5], 'r moderator line.shadowed\n{"kind":"line.shadowed","body":{"line":{"id":"' .. ARGV[20]
    .. string.sub(ARGV[3], 1, -3) .. '}}')
  answered('held', ARGV[20], why)
  return {'again', 'held', ARGV[20], why} -- not new: other systems are not asked either
end

if fate == 'held' then
  local case = ARGV[21] .. why .. ARGV[22]
  redis.call('HSET', KEYS[12], ARGV[20], case)
  redis.call('SPUBLISH', ARGV[5], 'r moderator case.changed\n{"kind":"case.changed","body":{"case":' .. case .. '}}')
  return answered('held', ARGV[20], why)
end


if fate == 'shadow' then
  -- Her own tabs get what everybody's would, but for the number, which nobody may miss.
  local number = redis.call('HGET', KEYS[1], 'seq') .. ARGV[19]
  local id = epoch .. '.' .. number
  local shape = '{"id":"' .. id .. string.sub(ARGV[3], 1, -3)
  redis.call('SPUBLISH', ARGV[5], 'p ' .. ARGV[8] .. ' ' .. kind .. '\n{' .. ARGV[2] .. id .. ARGV[3])
  if ARGV[18] ~= 'line' then
    local asked = redis.call('HGET', KEYS[14], ARGV[8])
    redis.call('HSET', KEYS[14], ARGV[8], (asked and string.sub(asked, 1, -2) .. ',' or '[') .. shape .. ']')
    redis.call('EXPIRE', KEYS[14], 86400)
    return answered('asked', id, '-')
  end
  redis.call('LPUSH', KEYS[11], shape)
  redis.call('LTRIM', KEYS[11], 0, 49)
  redis.call('EXPIRE', KEYS[11], 86400)
  redis.call('SPUBLISH', ARGV[5], 'r moderator line.shadowed\n{"kind":"line.shadowed","body":{"line":' .. shape .. '}}')
  return answered('shadow', epoch, number)
end

local room = {
  head = KEYS[1], log = KEYS[2], lines = KEYS[3], by = KEYS[4], questions = KEYS[13], epoch = epoch, channel = ARGV[5],
  kept = tonumber(ARGV[4]), replayed = tonumber(ARGV[15]), life_s = ARGV[6],
}
local id, seq = append(room, ARGV[18], ARGV[2], ARGV[3], ARGV[17])
if ARGV[18] == 'line' then return answered('posted', epoch, seq) end
return answered('asked', id, '')
