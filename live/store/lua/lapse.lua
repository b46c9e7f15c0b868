-- Returns expired holds to stock and hands out those that lapsed since the last call, each once.
-- KEYS    1 gate  2 holds  3 held  4 lapsed
-- ARGV    1 now_ms  2 most
-- RETURNS {'<units>|<cart>|<sku>', left, rev, …} | {'NOGATE'}
local gate, holds, held, lapsed = unpack(KEYS)

if redis.call('EXISTS', gate) == 0 then return {'NOGATE'} end
purge(gate, holds, held, lapsed, ARGV[1], tonumber(ARGV[2]))
local answer = {}
for _, entry in ipairs(redis.call('LPOP', lapsed, ARGV[2]) or {}) do
  local sku = string.match(entry, '^[^|]*|[^|]*|(.*)$')
  table.insert(answer, entry)
  table.insert(answer, whole(left_of(gate, sku)))
  table.insert(answer, redis.call('HGET', gate, 'r:' .. sku) or '0')
end
return answer
