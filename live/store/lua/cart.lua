-- Reads a cart with the state of its holds, at one moment.
-- KEYS    1 holds  2 held  3 cart
-- ARGV    1 now_ms  2 cart
-- RETURNS {rev or '0', order being paid or '', {SKUs it waits for},
--          then for each line: line (JSON), units, until_ms or '0' when lapsed}
local holds, held, cart = unpack(KEYS)
local waits = {}
local answer = {redis.call('HGET', cart, 'rev') or '0', redis.call('HGET', cart, 'paying') or '', waits}
for _, field in ipairs(redis.call('HKEYS', cart)) do
  if string.sub(field, 1, 2) == 'w:' then table.insert(waits, string.sub(field, 3)) end
  if string.sub(field, 1, 2) == 'l:' then
    local sku = string.sub(field, 3)
    local until_ms = tonumber(redis.call('ZSCORE', holds, ARGV[2] .. '|' .. sku) or '0')
    table.insert(answer, redis.call('HGET', cart, field))
    if until_ms > tonumber(ARGV[1]) then
      table.insert(answer, redis.call('HGET', held, ARGV[2] .. '|' .. sku))
      table.insert(answer, whole(until_ms))
    else
      table.insert(answer, redis.call('HGET', cart, 'q:' .. sku))
      table.insert(answer, '0')
    end
  end
end
return answer
