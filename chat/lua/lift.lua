-- Ends a person's silence, on her device too.
-- KEYS  1 silences (hash)
-- ARGV  1 person
-- Returns the silence's "until_ms record" | false when there was none
local found = redis.call('HGET', KEYS[1], 'p:' .. ARGV[1])
if not found then return false end
local device = cjson.decode(string.match(found, ' (.*)$')).device
redis.call('HDEL', KEYS[1], 'p:' .. ARGV[1], 'd:' .. device)
return found
