-- Reads on in the journal from a cursor, with all that is needed to judge whether history still holds it.
--
-- KEYS   1 deadlines  2 journal  3 meta
-- ARGV   1 cursor: a revision   2 how many records at most   3 stop after so many bytes
-- REPLY  server time in ms, then, '0' where there is none:
--        first, last, deadline of the context, time it was finished, next deadline of an entry,
--        revision before the oldest record; then the head of the record at the cursor ('' = none), records after it,
--        and the outcome of a finished context

local call = redis.call
local clock = call('TIME')
local now = string.format('%.0f', math.floor(tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000))
if call('EXISTS', KEYS[2]) == 0 then return {now, '0', '0', '0', '0', '0', '0', '', {}, ''} end

local meta = call('HMGET', KEYS[3], 'state', 'finished', 'outcome')
local last, deadline, first = string.sub(meta[1], 1, 16), string.sub(meta[1], 61, 73), string.sub(meta[1], 132, 147)
local upcoming = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local oldest = call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][2][2]
local at = call('XRANGE', KEYS[2], ARGV[1] .. '-0', ARGV[1] .. '-0')[1]

local records, bytes, from, wanted = {}, 0, '(' .. ARGV[1] .. '-0', tonumber(ARGV[2])
while wanted > 0 and bytes < tonumber(ARGV[3]) do
    local page = call('XRANGE', KEYS[2], from, '+', 'COUNT', math.min(wanted, 16))
    for _, item in ipairs(page) do
        records[#records + 1] = item[2][2]
        bytes = bytes + #item[2][2]
        from = '(' .. item[1]
    end
    wanted = #page < 16 and 0 or wanted - #page
end
return {now, first, last, deadline, meta[2] or '0', upcoming or '0', string.match(oldest, '^(%d+)'),
    at and string.match(at[2][2], '^[^\n]*') or '', records, meta[3] or ''}
