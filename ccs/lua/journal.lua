-- Reads the journal from a cursor on, with all that tells whether history still holds that cursor.
--
-- KEYS   1 deadlines  2 journal  3 meta
-- ARGV   1 cursor: a revision   2 how many records at most   3 stop after so many bytes
-- REPLY  time of the context in ms, then, '0' where there is none:
--        first, last, deadline of the context, time it was finished, next deadline of an entry,
--        revision before the oldest record; then the head of the record at the cursor ('' = none), records after it,
--        the outcome of a finished context; the last revision of one that is gone, or was before this one came into being,
--        and the revision before that end, which is the same for one that has expired: as far as they are known
--
-- The script passes on what another program wrote into the journal: the client reports it.

-- include read_moment

local call = redis.call
local meta = call('HMGET', ${KEYS.meta}, 'state', 'finished', 'outcome', 'dropped', 'before')
local state = meta[1]
local refusal = unknown_format(state)
if refusal then return refusal end
local last, moment = moment_of(state)
local now = string.format('%.0f', moment)
if call('XLEN', ${KEYS.journal}) == 0 or not state then
    local dropped = state and #state == #last
    return {now, '0', '0', '0', '0', '0', '0', '', {}, '', last, dropped and (meta[5] or '0') or last}
end

local deadline, first = string.sub(state, ${state.deadline}), string.sub(state, ${state.terms.first})
local upcoming = call('ZRANGE', ${KEYS.deadlines}, 0, 0, 'WITHSCORES')[2]
local oldest = call('XRANGE', ${KEYS.journal}, '-', '+', 'COUNT', 1)[1]
oldest = string.match(oldest and oldest[2][2] or last, '${words previous}') or '0'

local records, bytes, at, cursor = {}, 0, '', tonumber(ARGV[1])
local wanted, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])

local function take(record)
    if #records >= wanted or bytes >= most_bytes then return end
    records[#records + 1], bytes = record, bytes + #record
end

-- The record at the cursor, if it is there, is in the first item that ends with it or later.
local page = call('XRANGE', ${KEYS.journal}, ARGV[1] .. '-0', '+', 'COUNT', 1)
for field = 2, page[1] and #page[1][2] or 0, 2 do
    local record = page[1][2][field]
    local revision = string.match(record, '${words revision}')
    if revision and tonumber(revision) == cursor then at = string.match(record, '^[^\n]*') end
    if not revision or tonumber(revision) > cursor then take(record) end
end
while #page > 0 and #records < wanted and bytes < most_bytes do
    page = call('XRANGE', ${KEYS.journal}, '(' .. page[#page][1], '+', 'COUNT', 16)
    for _, item in ipairs(page) do
        for field = 2, #item[2], 2 do take(item[2][field]) end
    end
end
return {now, first, last, deadline, meta[2] or '0', upcoming or '0', oldest, at, records, meta[3] or '', meta[4] or '0', meta[5] or '0'}
