-- Append one event to its recipients' streams and publish it on their channels. For each of them it is one
-- step: whoever sees the frame finds its cursor in the stream, and the channel's order is the stream's order.
--
-- One call for all: to be called, with the frame and the fields each time, costs about what a recipient does.
--
-- KEYS      the recipients' streams, `{u:<user id>}`: ids only, bounded in length and age. A recipient's
--           channel is what the braces hold.
-- ARGV[1]   longest length, approximate (Redis trims whole nodes)
-- ARGV[2]   greatest age of an entry, milliseconds, to one in a hundred
-- ARGV[3]   seconds without an event after which the stream goes
-- ARGV[4]   the frame, JSON without the cursor
-- ARGV[5..] the entry's fields and values, in pairs
-- Returns nothing, or the error of a stream that took no entry: whoever comes after it is told all the same.
--
-- In a Redis Cluster a call would have to be for streams of one slot. The channel's slot is the stream's (the
-- braces hold the channel's name), and SPUBLISH takes the place of PUBLISH.
local whole = tonumber(ARGV[3]) * 1000
local soon = whole - tonumber(ARGV[2]) / 100
local failure
for _, key in ipairs(KEYS) do
    local cursor = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 5))
    if type(cursor) == 'table' and string.find(cursor.err, 'WRONGTYPE', 1, true) then
        -- Something else in the stream's place would have every event published again and again, to its other
        -- recipients too. It goes, as in a flush: who resumes finds no cursor and reads everything.
        redis.call('DEL', key)
        cursor = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 5))
    end
    if type(cursor) == 'table' then
        failure = cursor
    else
        -- Old entries go, and the key lives on, once in a hundredth of the age: each time would be more than
        -- a quarter of a recipient's cost. A stream that is new has no time to live, and gets it here; one
        -- that was given more than is the setting now, less.
        local left = redis.call('PTTL', key)
        if left < soon or left > whole then
            -- The id is Redis' own clock, so the age needs no agreement with any other.
            local oldest = tonumber(string.match(cursor, '^%d+')) - tonumber(ARGV[2])
            redis.call('XTRIM', key, 'MINID', string.format('%.0f', oldest))
            redis.call('EXPIRE', key, ARGV[3])
        end
        redis.call('PUBLISH', string.sub(key, 2, -2), cursor .. '\n' .. ARGV[4])
    end
end
return failure
