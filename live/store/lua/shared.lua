-- What the stock scripts share; live/store/redis.py puts it before each of them.
--
-- gate    hash  n:<sku> units left, below 0 when staff took away what is held · r:<sku> rev of its last change · rev · epoch · held · consumed
-- holds   zset  <cart>|<sku> by expiry ms            held  hash  <cart>|<sku> -> units
-- claims  hash  <order> -> {cart, lines}             owned hash  <cart>|<sku> -> units bought
-- lapsed  list  <units>|<cart>|<sku>, waiting for the worker to tell their owners
-- cart    hash  l:<sku> line (JSON) · q:<sku> units · b:<sku> expiry before paying · w:<sku> waits for one · rev · paying
-- queue   zset  carts that wait for one SKU, by ticket
-- queues  hash  <sku> -> '1' while somebody waits · #: the last ticket
-- Levels are absolute and carry a gate-wide rev, so that a reader keeps the higher and drops the lower.

local LAPSED_KEPT = 10000

local function whole(number) return string.format('%.0f', number) end

-- A level as people see it.
local function shown(left) return whole(math.max(0, left)) end

local function left_of(gate, sku) return tonumber(redis.call('HGET', gate, 'n:' .. sku) or '0') end

-- Sets a level: returns left, as people see it, and rev.
local function set_left(gate, sku, left)
  local rev = whole(redis.call('HINCRBY', gate, 'rev', 1))
  redis.call('HSET', gate, 'n:' .. sku, whole(left), 'r:' .. sku, rev)
  return shown(left), rev
end

local function put_back(gate, sku, units) return set_left(gate, sku, left_of(gate, sku) + units) end

-- Takes a hold away without giving its units to anybody: returns the units.
local function drop_hold(gate, holds, held, member)
  local units = tonumber(redis.call('HGET', held, member) or '0')
  redis.call('ZREM', holds, member)
  redis.call('HDEL', held, member)
  if units > 0 then redis.call('HINCRBY', gate, 'held', -units) end
  return units
end

-- Expired holds go back to stock here, inside the script that takes stock: no expiry event is relied upon.
local function purge(gate, holds, held, lapsed, now, most)
  local due = redis.call('ZRANGEBYSCORE', holds, '-inf', now, 'LIMIT', 0, most)
  for _, member in ipairs(due) do
    local sku = string.match(member, '^[^|]*|(.*)$')
    local units = drop_hold(gate, holds, held, member)
    if units > 0 then
      put_back(gate, sku, units)
      redis.call('RPUSH', lapsed, whole(units) .. '|' .. member)
    end
  end
  if #due > 0 then redis.call('LTRIM', lapsed, -LAPSED_KEPT, -1) end
  return #due
end

-- A bag's rev outlives the bag: it starts from the clock, so that an emptied store can't count below what pages saw.
local function cart_changed(cart, now, cart_ttl_s)
  local rev = math.max(tonumber(redis.call('HGET', cart, 'rev') or '0') + 1, tonumber(now))
  redis.call('HSET', cart, 'rev', whole(rev))
  redis.call('EXPIRE', cart, cart_ttl_s)
end


-- Whether what the caller read of the stage still holds, and whether the drop is open: nil, or the answer to give.
-- `version` is the stage's as it was read; '*' asks for no look at it.
local function refusal(stage, version, now, opens, closes)
  if version ~= '*' and (redis.call('GET', stage) or '') ~= version then return 'STALE' end
  if tonumber(closes) > 0 and tonumber(closes) <= tonumber(now) then return 'CLOSED ' .. closes end
  if tonumber(opens) > tonumber(now) then return 'NOT_OPEN ' .. opens end
end

-- Units that a cart holds or owns of a SKU. A hold past its time that no purge reached yet does not count.
local function taken_by(holds, held, owned, member, now)
  local units = tonumber(redis.call('HGET', held, member) or '0')
  if units > 0 and tonumber(redis.call('ZSCORE', holds, member) or '0') <= tonumber(now) then units = 0 end
  return units + tonumber(redis.call('HGET', owned, member) or '0')
end

-- The first cap that `more` units would break: its answer, or nil. Caps are in ARGV from `at` on: how many there are,
-- then for each its name, its units, its number of SKUs and these.
local function over_cap(holds, held, owned, who, more, now, at)
  local i = at + 1
  for _ = 1, tonumber(ARGV[at]) do
    local name, most, skus = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local has = more
    for j = i + 3, i + 2 + skus do has = has + taken_by(holds, held, owned, who .. '|' .. ARGV[j], now) end
    if has > most then return 'OVER_LIMIT ' .. whole(most) .. ' ' .. name end
    i = i + 3 + skus
  end
end
