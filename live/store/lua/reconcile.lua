-- Sets each level to what SQL's on-hand and sold leave after the holds and claims that stand here, and what buyers own to
-- what SQL says they bought and the claims that stand.
-- Refuses when a sale was consumed, or a claim made, since gate_facts.lua: SQL was read before it or after it, nobody
-- knows, and it would be counted twice or not at all.
-- KEYS    1 gate  2 held  3 claims  4 owned
-- ARGV    1 epoch  2 consumed  3 number of SKUs  then sku, on hand - sold, …  then the number of claims as they were,
--         then order, '1' (it is done with) or '0', …  then '1' to look at what is owned, and of those where it is not
--         what SQL says was bought: cart|sku, units bought, …
-- RETURNS {'OK', for each level that was wrong: sku, left, rev} | {'STALE'}
local gate, held, claims, owned = unpack(KEYS)
if redis.call('HGET', gate, 'epoch') ~= ARGV[1] or redis.call('HGET', gate, 'consumed') ~= ARGV[2] then
  return {'STALE'}
end
local skus = tonumber(ARGV[3])
local at = 4 + 2 * skus -- the number of claims
local after = at + 1 + 2 * tonumber(ARGV[at])
local known = {}
for i = at + 1, after - 1, 2 do known[ARGV[i]] = ARGV[i + 1] end
local standing = redis.call('HKEYS', claims)
for _, order in ipairs(standing) do
  if not known[order] then return {'STALE'} end
end
for _, order in ipairs(standing) do
  if known[order] == '1' then
    redis.call('HDEL', claims, order)
    redis.call('HINCRBY', gate, 'consumed', 1)
  end
end

local taken, all_held = {}, 0
local entries = redis.call('HGETALL', held)
for i = 1, #entries, 2 do
  local sku, units = string.match(entries[i], '^[^|]*|(.*)$'), tonumber(entries[i + 1])
  taken[sku] = (taken[sku] or 0) + units
  all_held = all_held + units
end
local claimed = {}
for _, claim in ipairs(redis.call('HVALS', claims)) do
  claim = cjson.decode(claim)
  for sku, units in pairs(claim.lines) do
    local member = claim.cart .. '|' .. sku
    taken[sku] = (taken[sku] or 0) + units
    claimed[member] = (claimed[member] or 0) + units
  end
end
for i = after + 1, #ARGV, 2 do
  local units = tonumber(ARGV[i + 1]) + (claimed[ARGV[i]] or 0)
  claimed[ARGV[i]] = nil
  if units > 0 then redis.call('HSET', owned, ARGV[i], whole(units)) else redis.call('HDEL', owned, ARGV[i]) end
end
if ARGV[after] == '1' then -- of the others that claim, the claim itself is not counted: what is owned is what was bought
  for member, units in pairs(claimed) do redis.call('HINCRBY', owned, member, units) end
end
redis.call('HSET', gate, 'held', whole(all_held))

local answer = {'OK'}
for i = 4, 3 + 2 * skus, 2 do
  local sku = ARGV[i]
  local left = tonumber(ARGV[i + 1]) - (taken[sku] or 0)
  if redis.call('HGET', gate, 'n:' .. sku) ~= whole(left) then
    local now_left, rev = set_left(gate, sku, left)
    table.insert(answer, sku)
    table.insert(answer, now_left)
    table.insert(answer, rev)
  end
end
return answer
