-- The sale is called off: a claim's units go back to stock.
-- KEYS    1 gate  2 claims  3 owned
-- ARGV    1 order
-- RETURNS {for each level that moved: sku, left, rev}
local gate, claims, owned = unpack(KEYS)
local claim = redis.call('HGET', claims, ARGV[1])
local answer = {}
if not claim then return answer end
claim = cjson.decode(claim)
redis.call('HDEL', claims, ARGV[1])
for sku, units in pairs(claim.lines) do
  local left, rev = put_back(gate, sku, units)
  redis.call('HINCRBY', owned, claim.cart .. '|' .. sku, -units)
  table.insert(answer, sku)
  table.insert(answer, left)
  table.insert(answer, rev)
end
return answer
