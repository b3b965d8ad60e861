-- Tells about a context without reading its entries.
--
-- KEYS   1 entries  2 deadlines  3 journal  4 meta
-- REPLY  last revision ('0': no such context), entries, created, updated, idle ttl in ms, finished, outcome

-- include read_moment

local call = redis.call
local meta = call('HMGET', ${KEYS.meta}, 'state', 'created', 'finished', 'outcome')
local state = meta[1]
local refusal = unknown_format(state)
if refusal then return refusal end
if call('XLEN', ${KEYS.journal}) == 0 then return {'0', 0, '0', '0', '0', '0', ''} end

local last, now = moment_of(state)
local updated, ttl = string.sub(state, ${state.updated}), string.match(state, '^(%d+)', ${state.terms.settings})
local entries = call('HLEN', ${KEYS.entries})
local due = call('ZCOUNT', ${KEYS.deadlines}, '-inf', now)
return {last, entries - due, meta[2], updated, ttl, meta[3] or '0', meta[4] or ''}
