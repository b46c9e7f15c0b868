-- Returns expired holds to stock and hands out those that lapsed since the last call, each once.
-- Their owners are noted as to be told, until somebody has (told.lua).
-- KEYS    1 gate  2 holds  3 held  4 lapsed  5 untold
-- ARGV    1 now_ms  2 most
-- RETURNS {'<units>|<cart>|<sku>', left, rev, …} | {'NOGATE'}
local gate, holds, held, lapsed, untold = unpack(KEYS)

if redis.call('EXISTS', gate) == 0 then return {'NOGATE'} end
purge(gate, holds, held, lapsed, ARGV[1], tonumber(ARGV[2]))
local answer = {}
for _, entry in ipairs(redis.call('LPOP', lapsed, ARGV[2]) or {}) do
  local cart, sku = string.match(entry, '^[^|]*|([^|]*)|(.*)$')
  redis.call('ZADD', untold, ARGV[1], cart)
  table.insert(answer, entry)
  table.insert(answer, shown(left_of(gate, sku)))
  table.insert(answer, redis.call('HGET', gate, 'r:' .. sku) or '0')
end
return answer
