-- What came after a position, or false when that can't be told without a gap.
-- KEYS  1 head, 2 log
-- ARGV  1 epoch, 2 seq, 3 most envelopes
-- Returns {envelope, ...} | false (another epoch, a number that was never given, older than the log, or more than that)
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not head[1] or head[1] ~= ARGV[1] then return false end
local from, last = tonumber(ARGV[2]), tonumber(head[2])
if from > last or from < 0 or last - from > tonumber(ARGV[3]) then return false end
local answer = {}
for number = from + 1, last do
  local entry = redis.call('HGET', KEYS[2], number)
  if not entry then return false end
  answer[#answer + 1] = entry
end
return answer
