-- Shared by every script that gives out a room's numbers or tells of them: the epoch they belong to. It ends when the
-- store may have lost what it answered, or numbers that pages have had would be given out again, for something else.
-- Whoever first touches the room on a server that was started again, or on the node that took over, ends it in the same
-- step: that needs nobody who knows what was lost. docs/decisions/0166-an-epoch-ends-with-its-server.md
-- Reads the last of ARGV: "1" when this store keeps what it answered even when it is killed (chat/durability.py).
-- Past any number that was lost, and then as far as the log reaches: what the archive puts back keeps its own number, and
-- an event that is written now takes the one out of the log that is 10,000 before it.
local LEAP = 20000

-- The server's id, another for each start and each node; with "!" when it keeps what it answered.
local function this_run()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. (ARGV[#ARGV] == '1' and '!' or '')
end

-- Whether all is there that was answered in the run `was`.
local function has_all(was, now)
  if not was then return false end
  if string.sub(was, 1, 40) == string.sub(now, 1, 40) then return true end
  -- A replica that was promoted remembers whose it was; it may have lagged.
  return string.sub(was, -1) == '!' and string.find(redis.call('INFO', 'replication'), 'master_replid2:0+%s') ~= nil
end

-- What the store still has of the room may lack a removal, a ban or a mode: the archive puts them back.
local function begin_anew(head, fresh, run)
  local room = string.sub(head, 1, -5)
  for _, lost in ipairs({'log', 'lines', 'pins', 'pinned', 'silences', 'terms', 'mode', 'questions'}) do
    redis.call('DEL', room .. lost)
  end
  redis.call('HSET', head, 'epoch', fresh, 'run', run, 'seq', tonumber(redis.call('HGET', head, 'seq') or '0') + LEAP)
  return fresh
end

-- The epoch in force in the room with that head: `fresh` when there is none yet, or when it had to end.
local function epoch_now(head, fresh)
  local known, run = redis.call('HMGET', head, 'epoch', 'run'), this_run()
  if not known[1] then
    local room = string.sub(head, 1, -5)
    redis.call('DEL', room .. 'log', room .. 'lines')
    redis.call('HSET', head, 'epoch', fresh, 'run', run, 'seq', 0)
    return fresh
  end
  if known[2] == run then return known[1] end
  if not has_all(known[2], run) then return begin_anew(head, fresh, run) end
  redis.call('HSET', head, 'run', run)
  return known[1]
end

