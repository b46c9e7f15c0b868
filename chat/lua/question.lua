-- A question's next state. One that is dismissed is wiped from the log too, so that no resume brings its words back.
-- KEYS  1 head, 2 log, 3 questions
-- ARGV  1 question's id, 2 the state it must still have (JSON of the whole), 3 the whole as it will be, 4 envelope from
--       after its "{", 5 numbers kept, 6 channel, 7 seconds the room's keys live on, 8 "1": off the list,
--       9 epoch to begin if need be, last: see epoch.lua
-- Returns {epoch, seq} | false (it changed meanwhile)
local epoch = epoch_now(KEYS[1], ARGV[9])
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return false end
if ARGV[8] == '1' then redis.call('HDEL', KEYS[3], ARGV[1]) else redis.call('HSET', KEYS[3], ARGV[1], ARGV[3]) end
if ARGV[8] == '1' then
  local asked_in, asked = string.match(ARGV[1], '^(%w+)%.(%d+)$')
  local mark = '"body":{"question":{"id":"' .. ARGV[1] .. '",'
  local last = tonumber(redis.call('HGET', KEYS[1], 'seq'))
  -- Not from before the log: of a long show that would be hundreds of thousands of looks, and the store waits for them.
  for number = math.max(asked_in == epoch and tonumber(asked) or 1, last - tonumber(ARGV[5]) + 1), last do
    local entry = redis.call('HGET', KEYS[2], number)
    if entry and string.find(entry, mark, 1, true) then
      redis.call('HSET', KEYS[2], number, '{"seq":' .. number .. ',' .. ARGV[4])
    end
  end
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
local envelope = '{"seq":' .. seq .. ',' .. ARGV[4]
redis.call('HSET', KEYS[2], seq, envelope)
redis.call('HDEL', KEYS[2], seq - tonumber(ARGV[5]))
redis.call('EXPIRE', KEYS[1], ARGV[7])
redis.call('EXPIRE', KEYS[2], ARGV[7])
redis.call('SPUBLISH', ARGV[6], 'e ' .. epoch .. ' ' .. seq .. ' question.changed\n' .. envelope)
return {epoch, seq}
