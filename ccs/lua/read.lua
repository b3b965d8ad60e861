-- Reads what a set of ranges selects, all of one moment.
--
-- KEYS   1 entries  2 paths  3 deadlines  4 journal  5 meta
-- ARGV   1 what: 'entries' or 'paths'   2… ranges, each: 'x' <path>, or 'b' <prefix> <after> <limit, -1 = all>
-- REPLY  revision (0: no such context), time of the context in ms, found, due
--   found   entries: path, raw entry, path, raw entry…      paths: path, path…
--   due     paths: those of the whole context whose deadline has passed (entries tell by their own expiry)

-- include read_moment

local call = redis.call
local state = call('HGET', ${KEYS.meta}, 'state')
local refusal = unknown_format(state)
if refusal then return refusal end
local last, now = moment_of(state)
local revision = call('XLEN', ${KEYS.journal}) > 0 and last or '0'
local with_values, found = ARGV[1] == 'entries', {}

local function add(path, raw)
    if not raw then return end
    found[#found + 1] = path
    if with_values then found[#found + 1] = raw end
end

local function add_many(names)
    if not with_values then
        for _, name in ipairs(names) do found[#found + 1] = name end
        return
    end
    for from = 1, #names, 1000 do
        local part = {}
        for i = from, math.min(from + 999, #names) do part[#part + 1] = names[i] end
        local raws = call('HMGET', ${KEYS.entries}, unpack(part))
        for i, name in ipairs(part) do add(name, raws[i]) end
    end
end

local function below(prefix, after, limit)
    if with_values and prefix == '' and after == '' and limit == '-1' then
        local all = call('HGETALL', ${KEYS.entries})
        for i = 1, #all do found[#found + 1] = all[i] end
        return
    end
    local from = after ~= '' and '(' .. after or prefix ~= '' and '[' .. prefix or '-'
    local to = prefix ~= '' and '(' .. prefix .. '\255' or '+'
    add_many(call('ZRANGEBYLEX', ${KEYS.paths}, from, to, 'LIMIT', 0, limit))
end

local i = 2
while i <= #ARGV do
    if ARGV[i] == 'x' then
        add(ARGV[i + 1], call('HGET', ${KEYS.entries}, ARGV[i + 1]))
        i = i + 2
    else
        below(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
        i = i + 4
    end
end
local due = with_values and {} or call('ZRANGEBYSCORE', ${KEYS.deadlines}, '-inf', now)
return {revision, string.format('%.0f', now), found, due}
