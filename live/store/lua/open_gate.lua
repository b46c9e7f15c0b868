-- Makes a show's gate from what SQL says; nothing is held in it.
-- KEYS    1 gate  2 holds  3 held  4 lapsed  5 claims  6 owned
-- ARGV    1 epoch  2 least rev  3 'missing' (leave a gate that stands) or 'anew'  4 number of SKUs
--         then sku, left, …  then cart|sku, units bought, …
-- RETURNS {'OPENED', epoch} | {'STANDS', epoch}
local gate = KEYS[1]
local stands = redis.call('HGET', gate, 'epoch')
if stands and ARGV[3] == 'missing' then return {'STANDS', stands} end
local rev = math.max(tonumber(ARGV[2]), tonumber(redis.call('HGET', gate, 'rev') or '0') + 1)
redis.call('DEL', unpack(KEYS))
redis.call('HSET', gate, 'epoch', ARGV[1], 'rev', whole(rev), 'held', '0', 'consumed', '0')
local skus = tonumber(ARGV[4])
for i = 5, 4 + 2 * skus, 2 do set_left(gate, ARGV[i], tonumber(ARGV[i + 1])) end
for i = 5 + 2 * skus, #ARGV, 2 do redis.call('HSET', KEYS[6], ARGV[i], ARGV[i + 1]) end
return {'OPENED', ARGV[1]}
