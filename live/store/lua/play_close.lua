-- Closes a game; nothing is taken after this.
-- KEYS    1 plays  2 play
-- ARGV    1 id  2 now_ms  3 '1': before its time too  4 ms it stays shown
-- RETURNS 'CLOSED' (by this call) | 'WAS' | 'EARLY' | 'GONE'
local plays, play = KEYS[1], KEYS[2]
local state, closes, grace = unpack(redis.call('HMGET', play, 'state', 'closes', 'grace'))
if not state then return 'GONE' end
if state ~= 'open' then return 'WAS' end
if ARGV[3] ~= '1' and tonumber(ARGV[2]) < tonumber(closes) + tonumber(grace) then return 'EARLY' end
redis.call('HSET', play, 'state', 'closed', 'closed', ARGV[2])
redis.call('ZADD', plays, string.format('%.0f', tonumber(ARGV[2]) + tonumber(ARGV[4])), ARGV[1])
return 'CLOSED'
