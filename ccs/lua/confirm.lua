-- Tells whether a batch that was applied still stands, and if so writes, so that a WAIT behind it waits for the batch too.
--
-- KEYS   1 journal  2 meta
-- ARGV   1 the field of meta with the answers to the batch   2 its number, in 12 digits   3 the client
--        4 the revision of its last commit, '0' where there is none
-- REPLY  1: it stands, and this was written; 0: that is not known
--
-- The server may be another one than at first, which has lost the batch. The batch stands if its answers are kept, or if
-- the journal has its last commit. What is written is what is there already.

-- include read_moment

local call, sub = redis.call, string.sub
local meta = call('HMGET', ${KEYS.meta}, 'state', ARGV[1])
local state, kept = meta[1], meta[2]
local refusal = unknown_format(state)
if refusal then return refusal end

if kept and sub(kept, ${kept.number}) == ARGV[2] then
    call('HSET', ${KEYS.meta}, ARGV[1], kept)
    return 1
end
if not state or ARGV[4] == '0' then return 0 end

local item = call('XRANGE', ${KEYS.journal}, ARGV[4] .. '-0', '+', 'COUNT', 1)[1]
for field = 2, item and #item[2] or 0, 2 do
    local revision, client, number = string.match(item[2][field], '^%d+ (%d+) %d+ (%S+) (%d+) ')
    if revision == ARGV[4] and client == ARGV[3] and number == ARGV[2] then
        call('HSET', ${KEYS.meta}, 'state', state)
        return 1
    end
end
return 0
