-- Append one event to one user's stream and publish it on that user's channel, as one step: whoever
-- sees the frame finds its cursor in the stream, and the channel's order is the stream's order.
--
-- KEYS[1]  the user's stream, `{u:<user id>}`: ids only, bounded in length and age
-- ARGV[1]  the user's channel, `u:<user id>`
-- ARGV[2]  longest length, approximate (Redis trims whole nodes)
-- ARGV[3]  greatest age of an entry, milliseconds, to one in a hundred
-- ARGV[4]  seconds without an event after which the stream goes
-- ARGV[5]  the frame, JSON without the cursor
-- ARGV[6..] the entry's fields and values, in pairs
-- Returns the cursor: the entry's id.
--
-- In a Redis Cluster the channel's slot is the stream's (the braces hold the channel's name), and
-- SPUBLISH takes the place of PUBLISH.
local cursor = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 6))
if type(cursor) == 'table' and string.find(cursor.err, 'WRONGTYPE', 1, true) then
    -- Something else in the stream's place would have every event published again and again, to its other
    -- recipients too. It goes, as in a flush: who resumes finds no cursor and reads everything.
    redis.call('DEL', KEYS[1])
    cursor = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 6))
elseif type(cursor) == 'table' then
    return cursor
end
-- Old entries go, and the key lives on, once in a hundredth of the age: each time would be a quarter of the
-- script's cost. A stream that is new has no time to live, and gets it here; one that was given more than is
-- the setting now, less.
local left, whole = redis.call('PTTL', KEYS[1]), tonumber(ARGV[4]) * 1000
if left < whole - tonumber(ARGV[3]) / 100 or left > whole then
    -- The id is Redis' own clock, so the age needs no agreement with any other.
    local oldest = tonumber(string.match(cursor, '^%d+')) - tonumber(ARGV[3])
    redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', oldest))
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
redis.call('PUBLISH', ARGV[1], cursor .. '\n' .. ARGV[5])
return cursor
