-- The newest envelopes, back to what the one who is furthest behind has had: each of those who ask finds hers among them.
-- KEYS  1 head, 2 log
-- ARGV  1 most envelopes, 2 … what each has had: epoch, seq; last: see epoch.lua
-- Returns {epoch or '', newest seq, {envelope, ...}}, oldest first, without a gap up to the newest. A position of another
--         epoch, one that was never given out, and one that is further behind than `most` make nobody else's longer.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'run')
if not head[1] or not has_all(head[3], this_run()) then return {'', 0, {}} end
local last = tonumber(head[2])
local from = last
for i = 2, #ARGV - 1, 2 do
  local had = tonumber(ARGV[i + 1])
  if ARGV[i] == head[1] and had >= 0 and had < from and last - had <= tonumber(ARGV[1]) then from = had end
end
local answer = {}
for number = last, from + 1, -1 do
  local entry = redis.call('HGET', KEYS[2], number)
  if not entry then break end
  answer[last - number + 1] = entry
end
local count = #answer
for i = 1, math.floor(count / 2) do
  answer[i], answer[count + 1 - i] = answer[count + 1 - i], answer[i]
end
return {head[1], last, answer}
