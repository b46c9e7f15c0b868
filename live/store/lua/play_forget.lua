-- Takes a person out of a game: her entry while it is open, of which her vote stays counted; after a draw her name, since
-- it is proven by who entered.
-- KEYS    1 play  2 people
-- ARGV    1 person
-- RETURNS 1: there was something of hers | 0
local play, people = KEYS[1], KEYS[2]
local value = redis.call('HGET', people, ARGV[1])
if not value then return 0 end
local state, choices, facts = unpack(redis.call('HMGET', play, 'state', 'choices', 'facts'))
local is_lot = state == 'closed' and tonumber(choices) == 0
if not is_lot then
  redis.call('HDEL', people, ARGV[1])
  return 1
end
-- What fell on her stands for an amount, and names nobody.
if not string.find(facts, '"game":"draw"', 1, true) then return 0 end
-- Worked out anew: the same, without her name. The second time, too: who worked it out may have read her name before the
-- first, and kept it after.
redis.call('HDEL', play, 'result')
if value == '' then return 0 end
redis.call('HSET', people, ARGV[1], '')
return 1
