-- Say that one edge lives, and learn which others do.
--
-- KEYS[1] all edges: a sorted set of their names by the time at which each is taken for dead (milliseconds, Redis' clock)
-- ARGV[1] the name of this edge
-- ARGV[2] milliseconds until it is taken for dead
-- Returns the names of those that live, this one among them.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
