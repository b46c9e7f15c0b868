-- Puts back what the archive holds, under anything that was written meanwhile.
-- KEYS  1 silences (hash), 2 terms (hash), 3 mode (hash), 4 questions (hash)
-- ARGV  how many pairs for each of the four keys, then those pairs of field and value, key by key
-- Returns 1
local at = 5
for key = 1, 4 do
  for _ = 1, tonumber(ARGV[key]) do
    redis.call('HSETNX', KEYS[key], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
redis.call('HSET', KEYS[1], 'loaded', 1)
redis.call('HSET', KEYS[2], '', 'loaded')
return 1
