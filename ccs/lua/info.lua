-- Tells about a context without reading its entries.
--
-- KEYS   1 entries  2 deadlines  3 journal  4 meta
-- REPLY  last revision ('0': no such context), entries, created, updated, idle ttl in ms, finished, outcome

local call = redis.call
if call('XLEN', KEYS[3]) == 0 then return {'0', 0, '0', '0', '0', '0', ''} end
local clock = call('TIME')
local meta = call('HMGET', KEYS[4], 'state', 'created', 'finished', 'outcome')
local last, updated = string.sub(meta[1], 1, 16), string.sub(meta[1], 47, 62)
-- The time of a context never goes back: not behind its last revision, in µs.
local now = math.floor(math.max(clock[1] * 1000 + clock[2] / 1000, last / 1000))
local ttl = string.match(meta[1], '^(%d+)', 155)
local live = call('HLEN', KEYS[1]) - call('ZCOUNT', KEYS[2], '-inf', now)
return {last, live, meta[2], updated, ttl, meta[3] or '0', meta[4] or ''}
