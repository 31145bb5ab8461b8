"""What happens to a message in Redis, as scripts. Each is one step: no crash leaves a message in two places or none.

A message in flight is a field of `unacked:{<queue>}`: under its delivery tag the list it came from, its owner, its
deadline and the message itself, each on a line (JSON has no line breaks of its own). Only its owner may end that.

A message that comes back is marked by text put before its first key, `"x-delivery-count": <n>`: how often it was
delivered to an owner that did not live to return it. The rest of the text stays as the sender wrote it, since decoding
and encoding it in Lua would change it (an empty list becomes an empty object). RabbitMQ's name for the same count.

Every script writes before it removes: a server that is out of memory refuses the write, and nothing has changed.
"""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_ENTRY = """
local function parse(entry)
  return string.match(entry, '^([^\\n]*)\\n([^\\n]*)\\n(%d+)\\n(.*)$')
end
local function owned(unacked, tag, owner)
  local entry = redis.call('HGET', unacked, tag)
  if not entry then return false end
  local list, holder, _, item = parse(entry)
  if holder ~= owner then return false end
  return list, item
end
local function redelivered(item, deliveries)
  local count, rest = string.match(item, '^{"x%-delivery%-count": (%d+), (.*)$')
  if not count then
    count, rest = 0, string.match(item, '^%s*{(.*)$')
  end
  return string.format('{"x-delivery-count": %d, ', count + deliveries) .. rest
end
local function put_back(unacked, tag, list, item, deliveries, push)
  if push == 'RPUSH' then
    redis.call('HINCRBY', 'taken' .. string.match(unacked, ':.*$'), list, -1)
  end
  redis.call(push, list, redelivered(item, deliveries))
  redis.call('HDEL', unacked, tag)
end
"""

_UNPARK = """
local function unpark(parked)
  local due = redis.call('ZRANGEBYSCORE', parked, '-inf', now, 'LIMIT', 0, 1000)
  for i = #due, 1, -1 do
    local list, item = string.match(due[i], '^([^\\n]*)\\n(.*)$')
    redis.call('HINCRBY', 'taken' .. string.match(parked, ':.*$'), list, -1)
    redis.call('RPUSH', list, item)
    redis.call('ZREM', parked, due[i])
  end
  return #due
end
"""

# KEYS: the lists, in the order to try. ARGV: owner; for each queue its name, the seconds until its messages' deadline,
# and whether the owner needs a lease; then an empty one, and for each list the number of its queue.
# Returns {queue, item}; {queue} where the item was no message; or a number: the milliseconds until a parked message is
# due, -1 where none is parked, -2 where the owner's lease has ended.
FETCH = (
    _NOW
    + _UNPARK
    + """
local owner, queues, wait, leaseless, i = ARGV[1], {}, -1, false, 2
while ARGV[i] ~= '' do
  local name = ARGV[i]
  local parked, leased = 'parked:{' .. name .. '}', true
  unpark(parked)
  local first = redis.call('ZRANGE', parked, 0, 0, 'WITHSCORES')
  if first[2] and (wait < 0 or first[2] - now < wait) then wait = math.max(first[2] - now, 0) end
  if ARGV[i + 2] == '1' then
    leased = redis.call('EXISTS', 'lease:{' .. name .. '}:' .. owner) == 1
    leaseless = leaseless or not leased
  end
  table.insert(queues, {name = name, deadline = string.format('%d', now + ARGV[i + 1] * 1000), leased = leased})
  i = i + 3
end
for k, list in ipairs(KEYS) do
  local queue = queues[tonumber(ARGV[i + k])]
  local item = queue.leased and redis.call('LINDEX', list, -1)
  if item then
    local decoded, message = pcall(cjson.decode, item)
    local properties = decoded and type(message) == 'table' and message.properties
    local tag = type(properties) == 'table' and properties.delivery_tag
    redis.call('HINCRBY', 'taken:{' .. queue.name .. '}', list, 1)
    if type(tag) ~= 'string' or type(properties.delivery_info) ~= 'table' then
      redis.call('LMOVE', list, 'dead:{' .. queue.name .. '}', 'RIGHT', 'LEFT')
      return {queue.name}
    end
    local entry = list .. '\\n' .. owner .. '\\n' .. queue.deadline .. '\\n' .. item
    redis.call('HSET', 'unacked:{' .. queue.name .. '}', tag, entry)
    redis.call('RPOP', list)
    return {queue.name, item}
  end
end
return leaseless and -2 or wait
"""
)

# KEYS: unacked. ARGV: owner, tag. Returns 1, or 0 where the owner does not have the message any more.
ACK = (
    _ENTRY
    + """
if not owned(KEYS[1], ARGV[2], ARGV[1]) then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[2])
"""
)

# KEYS: unacked. ARGV: owner, deliveries to count, RPUSH (the front of the queue) or LPUSH (its end), tags.
# Returns how many the owner had.
RETURN = (
    _ENTRY
    + """
local returned = 0
for i = 4, #ARGV do
  local list, item = owned(KEYS[1], ARGV[i], ARGV[1])
  if list then
    put_back(KEYS[1], ARGV[i], list, item, ARGV[2], ARGV[3])
    returned = returned + 1
  end
end
return returned
"""
)

# KEYS: unacked. ARGV: owner, deliveries to count, the tags that the owner keeps. Returns the tags of all its others.
RETURN_OTHERS = (
    _ENTRY
    + """
local kept, returned = {}, {}
for i = 3, #ARGV do kept[ARGV[i]] = true end
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local list, owner, _, item = parse(entries[i + 1])
  if owner == ARGV[1] and not kept[entries[i]] then
    put_back(KEYS[1], entries[i], list, item, ARGV[2], 'RPUSH')
    table.insert(returned, entries[i])
  end
end
return returned
"""
)

# KEYS: unacked, the beginning of a lease's key. ARGV: whether owners without a lease lose their messages. Those past
# their deadline are returned in any case.
# Returns tag and owner of each message that was returned.
RECLAIM = (
    _NOW
    + _ENTRY
    + """
local returned = {}
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local list, owner, deadline, item = parse(entries[i + 1])
  local dead = ARGV[1] == '1' and redis.call('EXISTS', KEYS[2] .. owner) == 0
  if dead or tonumber(deadline) <= now then
    put_back(KEYS[1], entries[i], list, item, 1, 'RPUSH')
    table.insert(returned, entries[i])
    table.insert(returned, owner)
  end
end
return returned
"""
)

# KEYS: leases. ARGV: milliseconds. Returns 0 where one has ended, so that its messages may have been returned; else 1.
# PEXPIRE, since a server that is out of memory refuses other writes: no lease may end for that.
RENEW = """
local renewed = 1
for _, lease in ipairs(KEYS) do renewed = math.min(renewed, redis.call('PEXPIRE', lease, ARGV[1])) end
return renewed
"""

# KEYS: unacked, parked. ARGV: owner, tag, milliseconds, whether they count from now, and not from 1970, and deliveries
# to count.
# Returns 1; 0 where it is due already; -1 where the owner does not have the message any more.
PARK = (
    _NOW
    + _ENTRY
    + """
local list, item = owned(KEYS[1], ARGV[2], ARGV[1])
if not list then return -1 end
local due = tonumber(ARGV[3])
if ARGV[4] == '1' then due = now + due end
if due <= now then return 0 end
if ARGV[5] ~= '0' then item = redelivered(item, ARGV[5]) end
redis.call('ZADD', KEYS[2], string.format('%d', due), list .. '\\n' .. item)
redis.call('HDEL', KEYS[1], ARGV[2])
return 1
"""
)

# KEYS: parked of several queues. Returns how many messages were due and went to the front of their queues.
UNPARK = (
    _NOW
    + _UNPARK
    + """
local moved = 0
for _, parked in ipairs(KEYS) do moved = moved + unpark(parked) end
return moved
"""
)

# KEYS: unacked, dead. ARGV: owner, tag, the dead letter. Returns 1, or 0 where the owner does not have it any more.
DEAD = (
    _ENTRY
    + """
if not owned(KEYS[1], ARGV[2], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[3])
return redis.call('HDEL', KEYS[1], ARGV[2])
"""
)

# KEYS: dead, the list, or none to drop it. ARGV: the dead letter. Returns 1, or 0 where it is not there any more.
END_DEAD = """
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
if KEYS[2] then redis.call('LPUSH', KEYS[2], ARGV[1]) end
return redis.call('LREM', KEYS[1], -1, ARGV[1])
"""

# KEYS: for each list the hash of what was taken from its queue's lists, its arrivals, and itself.
# Returns for each list how many milliseconds its oldest message has waited at the least; -1 where it is empty.
#
# `taken` counts what left the list at its front and did not come back there, so together with what waits it counts what
# came to its end. `arrivals` has that count for each time that it was seen to grow. The oldest message came no later
# than the first of them that counts more than was taken.
WAITS = (
    _NOW
    + """
local waits = {}
for i = 1, #KEYS, 3 do
  local arrivals, waiting = KEYS[i + 1], redis.call('LLEN', KEYS[i + 2])
  if waiting == 0 then
    redis.call('DEL', arrivals)
    table.insert(waits, -1)
  else
    local taken = tonumber(redis.call('HGET', KEYS[i], KEYS[i + 2]) or 0)
    local last = tonumber(redis.call('ZREVRANGE', arrivals, 0, 0, 'WITHSCORES')[2])
    if last and last > taken + waiting then
      redis.call('DEL', arrivals)
      last = nil
    end
    if not last or last < taken + waiting then redis.call('ZADD', arrivals, taken + waiting, now) end
    redis.call('ZREMRANGEBYSCORE', arrivals, '-inf', taken)
    if redis.call('ZCARD', arrivals) > 10000 then redis.call('ZREMRANGEBYRANK', arrivals, 5000, 5999) end
    table.insert(waits, now - redis.call('ZRANGE', arrivals, 0, 0)[1])
  end
end
return waits
"""
)

# KEYS: run_times, taken, unacked, parked. ARGV: the longest time between two looks in milliseconds, how many tasks to
# remember, how many seconds to keep it.
# Returns the milliseconds that tasks ran, and how many ended.
#
# What was taken from the lists and is neither in flight nor parked has ended.
MEASURE = (
    _NOW
    + """
local running, ended = redis.call('HLEN', KEYS[3]), 0
for _, count in ipairs(redis.call('HVALS', KEYS[2])) do ended = ended + count end
ended = ended - running - redis.call('ZCARD', KEYS[4])
local before = redis.call('HMGET', KEYS[1], 'at', 'running', 'ended', 'busy', 'tasks')
local busy, tasks = tonumber(before[4] or 0), tonumber(before[5] or 0)
local elapsed = now - (tonumber(before[1]) or now)
local new = ended - (tonumber(before[3]) or ended)
if elapsed >= 0 and elapsed <= tonumber(ARGV[1]) and new >= 0 then
  busy = busy + elapsed * (running + (tonumber(before[2]) or running)) / 2
  tasks = tasks + new
  if tasks > tonumber(ARGV[2]) then
    busy, tasks = busy * ARGV[2] / tasks, tonumber(ARGV[2])
  end
end
redis.call('HSET', KEYS[1], 'at', now, 'running', running, 'ended', ended, 'busy', busy, 'tasks', tasks)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {tostring(busy), tostring(tasks)}
"""
)

# KEYS: kombu's unacked and its index, the list. ARGV: tag, the entry as it was read, the message. Returns 1, or 0 where
# the entry is another by now.
TAKE_OVER = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('RPUSH', KEYS[3], '{"x-delivery-count": 1, ' .. string.match(ARGV[3], '^%s*{(.*)$'))
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""

# KEYS: unacked. Returns each owner and the number of its messages. The messages themselves may be large, and stay here.
OWNERS = (
    _ENTRY
    + """
local counts, reply = {}, {}
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  local _, owner = parse(entry)
  if owner then counts[owner] = (counts[owner] or 0) + 1 end
end
for owner, count in pairs(counts) do
  reply[#reply + 1] = owner
  reply[#reply + 1] = count
end
return reply
"""
)
