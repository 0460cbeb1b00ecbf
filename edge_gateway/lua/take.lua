-- Take a token from each of some buckets, one after the other; each is one step over all edges.
--
-- KEYS[i] a bucket, of one person and kind: a hash of `tokens` (a fraction) and `at` (milliseconds, Redis' own
--         clock). One that is named twice gives twice.
-- ARGV[2i - 1] its capacity: tokens when it is full
-- ARGV[2i] milliseconds in which an empty one fills
-- Returns four numbers a bucket: 1 when one was taken or 0, whole tokens left, ms until there is one, ms until
-- it is full.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at_text = string.format('%.0f', now)
local found = {}
for i, key in ipairs(KEYS) do
  local capacity, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local held = redis.pcall('HMGET', key, 'tokens', 'at')
  if held.err and string.find(held.err, 'WRONGTYPE', 1, true) then
    -- Something else in the bucket's place would leave all who are asked for together uncounted, each time.
    redis.call('DEL', key)
    held = {}
  elseif held.err then
    return held
  end
  local tokens, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
  tokens = math.min(capacity, tokens + math.max(0, now - at) * capacity / window)
  local taken = 0
  if tokens >= 1 then
    tokens, taken = tokens - 1, 1
  end
  redis.call('HSET', key, 'tokens', string.format('%.6f', tokens), 'at', at_text)
  redis.call('PEXPIRE', key, window)
  local place = 4 * i
  found[place - 3], found[place - 2] = taken, math.floor(tokens)
  found[place - 1] = tokens >= 1 and 0 or math.ceil((1 - tokens) * window / capacity)
  found[place] = math.ceil((capacity - tokens) * window / capacity)
end
return found
