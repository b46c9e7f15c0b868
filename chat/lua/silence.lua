-- Ends a person's silence, on every device it was put on and for her network too, and puts another in its place if one
-- is given: there is never more than one, as in the archive.
-- KEYS  1 silences (hash)
-- ARGV  1 person, then fields and values of what takes its place, if anything does
-- Returns the "until_ms record" of the one that ended | false when there was none
local person = ARGV[1]
local found = redis.call('HGET', KEYS[1], 'p:' .. person)
if found then
  redis.call('HDEL', KEYS[1], 'p:' .. person)
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local what, whose = string.sub(all[i], 1, 2), nil
    if what == 'd:' then whose = cjson.decode(string.match(all[i + 1], ' (.*)$')).person end
    if what == 'n:' then whose = string.match(all[i + 1], '^%d+ %d+ (.*)$') end
    if whose == person then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return found
