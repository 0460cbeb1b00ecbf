-- Put a new state of one person in the place of the one it was made of, with all that follows, as one step.
--
-- KEYS[1] their state
-- KEYS[2] when time changes the states of their shard: a sorted set of user ids by that time (milliseconds)
-- ARGV[1] the state that the new one was made of; '' = there was none
-- ARGV[2] the new state
-- ARGV[3] milliseconds for which it is kept
-- ARGV[4] the user id
-- ARGV[5] when time changes it; '' = never
-- ARGV[6] the person's presence channel
-- ARGV[7] the frame to publish there; '' = nothing is to be told
-- Returns 1; or, when another state stands there, that one ('' = none), and has done nothing.
local held = redis.call('GET', KEYS[1]) or ''
if held ~= ARGV[1] then
  return held
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[5] == '' then
  redis.call('ZREM', KEYS[2], ARGV[4])
else
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
end
if ARGV[7] ~= '' then
  redis.call('PUBLISH', ARGV[6], ARGV[7])
end
return 1
