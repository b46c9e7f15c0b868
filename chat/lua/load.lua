-- Puts back what the archive holds, under anything that was written meanwhile.
-- KEYS  1 silences, 2 terms, 3 mode, 4 questions, 5 cases, 6 reports, 7 appeals, 8 decided (hashes), 9 head, 10 log,
--       11 lines (zset), 12 pinned (string)
-- ARGV  1 seconds a decision is remembered, 2-9 how many pairs for each of the first eight keys, 10 key of a person's
--       lines, up to her id, 11 seconds the room's keys live on, 12 the pinned line's id or "", then those pairs of
--       field and value, key by key, then for each line its number, who said it and the log's entry, newest first
-- Returns 1 | 0: another was faster
-- What that one put back may have been settled since (a ban lifted, a case closed), and is not to come again.
if redis.call('HEXISTS', KEYS[1], 'loaded') == 1 and redis.call('HEXISTS', KEYS[2], '') == 1 then return 0 end
local at = 13
for key = 1, 8 do
  for _ = 1, tonumber(ARGV[1 + key]) do
    redis.call('HSETNX', KEYS[key], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
redis.call('EXPIRE', KEYS[8], ARGV[1])
-- Numbers of this epoch are larger (epoch.lua); those of a log that began again are not, and what it holds stays. Only
-- once: pages have had a snapshot since, and no event tells of what is put back.
local last = redis.call('HEXISTS', KEYS[1], 'loaded') == 0 and tonumber(redis.call('HGET', KEYS[9], 'seq') or '0') or 0
for i = at, #ARGV, 3 do
  local number = ARGV[i]
  if tonumber(number) <= last and redis.call('HSETNX', KEYS[10], number, ARGV[i + 2]) == 1 then
    redis.call('ZADD', KEYS[11], number, number)
    redis.call('ZADD', ARGV[10] .. ARGV[i + 1], number, number)
    redis.call('EXPIRE', ARGV[10] .. ARGV[i + 1], ARGV[11])
  end
end
redis.call('EXPIRE', KEYS[10], ARGV[11])
redis.call('EXPIRE', KEYS[11], ARGV[11])
-- The pin, if its line is in the log again, and nothing was pinned since.
local number = last > 0 and string.match(ARGV[12], '%.(%d+)$')
local entry = number and redis.call('HGET', KEYS[10], number)
if entry and string.match(entry, '^{"seq":%d+,"kind":"line%.posted".-"body":{"line":{"id":"([^"]+)"') == ARGV[12] then
  local _, before = string.find(entry, '"body":{"line":', 1, true)
  redis.call('SET', KEYS[12], string.sub(entry, before + 1, -3), 'EX', ARGV[11], 'NX')
end
redis.call('HSET', KEYS[1], 'loaded', 1)
redis.call('HSET', KEYS[2], '', 'loaded')
return 1
