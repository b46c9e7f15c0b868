-- What a reconcile must know before it reads SQL.
-- KEYS    1 gate  2 claims
-- RETURNS {epoch or '', consumed, order ids of the claims…}
local answer = {redis.call('HGET', KEYS[1], 'epoch') or '', redis.call('HGET', KEYS[1], 'consumed') or '0'}
for _, order in ipairs(redis.call('HKEYS', KEYS[2])) do table.insert(answer, order) end
return answer
