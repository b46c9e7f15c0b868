-- Somebody's pages were told of her bag: she is no longer to be told, unless something came up since.
-- KEYS    1 untold
-- ARGV    1 cart  2 the ms up to which she was told
-- RETURNS 1 when she is struck off, else 0
local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not since or tonumber(since) > tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
