-- A store that came back without its newest events would give their numbers out again: begin a new epoch instead.
-- KEYS  1 head
-- ARGV  1 epoch we know, 2 highest number we have delivered in it, 3 epoch to begin
-- Returns {epoch, seq}
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not head[1] then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'seq', 0)
elseif head[1] == ARGV[1] and tonumber(head[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[3])
end
head = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
return {head[1], tonumber(head[2])}
