-- Applies a batch of independent commits to one context: each wholly or not at all, answered one by one.
--
-- KEYS   1 entries  2 paths  3 deadlines  4 journal  5 meta
-- ARGV   1 channel  2 publish command  3 client ('' = no identity)  4 batch number
--        5 settings given  6 settings of a new context, both "<ttl ms> <keep commits> <keep bytes>", '-' = not given
--        7 the batch that must have been answered before ('' = any)
--        8… the commits, each: agent, count of guards, guards, count of operations, operations
--   guards      v <path> <version>     r <path> <revision>     n <prefix> 0       (0 = missing; n = nothing below)
--   operations  s <path> <ttl ms, '' = none, 'keep'> <value>   d <path>
--               i <path> <by>   a <path> <count> <packed items> <most bytes>   k <path> <ttl ms, '' = none>
--               f <outcome> <keep ms>   D   w <limit>
-- REPLY  status ('ok', 'stale': a later batch was applied, 'early': ARGV 7 was not), answers joined by newlines, outcome of a finished context
--   +<revision> <at>[ <result>]   applied; revision 0 where nothing changed; the result only of a single operation:
--                                 s i a: <version> <created> <expiry>[ <value>]   d k: 1 or 0   w: <next deadline>
--   !<guard> <version> <revision> <agent>   that guard failed       F   the context is finished
--   L<size>   the commit is too large   V<size> <limit>   the value is (a)       N   not a small integer (i) or an array (a)
--
-- Identity: a client has at most two batches on their way, with numbers of different parity, and the second only
-- behind the first. The answers to its last two are kept: the same number is answered from there, a lower one refused.
--
-- Invariants: `last` only grows and outlives the context; a record names the revision before it (0: the first);
-- whatever can fail is checked before the first write, since Lua has no roll-back; a due entry is expired, as a
-- commit of its own, before anything else looks at it. Numbers are doubles: revisions are printed with %.0f.
--
-- Every local that a function uses costs time in every call of the script, even where the function is not called. So
-- the state is one table, and functions that few batches need use globals.

local call, match, sub, format, concat = redis.call, string.match, string.sub, string.format, table.concat

local context
do
    local clock = call('TIME')
    local slots = 'client:' .. ARGV[3] .. ':'
    local meta = call('HMGET', KEYS[5], 'state', slots .. '0', slots .. '1', 'finished', 'outcome')
    if ARGV[3] ~= '' and (meta[2] or meta[3]) then
        local newest, number = 0, tonumber(ARGV[4])
        for slot = 2, 3 do
            local known = meta[slot] and match(meta[slot], '^%d+') or '0'
            if known == ARGV[4] then return {'ok', match(meta[slot], '^%d+ %d+ (.*)$'), meta[5] or ''} end
            newest = math.max(newest, known + 0)
        end
        if newest > number then return {'stale', '', ''} end
        if ARGV[7] ~= '' and newest ~= tonumber(ARGV[7]) then return {'early', '', ''} end
    elseif ARGV[7] ~= '' then
        return {'early', '', ''}
    end
    local last, first, ttl, deadline, total, base, count, keep_commits, keep_bytes = match(meta[1] or '0 0 0 0 0 0 0 0 0 ',
        '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ')
    local at, alive = clock[1] .. sub('000000' .. clock[2], -6), call('EXISTS', KEYS[4]) == 1
    context = {identity = ARGV[3], touched = false, configured = false, fresh = not alive, alive = alive,
        at = at, now_us = at + 0, now = sub(at, 1, -4) + 0, last = last + 0, last_printed = last, first = first,
        ttl = ttl, deadline = deadline, total = total + 0, base = base, count = count + 0,
        keep_commits = keep_commits, keep_bytes = keep_bytes,
        finished = alive and meta[4], outcome = alive and meta[5]}
end

-- Settings take effect with the first thing that a batch really does, never with one that is refused. The idle
-- deadline is moved seldom: it is set a sixty-fourth too late, and again when that is used up.
local function configure()
    context.configured, context.touched = true, true
    local before = context.ttl
    if not context.alive then
        context.ttl, context.keep_commits, context.keep_bytes = match(ARGV[6], '^(%S+) (%S+) (%S+)$')
        context.total, context.base, context.count, context.deadline = 0, '0', 0, '0'
    end
    if ARGV[5] ~= '- - -' then
        local ttl, commits, bytes = match(ARGV[5], '^(%S+) (%S+) (%S+)$')
        if ttl ~= '-' then context.ttl = ttl end
        if commits ~= '-' then context.keep_commits = commits end
        if bytes ~= '-' then context.keep_bytes = bytes end
    end
    local wanted = context.ttl == '0' and 0 or context.now + context.ttl
    if before ~= context.ttl or context.deadline + 0 < wanted then
        context.fresh = true
        context.deadline = wanted == 0 and '0' or format('%.0f', wanted + math.floor(context.ttl / 64))
    end
end

-- The next revision, and as text.
local function next_revision()
    if context.now_us > context.last then return context.now_us, context.at end
    return context.last + 1, format('%.0f', context.last + 1)
end

-- Journals and publishes one commit; the header of its operations is text, the body pieces of text. Lengths are
-- printed with %d, and text is joined with ..: string.format costs more than it seems to.
local function record(agent, revision, printed, index, header, body, expiry)
    if not context.configured then configure() end
    local text = (context.alive and context.last_printed or '0') .. ' ' .. printed .. ' ' .. context.at .. ' '
        .. (context.identity ~= '' and context.identity or '-') .. ' ' .. ARGV[4] .. format(' %d ', index)
        .. context.deadline .. format(' %.0f ', context.total) .. expiry .. format(' %d', #agent) .. header .. '\n'
        .. agent .. concat(body)
    if not context.alive then
        call('HDEL', KEYS[5], 'finished', 'outcome')
        call('HSET', KEYS[5], 'created', context.at)
        context.alive, context.finished, context.first = true, false, printed
    end
    call('XADD', KEYS[4], printed .. '-0', 'r', text)
    call(ARGV[2], ARGV[1], text)
    context.last, context.last_printed = revision, printed
    context.total, context.count = context.total + #text, context.count + 1
end

local function remove(path, expiry)
    redis.call('HDEL', KEYS[1], path)
    redis.call('ZREM', KEYS[2], path)
    if expiry ~= '0' then redis.call('ZREM', KEYS[3], path) end
end

-- The raw entry at a path, its version, creation and expiry: nil where there is none; one that is due is expired
-- first, and is none.
local function load(path)
    local raw = call('HGET', KEYS[1], path)
    if not raw then return nil end
    local version, created, expiry = match(raw, '^%d+ (%d+) (%d+) %d+ (%d+)')
    if expiry == '0' or expiry + 0 > context.now then return raw, version, created, expiry end
    remove(path, expiry)
    context.identity = ''
    local length, start = match(raw, '^%d+ %d+ %d+ %d+ %d+ (%d+) ()')
    local revision, printed = next_revision()
    record(sub(raw, start, start + length - 1), revision, printed, 0, format(' x %d %d 0', #path, #raw), {path, raw}, '0')
    context.identity = ARGV[3]
    return nil
end

-- The value after an operation on raw msgpack, and the number it holds; nil and the answer where that is impossible.
local function compute(kind, value, operand, items, most)
    local byte, char, floor = string.byte, string.char, math.floor

    local function unsigned(text, from, to)
        local result = 0
        for i = from, to do result = result * 256 + byte(text, i) end
        return result
    end

    local function big_endian(number, size)
        local bytes = {}
        for i = size, 1, -1 do
            bytes[i] = char(number % 256)
            number = floor(number / 256)
        end
        return table.concat(bytes)
    end

    local function signed(text)
        local size = #text - 1
        if size == 8 then
            local high = unsigned(text, 2, 3)
            return (high > 32767 and high - 65536 or high) * 2 ^ 48 + unsigned(text, 4, 9)
        end
        local result = unsigned(text, 2, size + 1)
        return byte(text, 2) > 127 and result - 256 ^ size or result
    end

    local function unpack_integer(text)
        local tag, size = byte(text, 1), #text
        if size == 1 and tag < 128 then return tag end
        if size == 1 and tag >= 224 then return tag - 256 end
        if tag >= 204 and tag <= 207 and size == 2 ^ (tag - 204) + 1 then return unsigned(text, 2, size) end
        if tag >= 208 and tag <= 211 and size == 2 ^ (tag - 208) + 1 then return signed(text) end
        return nil
    end

    local function pack_integer(number)
        if number >= 0 and number < 128 then return char(number) end
        if number < 0 and number >= -32 then return char(number + 256) end
        for power = 0, 2 do
            local size = 2 ^ power
            if number >= 0 and number < 256 ^ size then return char(204 + power) .. big_endian(number, size) end
            if number < 0 and number >= -(256 ^ size) / 2 then
                return char(208 + power) .. big_endian(number + 256 ^ size, size)
            end
        end
        local high = floor(number / 2 ^ 48)
        return char(number < 0 and 211 or 207) .. big_endian(high % 65536, 2) .. big_endian(number % 2 ^ 48, 6)
    end

    if kind == 'i' then
        local number = 0
        if value then number = unpack_integer(value) end
        local result = number and number + tonumber(operand)
        -- From 2^53 on, a double no longer tells an integer from its neighbour.
        if not result or math.max(result, -result, number, -number) >= 2 ^ 53 then return nil, 'N' end
        return pack_integer(result), result
    end

    local tag, length, start = value and byte(value, 1) or 144, 0, 2
    if tag >= 144 and tag <= 159 then
        length = tag - 144
    elseif tag == 220 then
        length, start = unsigned(value, 2, 3), 4
    elseif tag == 221 then
        length, start = unsigned(value, 2, 5), 6
    else
        return nil, 'N'
    end
    length = length + tonumber(operand)
    local head = length < 16 and char(144 + length) or length < 65536 and '\220' .. big_endian(length, 2)
        or '\221' .. big_endian(length, 4)
    local result = head .. (value and string.sub(value, start) or '') .. items
    if #result > tonumber(most) then return nil, 'V' .. #result .. ' ' .. most end
    return result
end

-- Decides what a set, an increment or an append does; nothing is written yet. The entry after, its expiry, and what
-- to answer; or nil and why it is impossible.
local function plan(at, agent, printed, raw, version, created, expiry)
    local kind, value, number = ARGV[at], ARGV[at + 3], nil
    if kind == 's' then
        local ttl = ARGV[at + 2]
        if ttl ~= 'keep' then expiry = ttl == '' and '0' or format('%.0f', context.now + ttl) end
    else
        local start, length
        if raw then length, start = match(raw, '^%d+ %d+ %d+ %d+ %d+ (%d+) ()') end
        value, number = compute(kind, raw and sub(raw, start + length), ARGV[at + 2], value, ARGV[at + 4])
        if not value then return nil, number end
    end
    version, created, expiry = raw and format('%d', version + 1) or '1', created or context.at, expiry or '0'
    local result = version .. ' ' .. created .. ' ' .. expiry
    if number then result = result .. format(' %.0f', number) end
    return printed .. ' ' .. version .. ' ' .. created .. ' ' .. context.at .. ' ' .. expiry .. format(' %d ', #agent)
        .. agent .. value, expiry, result
end

local function write(path, after, expiry, raw, expiry_before)
    if after == '' then return remove(path, expiry_before) end
    call('HSET', KEYS[1], path, after)
    if not raw then
        call('ZADD', KEYS[2], 0, path)
        context.fresh = true
    end
    if expiry ~= '0' then
        call('ZADD', KEYS[3], expiry, path)
        context.fresh = true
    elseif raw and expiry_before ~= '0' then
        call('ZREM', KEYS[3], path)
    end
end

-- Moves a deadline: neither a commit nor an event.
local function renew(path, raw, expiry_before, ttl)
    if not raw then return '0' end
    local expiry = ttl == '' and '0' or string.format('%.0f', context.now + ttl)
    local before, after = string.match(raw, '^(%d+ %d+ %d+ %d+ )%d+()')
    redis.call('HSET', KEYS[1], path, before .. expiry .. string.sub(raw, after))
    if not context.configured then configure() end
    context.fresh = true
    if expiry ~= '0' then
        redis.call('ZADD', KEYS[3], expiry, path)
    elseif expiry_before ~= '0' then
        redis.call('ZREM', KEYS[3], path)
    end
    return '1'
end

-- Applies the writing operations that begin at the given places in ARGV; all are planned before the first is written.
local function apply(agent, index, places)
    local raws, versions, creations, expiries, afters, dues, results = {}, {}, {}, {}, {}, {}, {}
    local words, body, size, earliest = {}, {}, #agent + 200, '0'
    for i, at in ipairs(places) do raws[i], versions[i], creations[i], expiries[i] = load(ARGV[at + 1]) end
    local revision, printed = next_revision()
    for i, at in ipairs(places) do
        local kind, path, raw = ARGV[at], ARGV[at + 1], raws[i]
        if kind == 'd' then
            afters[i], results[i] = raw and '' or nil, raw and '1' or '0'
        elseif kind ~= 'k' then
            afters[i], dues[i], results[i] = plan(at, agent, printed, raw, versions[i], creations[i], expiries[i])
            if not afters[i] then return dues[i] end
            if dues[i] ~= '0' and (earliest == '0' or dues[i] + 0 < earliest + 0) then earliest = dues[i] end
        end
        if afters[i] then
            raw = raw or ''
            local last = #body
            words[#words + 1] = (kind == 'd' and ' d' or ' s') .. format(' %d %d %d', #path, #raw, #afters[i])
            body[last + 1], body[last + 2], body[last + 3] = path, raw, afters[i]
            size = size + #path + #raw + #afters[i] + 30
        end
    end
    if size > 16777216 then return 'L' .. format('%.0f', size) end
    for i, at in ipairs(places) do
        local path = ARGV[at + 1]
        if afters[i] then write(path, afters[i], dues[i], raws[i], expiries[i]) end
        if ARGV[at] == 'k' then results[i] = renew(path, raws[i], expiries[i], ARGV[at + 2]) end
    end
    if #words > 0 then
        record(agent, revision, printed, index, concat(words), body, earliest)
    else
        printed = '0'
    end
    return '+' .. printed .. ' ' .. context.at .. (#places == 1 and ' ' .. results[1] or '')
end

-- What stands in the way of the guards from one place in ARGV to another: an answer, or nil.
local function obstacle(from, to)
    for at = from, to, 3 do
        local kind, path, expected = ARGV[at], ARGV[at + 1], ARGV[at + 2]
        local raw, version, found
        repeat
            found = kind == 'n' and redis.call('ZRANGEBYLEX', KEYS[2], '[' .. path, '(' .. path .. '\255', 'LIMIT', 0, 1)[1]
            if kind ~= 'n' or found then raw, version = load(found or path) end
        until raw or not found
        local revision = raw and string.match(raw, '^%d+') or '0'
        if expected ~= (kind == 'v' and version or revision) and (raw or expected ~= '0') then
            if not raw then return '!' .. (at - from) / 3 .. ' 0 0 ' end
            local length, start = string.match(raw, '^%d+ %d+ %d+ %d+ %d+ (%d+) ()')
            return table.concat({'!' .. (at - from) / 3, version, revision, string.sub(raw, start, start + length - 1)}, ' ')
        end
    end
end

-- What comes alone in its commit: the sweep, the end and the removal of a context.
local function special(kind, agent, index, at)
    if kind == 'w' then
        for _, path in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', context.now, 'LIMIT', 0, ARGV[at + 1])) do
            load(path)
        end
        return '+0 ' .. context.at .. ' ' .. (redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or '0')
    end
    local revision, printed = next_revision()
    if kind == 'f' then
        local outcome = ARGV[at + 1]
        configure()
        context.deadline, context.fresh = string.format('%.0f', context.now + ARGV[at + 2]), true
        record(agent, revision, printed, index, string.format(' f 0 0 %d', #outcome), {outcome}, '0')
        context.finished, context.outcome = context.at, outcome
        redis.call('HSET', KEYS[5], 'finished', context.at, 'outcome', outcome)
        return '+' .. printed .. ' ' .. context.at
    end
    if not context.alive then return '+0 ' .. context.at end
    redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
    redis.call('HDEL', KEYS[5], 'created', 'finished', 'outcome')
    redis.call('HSET', KEYS[5], 'state', printed .. ' 0 0 0 0 0 0 0 0 0')
    redis.call(ARGV[2], ARGV[1], table.concat({context.last_printed, printed, context.at, context.identity, ARGV[4], index, 0, 0, 0,
        #agent, 'g 0 0 0'}, ' ') .. '\n' .. agent)
    context.last, context.last_printed, context.alive, context.finished = revision, printed, false, false
    context.configured, context.touched, context.fresh = false, false, true
    return '+' .. printed .. ' ' .. context.at
end

-- How many places in ARGV an operation takes.
local function width(kind)
    if kind == 's' then return 4 end
    if kind == 'a' then return 5 end
    if kind == 'd' or kind == 'w' then return 2 end
    return kind == 'D' and 1 or 3
end

-- Reads one commit, beginning at a place in ARGV, checks its guards and applies it; its answer, and where it ends.
local function commit(at, index)
    local agent, guards, places = ARGV[at], at + 2, {}
    at = guards + 3 * ARGV[at + 1]
    local last_guard, count = at - 1, ARGV[at] + 0
    at = at + 1
    for i = 1, count do
        places[i] = at
        at = at + width(ARGV[at])
    end
    local kind = ARGV[places[1] or 0]
    if context.finished and kind ~= 'D' then return kind == 'w' and '+0 ' .. context.at .. ' 0' or 'F', at end
    local answer = last_guard >= guards and obstacle(guards, last_guard)
    if answer then return answer, at end
    if kind == 'w' or kind == 'f' or kind == 'D' then return special(kind, agent, index, places[1]), at end
    return apply(agent, index, places), at
end

-- The journal is bounded by commits and by bytes; a record's header tells the bytes written before it.
local function bound()
    local function trim(to)
        redis.call('XTRIM', KEYS[4], 'MAXLEN', to)
        local oldest = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1][2][2]
        context.count, context.base = to, string.match(oldest, '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+)')
    end

    local most = context.keep_commits + 0
    if context.count > most + math.max(1, math.floor(most / 8)) then trim(most) end
    while context.total - context.base > context.keep_bytes + 0 and context.count > 1 do
        trim(context.count - math.max(1, math.floor(context.count / 8)))
    end
end

-- Identities are kept for ten minutes, and pruned by age only, now and then: once in 64 batches.
local function prune()
    local fields = redis.call('HGETALL', KEYS[5])
    for i = 1, #fields, 2 do
        local when = string.sub(fields[i], 1, 7) == 'client:' and string.match(fields[i + 1], '^%d+ (%d+)')
        if when and tonumber(when) < context.now - 600000 then redis.call('HDEL', KEYS[5], fields[i]) end
    end
end

-- All keys of a context go at one moment; only meta stays for ten minutes more, with nothing in it that can be read.
local function set_expiry()
    for i = 1, 5 do
        if context.deadline ~= '0' then
            redis.call('PEXPIREAT', KEYS[i], i < 5 and context.deadline or string.format('%.0f', context.deadline + 600000))
        else
            redis.call('PERSIST', KEYS[i])
        end
    end
end

local answers, at, index = {}, 8, 0
while at <= #ARGV do
    answers[index + 1], at = commit(at, index)
    index = index + 1
end
local answer = concat(answers, '\n')
local known = ARGV[4] .. ' ' .. sub(context.at, 1, -4) .. ' ' .. answer
if context.touched then
    bound()
    local state = context.last_printed .. ' ' .. context.first .. ' ' .. context.ttl .. ' ' .. context.deadline
        .. format(' %.0f ', context.total) .. context.base .. format(' %d ', context.count) .. context.keep_commits
        .. ' ' .. context.keep_bytes .. ' ' .. context.at
    call('HSET', KEYS[5], 'state', state, 'client:' .. ARGV[3] .. ':' .. ARGV[4] % 2, known)
    if context.fresh then set_expiry() end
elseif ARGV[3] ~= '' then
    call('HSET', KEYS[5], 'client:' .. ARGV[3] .. ':' .. ARGV[4] % 2, known)
    if not context.alive then call('PEXPIRE', KEYS[5], 600000) end
end
if context.now_us % 64 == 0 then prune() end
return {'ok', answer, context.outcome or ''}
