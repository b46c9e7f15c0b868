-- Takes a dead relay's entry away: of all who find it dead, one gets the entry, and tells the rooms.
-- KEYS    1 the relay's entry
-- RETURNS {control, its shows, the shows it mirrored} (ids by comma), or nothing when another was quicker
local control, shows, mirrors = unpack(redis.call('HMGET', KEYS[1], 'control', 'shows', 'mirrors'))
if not control then return false end
redis.call('DEL', KEYS[1])
return {control, shows or '', mirrors or ''}
