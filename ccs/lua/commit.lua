-- Applies a batch of independent commits to one context: each wholly or not at all, answered one by one.
--
-- KEYS   1 entries  2 paths  3 deadlines  4 journal  5 meta
-- ARGV   1 channel  2 publish command  3 client ('' = no identity)  4 batch number
--        5 settings given  6 settings of a new context, both "<ttl ms> <keep commits> <keep bytes>", '-' = not given
--        7… the commits, each: agent, count of guards, guards, count of operations, operations
--   guards      v <path> <version>     r <path> <revision>     n <prefix> 0       (0 = missing; n = nothing below)
--   operations  s <path> <ttl ms, '' = none, 'keep'> <value>   d <path>
--               i <path> <by>   a <path> <count> <packed items> <most bytes>   k <path> <ttl ms, '' = none>
--               f <outcome> <keep ms>   D   w <limit>
-- REPLY  status ('ok' or 'stale'), answers joined by newlines, outcome of a finished context
--   +<revision> <at>[ <result>]   applied; revision 0 where nothing changed; the result only of a single operation:
--                                 s i a: <version> <created> <expiry>[ <value>]   d k: 1 or 0   w: <next deadline>
--   !<guard> <version> <revision> <agent>   that guard failed       F   the context is finished
--   L<size>   the commit is too large   V<size>   the value is (a)       N   the value is not a small integer (i) or an array (a)
--
-- Invariants: `last` only grows and outlives the context; a record names the revision before it (0: the first);
-- whatever can fail is checked before the first write, since Lua has no roll-back; a due entry is expired, as a
-- commit of its own, before anything else looks at it. Numbers are doubles: revisions are printed with %.0f.

local COMMIT_LIMIT = 16777216
local TOMBSTONE = 600000
local EXACT = 9007199254740992
local call, match, sub, byte, char = redis.call, string.match, string.sub, string.byte, string.char
local floor, max, format, concat = math.floor, math.max, string.format, table.concat
local entries, paths, deadlines, journal, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local channel, publish, client, number = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local clock = call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = floor(now_us / 1000)

local held = call('HMGET', meta, 'last', 'first', 'ttl', 'total', 'base', 'keep_commits', 'keep_bytes', 'finished',
    'prune', 'outcome', 'client:' .. client, 'deadline')
if client ~= '' and held[11] then
    local known, start = match(held[11], '^(%d+) %d+ ()')
    if tonumber(known) == number then return {'ok', sub(held[11], start), held[10] or ''} end
    if tonumber(known) > number then return {'stale', '', ''} end
end

local alive = call('EXISTS', journal) == 1
local expiring = not alive or (held[12] or '0') ~= '0'
local last, first = tonumber(held[1] or 0), alive and tonumber(held[2]) or 0
local ttl, total, base = tonumber(held[3] or 0), tonumber(held[4] or 0), tonumber(held[5] or 0)
local keep_commits, keep_bytes = tonumber(held[6] or 0), tonumber(held[7] or 0)
local finished = alive and held[8]
local touched, configured, deadline = false, false, 0
local identity = client

local function int(number_) return format('%.0f', number_) end

-- Settings take effect with the first thing that a batch really does, never with one that is refused.
local function configure()
    if configured then return end
    configured, touched = true, true
    local given_ttl, given_commits, given_bytes = match(ARGV[5], '^(%S+) (%S+) (%S+)$')
    if not alive then
        local new_ttl, new_commits, new_bytes = match(ARGV[6], '^(%S+) (%S+) (%S+)$')
        ttl, keep_commits, keep_bytes = tonumber(new_ttl), tonumber(new_commits), tonumber(new_bytes)
        total, base = 0, 0
    end
    ttl = tonumber(given_ttl) or ttl
    keep_commits, keep_bytes = tonumber(given_commits) or keep_commits, tonumber(given_bytes) or keep_bytes
    deadline = ttl > 0 and now + ttl or 0
end

-- Journals and publishes one commit; `changes` are flat quadruples: kind, path, entry before, entry after.
local function record(agent, revision, index, changes, expiry)
    configure()
    local head = {int(alive and last or 0), int(revision), int(now_us), identity ~= '' and identity or '-',
        ARGV[4], index, int(deadline), int(total), int(expiry), #agent}
    local body = {agent}
    for i = 1, #changes, 4 do
        head[#head + 1] = changes[i] .. ' ' .. #changes[i + 1] .. ' ' .. #changes[i + 2] .. ' ' .. #changes[i + 3]
        body[#body + 1] = changes[i + 1] .. changes[i + 2] .. changes[i + 3]
    end
    local text = concat(head, ' ') .. '\n' .. concat(body)
    if not alive then
        call('HDEL', meta, 'finished', 'outcome')
        call('HSET', meta, 'first', int(revision), 'created', int(now_us))
        first, finished, alive = revision, false, true
    end
    call('XADD', journal, int(revision) .. '-0', 'r', text)
    call(publish, channel, text)
    last, total = revision, total + #text
end

local function next_revision() return max(last + 1, now_us) end

local function remove(path, expiry)
    call('HDEL', entries, path)
    call('ZREM', paths, path)
    if expiry ~= 0 then call('ZREM', deadlines, path) end
end

-- The entry at a path: nil where there is none; one that is due is expired first, and is none.
local function load(path)
    local raw = call('HGET', entries, path)
    if not raw then return nil end
    local revision, version, created, updated, expiry, length, start = match(raw,
        '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ()')
    local entry = {raw = raw, revision = revision, version = version, created = created, expiry = tonumber(expiry),
        updated = updated, agent = sub(raw, start, start + length - 1), body = start, value = start + length}
    if entry.expiry == 0 or entry.expiry > now then return entry end
    remove(path, entry.expiry)
    identity = ''
    record(entry.agent, next_revision(), 0, {'x', path, raw, ''}, 0)
    identity = client
    return nil
end

-- What stands in the way of a guard, or nil.
local function obstacle(kind, path, expected)
    if kind == 'n' then
        local found, entry
        repeat
            found = call('ZRANGEBYLEX', paths, '[' .. path, '(' .. path .. '\255', 'LIMIT', 0, 1)[1]
            entry = found and load(found)
        until entry or not found
        return entry
    end
    local entry = load(path)
    local actual = entry and (kind == 'v' and entry.version or entry.revision) or '0'
    return actual ~= expected and (entry or {version = '0', revision = '0', agent = ''}) or nil
end

-- msgpack, as far as the operations on raw bytes need it. Integers: the small ones that a double holds exactly.
local function unsigned(text, from, to)
    local value = 0
    for i = from, to do value = value * 256 + byte(text, i) end
    return value
end

local function signed_high(value)
    local high = unsigned(value, 2, 3)
    return high > 32767 and high - 65536 or high
end

local function unpack_int(value)
    local tag, size = byte(value, 1), #value
    if size == 1 and tag < 128 then return tag end
    if size == 1 and tag >= 224 then return tag - 256 end
    if tag >= 204 and tag <= 207 and size == 2 ^ (tag - 204) + 1 then return unsigned(value, 2, size) end
    if tag >= 208 and tag <= 211 and size == 2 ^ (tag - 208) + 1 then
        if size == 9 then return signed_high(value) * 2 ^ 48 + unsigned(value, 4, 9) end
        local result = unsigned(value, 2, size)
        return byte(value, 2) > 127 and result - 256 ^ (size - 1) or result
    end
    return nil
end

local function big_endian(value, size)
    local bytes = {}
    for i = size, 1, -1 do
        bytes[i] = char(value % 256)
        value = floor(value / 256)
    end
    return concat(bytes)
end

local function pack_int(value)
    if value >= 0 and value < 128 then return char(value) end
    if value < 0 and value >= -32 then return char(value + 256) end
    for power = 0, 3 do
        local size = 2 ^ power
        if value >= 0 and value < 256 ^ size then return char(204 + power) .. big_endian(value, size) end
        if value < 0 and value >= -(256 ^ size) / 2 then
            if size == 8 then
                return char(211) .. big_endian(floor(value / 2 ^ 48) + 65536, 2) .. big_endian(value % 2 ^ 48, 6)
            end
            return char(208 + power) .. big_endian(value + 256 ^ size, size)
        end
    end
end

local function increment(value, by)
    local amount, now_at = tonumber(by), value and unpack_int(value) or 0
    if value and not unpack_int(value) then return nil end
    local result = now_at + amount
    if max(result, -result, now_at, -now_at) >= EXACT then return nil end
    return pack_int(result), result
end

local function append(value, count, items)
    local tag, length, start = value and byte(value, 1) or 144, 0, 2
    if tag >= 144 and tag <= 159 then
        length = tag - 144
    elseif tag == 220 then
        length, start = unsigned(value, 2, 3), 4
    elseif tag == 221 then
        length, start = unsigned(value, 2, 5), 6
    else
        return nil
    end
    length = length + count
    local head = length < 16 and char(144 + length) or length < 65536 and '\220' .. big_endian(length, 2)
        or '\221' .. big_endian(length, 4)
    return head .. (value and sub(value, start) or '') .. items
end

-- Decides what one writing operation does; nothing is written yet. Returns nil and the answer where that is impossible.
local function plan(operation, entry, agent, revision)
    local kind, value, expiry, result = operation[1], operation[4], operation[3], nil
    if kind == 'd' then return {kind = 'd', path = operation[2], before = entry, after = '', result = '1'} end
    local held_value = entry and kind ~= 's' and sub(entry.raw, entry.value) or nil
    if kind == 'i' then
        value, result = increment(held_value, operation[3])
    elseif kind == 'a' then
        value = append(held_value, tonumber(operation[3]), operation[4])
    end
    if not value then return nil, 'N' end
    if kind == 'a' and #value > tonumber(operation[5]) then return nil, 'V' .. #value end
    if kind ~= 's' or expiry == 'keep' then
        expiry = entry and entry.expiry or 0
    else
        expiry = expiry == '' and 0 or now + tonumber(expiry)
    end
    local version, created = entry and int(entry.version + 1) or '1', entry and entry.created or int(now_us)
    local summary = version .. ' ' .. created .. ' ' .. int(expiry)
    return {kind = 's', path = operation[2], before = entry, expiry = expiry,
        after = concat({int(revision), version, created, int(now_us), int(expiry), #agent, agent .. value}, ' '),
        result = result and summary .. ' ' .. int(result) or summary}
end

local function write(step)
    local before = step.before and step.before.expiry or 0
    if step.kind == 'd' then return remove(step.path, before) end
    call('HSET', entries, step.path, step.after)
    if not step.before then call('ZADD', paths, 0, step.path) end
    if step.expiry ~= 0 then
        call('ZADD', deadlines, int(step.expiry), step.path)
    elseif before ~= 0 then
        call('ZREM', deadlines, step.path)
    end
end

-- Moves a deadline: neither a commit nor an event.
local function renew(path, entry, wanted)
    if not entry then return '0' end
    local expiry = wanted == '' and 0 or now + tonumber(wanted)
    call('HSET', entries, path, concat({entry.revision, entry.version, entry.created, entry.updated, int(expiry),
        #entry.agent, sub(entry.raw, entry.body)}, ' '))
    configure()
    if expiry ~= 0 then call('ZADD', deadlines, int(expiry), path) else call('ZREM', deadlines, path) end
    return '1'
end

local function sweep(limit)
    for _, path in ipairs(call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, limit)) do load(path) end
    return call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2] or '0'
end

local function finish(agent, revision, index, outcome, keep)
    configure()
    deadline = now + keep
    record(agent, revision, index, {'f', '', '', outcome}, 0)
    finished, held[10] = int(now_us), outcome
    call('HSET', meta, 'finished', finished, 'outcome', outcome)
end

local function drop(agent, revision, index)
    local text = concat({int(last), int(revision), int(now_us), identity, ARGV[4], index, 0, 0, 0, #agent, 'g 0 0 0'}, ' ')
    call('UNLINK', entries, paths, deadlines, journal)
    call('HDEL', meta, 'first', 'created', 'updated', 'ttl', 'total', 'base', 'keep_commits', 'keep_bytes', 'finished',
        'outcome', 'deadline')
    call('HSET', meta, 'last', int(revision))
    call(publish, channel, text .. '\n' .. agent)
    last, alive, finished, first, configured, touched = revision, false, false, 0, false, false
end

local SIZES = {s = 4, d = 2, i = 3, a = 5, k = 3, f = 3, D = 1, w = 2}
local cursor = 7
local function take(count)
    local taken = {}
    for i = 1, count do taken[i] = ARGV[cursor + i - 1] end
    cursor = cursor + count
    return taken
end

local function parse()
    local agent, guards, operations = ARGV[cursor], {}, {}
    cursor = cursor + 2
    for i = 1, tonumber(ARGV[cursor - 1]) do guards[i] = take(3) end
    cursor = cursor + 1
    for i = 1, tonumber(ARGV[cursor - 1]) do operations[i] = take(SIZES[ARGV[cursor]]) end
    return agent, guards, operations
end

local function apply(index)
    local agent, guards, operations = parse()
    local only = #operations == 1 and operations[1] or {}
    local dropping = only[1] == 'D'
    if finished and not dropping then return only[1] == 'w' and '+0 0 0' or 'F' end
    for i, guard in ipairs(guards) do
        local found = obstacle(guard[1], guard[2], guard[3])
        if found then return concat({'!' .. i - 1, found.version, found.revision, found.agent}, ' ') end
    end
    if only[1] == 'w' then return '+0 ' .. int(now_us) .. ' ' .. sweep(only[2]) end
    local steps, changes, results, size, renewals, earliest = {}, {}, {}, #agent + 200, {}, 0
    local found = {}
    for i, operation in ipairs(operations) do
        found[i] = operation[1] ~= 'f' and not dropping and load(operation[2]) or nil
    end
    local revision = next_revision()
    if dropping then
        if alive then drop(agent, revision, index) else revision = 0 end
        return '+' .. int(revision) .. ' ' .. int(now_us)
    end
    if only[1] == 'f' then
        finish(agent, revision, index, only[2], tonumber(only[3]))
        return '+' .. int(revision) .. ' ' .. int(now_us)
    end
    for i, operation in ipairs(operations) do
        local kind, entry = operation[1], found[i]
        if kind == 'k' then
            renewals[#renewals + 1] = i
        elseif kind == 'd' and not entry then
            results[i] = '0'
        else
            local step, refusal = plan(operation, entry, agent, revision)
            if not step then return refusal end
            steps[#steps + 1], results[i] = step, step.result
            local before = entry and entry.raw or ''
            local at = #changes
            if step.expiry and step.expiry ~= 0 and (earliest == 0 or step.expiry < earliest) then
                earliest = step.expiry
            end
            changes[at + 1], changes[at + 2], changes[at + 3], changes[at + 4] = step.kind, step.path, before, step.after
            size = size + #step.path + #before + #step.after + 40
        end
    end
    if size > COMMIT_LIMIT then return 'L' .. int(size) end
    for _, step in ipairs(steps) do write(step) end
    for _, i in ipairs(renewals) do results[i] = renew(operations[i][2], found[i], operations[i][3]) end
    if #steps > 0 then record(agent, revision, index, changes, earliest) else revision = 0 end
    return '+' .. int(revision) .. ' ' .. int(now_us) .. (#operations == 1 and ' ' .. results[1] or '')
end

-- The journal is bounded by commits and by bytes; a record's header tells the bytes written before it.
local function trim(length)
    call('XTRIM', journal, 'MAXLEN', max(1, length))
    base = tonumber(match(call('XRANGE', journal, '-', '+', 'COUNT', 1)[1][2][2], '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+)'))
end

local function bound()
    if call('XLEN', journal) > keep_commits + max(1, floor(keep_commits / 8)) then trim(keep_commits) end
    local length = total - base > keep_bytes and call('XLEN', journal) or 1
    while total - base > keep_bytes and length > 1 do
        length = length - max(1, floor(length / 8))
        trim(length)
    end
end

-- Identities are kept for ten minutes, pruned by age only, all at once every five.
local function prune()
    call('HSET', meta, 'prune', int(now + TOMBSTONE / 2))
    local fields = call('HGETALL', meta)
    for i = 1, #fields, 2 do
        local when = sub(fields[i], 1, 7) == 'client:' and match(fields[i + 1], '^%d+ (%d+)')
        if when and tonumber(when) < now - TOMBSTONE then call('HDEL', meta, fields[i]) end
    end
end

local function settle()
    bound()
    call('HSET', meta, 'last', int(last), 'updated', int(now_us), 'ttl', int(ttl), 'deadline', int(deadline),
        'total', int(total), 'base', int(base), 'keep_commits', int(keep_commits), 'keep_bytes', int(keep_bytes))
    if (tonumber(held[9]) or 0) < now then prune() end
    for i = 1, 5 do
        if deadline > 0 then
            call('PEXPIREAT', KEYS[i], int(i < 5 and deadline or deadline + TOMBSTONE))
        elseif expiring then
            call('PERSIST', KEYS[i])
        end
    end
end

local answers, index = {}, 0
while cursor <= #ARGV do
    answers[index + 1] = apply(index)
    index = index + 1
end
local answer = concat(answers, '\n')
if client ~= '' then call('HSET', meta, 'client:' .. client, concat({ARGV[4], int(now), answer}, ' ')) end
if touched then
    settle()
elseif not alive then
    call('PEXPIRE', meta, TOMBSTONE)
end
return {'ok', answer, finished and held[10] or ''}
