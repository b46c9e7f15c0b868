-- Sets each level to what SQL's on-hand and sold leave after the holds and claims that stand here.
-- Refuses when a sale was consumed since gate_facts.lua: SQL was read before it, and would be counted wrongly.
-- KEYS    1 gate  2 held  3 claims
-- ARGV    1 epoch  2 consumed  3 number of SKUs  then sku, on hand - sold, …  then orders whose claim is done with
-- RETURNS {'OK', for each level that was wrong: sku, left, rev} | {'STALE'}
local gate, held, claims = unpack(KEYS)
if redis.call('HGET', gate, 'epoch') ~= ARGV[1] or redis.call('HGET', gate, 'consumed') ~= ARGV[2] then
  return {'STALE'}
end
local skus = tonumber(ARGV[3])
for i = 4 + 2 * skus, #ARGV do
  if redis.call('HDEL', claims, ARGV[i]) == 1 then redis.call('HINCRBY', gate, 'consumed', 1) end
end

local taken, all_held = {}, 0
local entries = redis.call('HGETALL', held)
for i = 1, #entries, 2 do
  local sku, units = string.match(entries[i], '^[^|]*|(.*)$'), tonumber(entries[i + 1])
  taken[sku] = (taken[sku] or 0) + units
  all_held = all_held + units
end
for _, claim in ipairs(redis.call('HVALS', claims)) do
  for sku, units in pairs(cjson.decode(claim).lines) do taken[sku] = (taken[sku] or 0) + units end
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
