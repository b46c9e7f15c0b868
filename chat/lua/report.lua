-- A viewer reports a line: each counts once, and what a moderator has looked at already does not come up again. Who has
-- raised as many cases as she may, or comes when enough wait, is counted in one case with all the others of her kind.
-- KEYS  1 reports, 2 decided, 3 who reported the line (set), 4 cases that she raised (string)
-- ARGV  1 case, 2 by whom: a person, or a network for those who are new, 3 the case up to the number of reports, 4 the
--       case from after it, 5 most cases that may wait, 6 seconds kept, 7 case of those that were gathered, 8 it up to
--       the number of reports, 9 it from after that, 10 most cases that she may raise, 11 within seconds
-- Returns {'new' | 'more' | 'gathered', reports, case (JSON)} | {'again'} | {'decided'}
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return {'decided'} end
if redis.call('SADD', KEYS[3], ARGV[2]) == 0 then return {'again'} end
redis.call('EXPIRE', KEYS[3], ARGV[6])

local function counted(how, id, before, after)
  local found, n = redis.call('HGET', KEYS[1], id), '0'
  -- The first words stay; people's own can't hold the mark, their quotes are escaped, and it is the last.
  if found then before, n, after = string.match(found, '^(.*"reports":)(%d+)(.*)$') end
  local case = before .. tonumber(n) + 1 .. after
  redis.call('HSET', KEYS[1], id, case)
  return {how, tonumber(n) + 1, case}
end

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return counted('more', ARGV[1]) end
local raised = tonumber(redis.call('GET', KEYS[4]) or '0')
if raised >= tonumber(ARGV[10]) or redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  -- Who looked at those that were gathered has not seen what is gathered from here on: that is another case.
  local many = ARGV[7]
  while redis.call('HEXISTS', KEYS[2], many) == 1 do many = many .. '_' end
  return counted('gathered', many, '{"id":"' .. many .. string.sub(ARGV[8], 8 + #ARGV[7]), ARGV[9])
end
redis.call('INCR', KEYS[4])
if raised == 0 then redis.call('EXPIRE', KEYS[4], ARGV[11]) end
return counted('new', ARGV[1], ARGV[3], ARGV[4])
