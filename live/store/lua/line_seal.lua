-- The drop is open: nobody comes into its lobby any more. Who is in it is to be drawn; asked again, the same people.
-- KEYS    1 state  2 lobby
-- ARGV    1 now_ms  2 opens_ms  3 ttl_s
-- RETURNS {'EARLY'} | {'DRAWN'} | {'SEALED', {person…}}
local state, lobby = unpack(KEYS)
if tonumber(ARGV[1]) < tonumber(ARGV[2]) then return {'EARLY'} end
if redis.call('HEXISTS', state, 'drawn') == 1 then return {'DRAWN'} end
seal(state, lobby, ARGV[1])
redis.call('EXPIRE', state, ARGV[3])
return {'SEALED', redis.call('ZRANGE', lobby, 0, -1)}
