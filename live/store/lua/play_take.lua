-- Takes a vote, an answer, an entry or a tap.
-- KEYS    1 play  2 people
-- ARGV    1 person  2 value  3 now_ms  4 delay_ms of her picture  5 '1': value is a choice that may change  6 ttl_s
-- RETURNS 'OK' | 'GONE' | 'CLOSED' | 'INVALID'
local play, people = KEYS[1], KEYS[2]
local state, closes, grace, choices = unpack(redis.call('HMGET', play, 'state', 'closes', 'grace', 'choices'))
if not state then return 'GONE' end
if state ~= 'open' then return 'CLOSED' end
-- Her word for the delay is taken up to the game's grace; nothing is told to anyone before that is over.
local late = math.min(math.max(tonumber(ARGV[4]), 0), tonumber(grace))
if tonumber(ARGV[3]) > tonumber(closes) + late then return 'CLOSED' end
if ARGV[5] == '1' then
  local choice = tonumber(ARGV[2])
  if choice < 0 or choice >= tonumber(choices) then return 'INVALID' end
  local before = redis.call('HGET', people, ARGV[1])
  if before then redis.call('HINCRBY', play, 'n:' .. before, -1) end
  redis.call('HINCRBY', play, 'n:' .. ARGV[2], 1)
  redis.call('HSET', people, ARGV[1], ARGV[2])
else
  redis.call('HSETNX', people, ARGV[1], ARGV[2])
end
redis.call('EXPIRE', people, ARGV[6])
return 'OK'
