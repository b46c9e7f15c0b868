-- Ends a person's silence, on every device it was put on and for her network too.
-- KEYS  1 silences (hash)
-- ARGV  1 person
-- Returns the silence's "until_ms record" | false when there was none
local found = redis.call('HGET', KEYS[1], 'p:' .. ARGV[1])
if not found then return false end
redis.call('HDEL', KEYS[1], 'p:' .. ARGV[1])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local what, person = string.sub(all[i], 1, 2), nil
  if what == 'd:' then person = cjson.decode(string.match(all[i + 1], ' (.*)$')).person end
  if what == 'n:' then person = string.match(all[i + 1], '^%d+ %d+ (.*)$') end
  if person == ARGV[1] then redis.call('HDEL', KEYS[1], all[i]) end
end
return found
