-- Appends an event to a room's log, numbers it and publishes it, in one step: the log and the bus can't disagree.
-- KEYS  1 head (hash), 2 log (hash)
-- ARGV  1 epoch to begin if need be, 2 envelope from after its "{", 3 numbers kept, 4 channel, 5 kind,
--       6 seconds the room's keys live on, last: see epoch.lua
-- Returns {epoch, seq}
local epoch = epoch_now(KEYS[1], ARGV[1])
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local envelope = '{"seq":' .. seq .. ',' .. ARGV[2]
redis.call('HSET', KEYS[2], seq, envelope)
redis.call('HDEL', KEYS[2], seq - tonumber(ARGV[3]))
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[6])
redis.call('SPUBLISH', ARGV[4], 'e ' .. epoch .. ' ' .. seq .. ' ' .. ARGV[5] .. '\n' .. envelope)
return {epoch, seq}
