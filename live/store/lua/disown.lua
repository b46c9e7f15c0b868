-- A buyer's units went back on sale: they no longer count against what she may own.
-- KEYS    1 owned  2 the act's mark
-- ARGV    1 cart  2 mark_ttl_s  then sku, units, …
-- RETURNS 1 when this call did it, 0 when it was done before
local owned, mark = unpack(KEYS)
if not redis.call('SET', mark, '1', 'NX', 'EX', ARGV[2]) then return 0 end
for i = 3, #ARGV, 2 do
  local member = ARGV[1] .. '|' .. ARGV[i]
  -- Never below nothing: a gate that was made again in between may not know of these units.
  local units = math.min(tonumber(ARGV[i + 1]), tonumber(redis.call('HGET', owned, member) or '0'))
  if units > 0 then redis.call('HINCRBY', owned, member, -units) end
end
return 1
