-- Take one token from one person's bucket of one kind, as one step over all edges.
--
-- KEYS[1] the bucket: a hash of `tokens` (a fraction) and `at` (milliseconds, Redis' own clock)
-- ARGV[1] capacity: tokens of a full bucket
-- ARGV[2] milliseconds in which an empty one fills
-- Returns {1 when one was taken or 0, whole tokens left, ms until there is one, ms until it is full}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local capacity, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * capacity / window)
local taken = 0
if tokens >= 1 then
  tokens, taken = tokens - 1, 1
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], window)
local next_ms = tokens >= 1 and 0 or math.ceil((1 - tokens) * window / capacity)
return {taken, math.floor(tokens), next_ms, math.ceil((capacity - tokens) * window / capacity)}
