-- Opens a game, once an id.
-- KEYS    1 plays  2 play
-- ARGV    1 id  2 now_ms  3 shown until ms  4 most shown at once  5 ttl_s  6.. field, value of the game
-- RETURNS 'OK' | 'EXISTS' (the same request again) | 'FULL'
local plays, play = KEYS[1], KEYS[2]
if redis.call('EXISTS', play) == 1 then return 'EXISTS' end
redis.call('ZREMRANGEBYSCORE', plays, '-inf', ARGV[2])
if redis.call('ZCARD', plays) >= tonumber(ARGV[4]) then return 'FULL' end
redis.call('HSET', play, 'state', 'open', unpack(ARGV, 6))
redis.call('EXPIRE', play, ARGV[5])
redis.call('ZADD', plays, ARGV[3], ARGV[1])
redis.call('EXPIRE', plays, ARGV[5])
return 'OK'
