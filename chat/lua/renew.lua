-- Where the room stands; in a new epoch when the store lacks numbers that this process has delivered.
-- KEYS  1 head
-- ARGV  1 epoch we know, 2 highest number we have delivered in it, 3 epoch to begin if need be, last: see epoch.lua
-- Returns {epoch, seq}
local epoch = epoch_now(KEYS[1], ARGV[3])
-- A store that was said to keep what it answered, and did not.
if epoch == ARGV[1] and tonumber(redis.call('HGET', KEYS[1], 'seq')) < tonumber(ARGV[2]) then
  epoch = begin_anew(KEYS[1], ARGV[3], this_run())
end
return {epoch, tonumber(redis.call('HGET', KEYS[1], 'seq'))}
