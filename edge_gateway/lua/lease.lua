-- Take a lease of one more socket of a person; those beyond the limit, the oldest first, are told to go.
--
-- KEYS[1] the person's leases: a sorted set of `<edge>:<socket>` by the time they were taken (microseconds, Redis' clock)
-- ARGV[1] the person's channel, on which every edge with a socket of theirs listens
-- ARGV[2] the most sockets at once
-- ARGV[3] seconds after which leases that nobody added to go
-- ARGV[4] the new lease
-- ARGV[5..] the edges that live: leases of others died with them
-- Returns how many were told to go; each by `!replaced <socket>`.
local live = {}
for i = 5, #ARGV do
  live[ARGV[i]] = true
end
for _, lease in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if not live[string.match(lease, '^[^:]*')] then
    redis.call('ZREM', KEYS[1], lease)
  end
end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local replaced = 0
while redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[2]) do
  local oldest = redis.call('ZPOPMIN', KEYS[1])[1]
  redis.call('PUBLISH', ARGV[1], '!replaced ' .. string.match(oldest, ':(.*)$'))
  replaced = replaced + 1
end
return replaced
