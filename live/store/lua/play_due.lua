-- Claims the games whose time is up, so that of several workers one closes each; a claim that came to nothing is
-- due again.
-- KEYS    1 plays:due
-- ARGV    1 now_ms  2 claim_ms  3 most
-- RETURNS members 'show|id'
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', tonumber(ARGV[1]) + tonumber(ARGV[2])), member)
end
return due
