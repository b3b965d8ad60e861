-- Tells about a context without reading its entries.
--
-- KEYS   1 entries  2 deadlines  3 journal  4 meta
-- REPLY  last revision ('0': no such context), entries, created, updated, idle ttl in ms, finished, outcome

local call = redis.call
if call('EXISTS', KEYS[3]) == 0 then return {'0', 0, '0', '0', '0', '0', ''} end
local clock = call('TIME')
local now = math.floor(tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000)
local meta = call('HMGET', KEYS[4], 'last', 'created', 'updated', 'ttl', 'finished', 'outcome')
local live = call('HLEN', KEYS[1]) - call('ZCOUNT', KEYS[2], '-inf', now)
return {meta[1], live, meta[2], meta[3], meta[4], meta[5] or '0', meta[6] or ''}
