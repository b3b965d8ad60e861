-- Applies a batch of independent commits to one context: each wholly or not at all, answered one by one.
--
-- KEYS   1 entries  2 paths  3 deadlines  4 journal  5 meta
-- ARGV   1 channel  2 publish command  3 client ('' = no identity)  4 batch number, in 12 digits
--        5 and 6 the fields of meta with the answers to a batch of this parity and of the other
--        7 settings given ('-' = not given)  8 settings of a new context, both "<ttl ms> <keep commits> <keep bytes>"
--        9 the batch that must have been answered before ('' = any)
--        10… the commits, each: agent, "<revision of the policies that it heeds, 16 '*' = any> <bytes of agent>
--        <index in the batch> <count of guards> <count of operations>" (16, 3, 4, 6 and 6 digits), guards, operations
--   guards      v <path> <version>     r <path> <revision>     (0 = missing)
--               n <prefix> 0 (nothing below)                   c <prefix> <count> (fewer than that below)
--   operations  s <path> <ttl ms, '' = none, 'keep'> <value>          i <path> <by> ''          d <path> '' ''
--               a <path> '<count> <most bytes>' <packed items>        e <topic> '' <data>       p '' '' '' (new policies)
--               k <path> <ttl ms, '' = none> ''      alone in their commit:  w '' <limit> ''  f '' <keep ms> <outcome>  D '' '' ''
-- REPLY  answers joined by newlines, then, where one is F, a newline and the outcome; or 'stale': a later batch was
--        applied; or 'early': ARGV 9 was not
--   +<revision> <at>[ <result>]   applied; revision 0 where nothing changed; the result only of a single operation:
--                                 s i a: <version> <created> <expiry>[ <value>]   d k: 1 or 0   w: <next deadline>
--   !<guard> <version> <revision> <agent>   that guard failed       F   the context is finished
--   P<revision>   other policies hold by now: those of that revision
--   L<size>   the commit is too large   V<size> <limit>   the value is (a)       N   not a small integer (i) or an array (a)
--
-- Identity: a client has at most two batches on their way, with numbers of different parity, and the second only
-- behind the first. The answers to its last two are kept: the same number is answered from there, a lower one refused.
--
-- Invariants: `last` only grows and outlives the context; a record names the revision before it (0: the first);
-- whatever can fail is checked before the first write, since Lua has no roll-back; a due entry is expired, as a
-- commit of its own, before anything else looks at it.
--
-- Numbers are stored in so many digits that text tells which is larger, and each is found by its place: revisions and
-- times in µs in 16 (from the year 2001 to 2286), times in ms in 13, versions in 10. To copy text costs far less than
-- to read or to print a number; where one must be printed, %d costs half of what %.0f does, but may hold no more than
-- 32 bits. And a function costs in every call of the script, the more the more locals of the script it uses: so the
-- ordinary commit runs straight through, and functions use hardly any.

local call, sub, format, concat = redis.call, string.sub, string.format, table.concat
local NONE, NO_POLICIES, ANY_POLICIES, ONE_OPERATION = '0000000000000', '0000000000000000', '****************', '000000 000001'

-- The value after an increment or an append to the raw entry before, and the number it holds as text; nil and the answer
-- where that is impossible. Values are msgpack.
local function compute(kind, before, operand, items)
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

    local value
    if before ~= '' then
        local length, start = string.match(before, '^(%d+) ()', 77)
        value = string.sub(before, start + length)
    end
    if kind == 'i' then
        local number = 0
        if value then number = unpack_integer(value) end
        local result = number and number + tonumber(operand)
        -- From 2^53 on, a double no longer tells an integer from its neighbour.
        if not result or math.max(result, -result, number, -number) >= 2 ^ 53 then return nil, 'N' end
        return pack_integer(result), string.format(' %.0f', result)
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
    local added, most = string.match(operand, '^(%d+) (%d+)$')
    length = length + added
    local head = length < 16 and char(144 + length) or length < 65536 and '\220' .. big_endian(length, 2)
        or '\221' .. big_endian(length, 4)
    local result = head .. (value and string.sub(value, start) or '') .. items
    if #result > tonumber(most) then return nil, 'V' .. #result .. ' ' .. most end
    return result, ''
end

-- The agent of a raw entry, and where its value begins.
local function agent_of(raw)
    local length, start = string.match(raw, '^(%d+) ()', 77)
    return string.sub(raw, start, start + length - 1), start + length
end

-- What stands in the way of the guards from one place in ARGV to another: an answer, or nil and an entry that is due.
local function obstacle(from, to, now)
    for at = from, to, 3 do
        local kind, path, expected = ARGV[at], ARGV[at + 1], ARGV[at + 2]
        if kind == 'n' then
            path = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. path, '(' .. path .. '\255', 'LIMIT', 0, 1)[1]
        end
        local raw = path and kind ~= 'c' and redis.call('HGET', KEYS[1], path)
        if kind == 'c' then
            local found = redis.call('ZLEXCOUNT', KEYS[2], '[' .. path, '(' .. path .. '\255')
            if found >= tonumber(expected) then return '!' .. (at - from) / 3 .. ' 0 0 ' end
        elseif not raw then
            if expected ~= '0' then return '!' .. (at - from) / 3 .. ' 0 0 ' end
        else
            local version, revision, expiry = string.sub(raw, 18, 27), string.sub(raw, 1, 16), string.sub(raw, 63, 75)
            if expiry ~= '0000000000000' and expiry <= now then return nil, path, raw end
            if expected ~= (kind == 'v' and version or revision) then
                return table.concat({'!' .. (at - from) / 3, version, revision, agent_of(raw)}, ' ', 1, 4)
            end
        end
    end
end

-- Writes an entry, or removes it; before and after are raw, '' = none. Whether it has a deadline now.
local function write(path, before, after)
    local expiry_before, expiry = string.sub(before, 63, 75), string.sub(after, 63, 75)
    if after == '' then
        redis.call('HDEL', KEYS[1], path)
        redis.call('ZREM', KEYS[2], path)
    else
        redis.call('HSET', KEYS[1], path, after)
        if before == '' then redis.call('ZADD', KEYS[2], 0, path) end
    end
    if expiry > '0000000000000' then
        redis.call('ZADD', KEYS[3], expiry, path)
        return true
    end
    if expiry_before > '0000000000000' then redis.call('ZREM', KEYS[3], path) end
    return false
end

-- The settings after some were given: "<ttl> <keep commits> <keep bytes>|<given>"; and the counts of records and of bytes
-- (of all that was ever written) at which the journal is trimmed.
local function configure(settings, given, most_bytes)
    local ttl, commits, bytes = string.match(settings, '^(%d+) (%d+) (%d+)')
    local new_ttl, new_commits, new_bytes = string.match(given, '^(%S+) (%S+) (%S+)$')
    local base = most_bytes and most_bytes - bytes or 0
    if new_ttl ~= '-' then ttl = new_ttl end
    if new_commits ~= '-' then commits = new_commits end
    if new_bytes ~= '-' then bytes = new_bytes end
    return ttl .. ' ' .. commits .. ' ' .. bytes .. '|' .. given,
        string.format('%09d', math.min(commits + math.max(1, math.floor(commits / 8)), 999999999)),
        string.format('%015.0f', base + bytes)
end

-- The idle deadline from now on, and until when it need not be moved.
local function idle(settings, now)
    local ttl = tonumber(string.match(settings, '^%d+'))
    if ttl == 0 then return '0000000000000', '9999999999999', true end
    local slack = math.floor(ttl / 64)
    return string.format('%013.0f', now + ttl + slack), string.format('%013.0f', now + slack), true
end

-- Trims the journal; the count of its records then, and of the bytes at which it is trimmed next.
local function bound(count, total, settings, most_bytes)
    local commits, bytes = string.match(settings, '^%d+ (%d+) (%d+)')
    local base = most_bytes - bytes

    local function trim(to)
        redis.call('XTRIM', KEYS[4], 'MAXLEN', to)
        local oldest = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1][2][2]
        count, base = to, tonumber(string.match(oldest, '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+)'))
    end

    if count > commits + math.max(1, math.floor(commits / 8)) then trim(commits + 0) end
    while total - base > bytes + 0 and count > 1 do trim(count - math.max(1, math.floor(count / 8))) end
    return count, string.format('%015.0f', base + bytes)
end

-- Identities are kept for ten minutes, and pruned by age only, now and then: once in a hundred batches.
local function prune(now)
    local fields = redis.call('HGETALL', KEYS[5])
    for i = 1, #fields, 2 do
        if string.sub(fields[i], 1, 7) == 'client:' and string.sub(fields[i + 1], 14, 26) + 600000 < now + 0 then
            redis.call('HDEL', KEYS[5], fields[i])
        end
    end
end

-- All keys of a context go at one moment; only meta stays for ten minutes more, with nothing in it that can be read.
-- From one key to another: those that are new have no deadline yet.
local function expire_keys(deadline, from, to)
    for i = from, to do
        if deadline ~= '0000000000000' then
            redis.call('PEXPIREAT', KEYS[i], i < 5 and deadline or string.format('%.0f', deadline + 600000))
        else
            redis.call('PERSIST', KEYS[i])
        end
    end
end

-- Has this batch been answered before?

local ARGV, KEYS = ARGV, KEYS
local clock = call('TIME')
local at = clock[1] .. sub('000000' .. clock[2], -6)
local now, client, number, behind = sub(at, 1, 13), ARGV[3], ARGV[4], ARGV[9]
local meta = call('HMGET', KEYS[5], 'state', ARGV[5], ARGV[6], 'finished')
local state, mine, other, finished = meta[1], meta[2], meta[3], meta[4]
if mine or other then
    local newest = mine and sub(mine, 1, 12) or ''
    if newest == number then return sub(mine, 28) end
    if other and sub(other, 1, 12) > newest then newest = sub(other, 1, 12) end
    if newest > number then return 'stale' end
    if behind ~= '' and newest ~= behind then return 'early' end
elseif behind ~= '' then
    return 'early'
end

-- The state of the context: "<last revision> <deadline> <renewed after> <bytes> <trimmed at> <records> <trimmed at>
-- <policies> <first revision> <updated> <settings>". The idle deadline is moved seldom: it is set a sixty-fourth of the
-- ttl too late, and again when that is used up. All that is left of a context that is gone is its last revision.

local alive = state and call('EXISTS', KEYS[4]) == 1
local last = state and sub(state, 1, 16) or '0'
local deadline, renewed_after, total, most_bytes, count, most_records, policies, first, settings
if alive then
    deadline, renewed_after, total, most_bytes = sub(state, 18, 30), sub(state, 32, 44), sub(state, 46, 60), sub(state, 62, 76)
    count, most_records, policies = sub(state, 78, 86) + 0, sub(state, 88, 96), sub(state, 98, 113)
    first, settings = sub(state, 115, 130), sub(state, 149)
else
    policies, finished = NO_POLICIES, false
end

local answers, outcome, answered, swept, touched, fresh, created, timed, stem, low = {}, '', 0, 0, false, false, 0, false
local befores, afters, words, body = {false}, {false}, {false}, {false, '', ''}
local place, places = 10, #ARGV
while place <= places do
    local agent, head, guards = ARGV[place], ARGV[place + 1], place + 2
    local heeded, agent_bytes, index, shape = sub(head, 1, 16), sub(head, 18, 20), sub(head, 22, 25), sub(head, 27)
    local from, to = guards, guards + 3
    if shape ~= ONE_OPERATION then
        from = guards + 3 * sub(shape, 1, 6)
        to = from + 4 * sub(shape, 8) - 1
    end
    local kind = from < to and ARGV[from] or ''
    local identity, revision = client, at
    if at <= last then
        if not low then stem, low = sub(last, 1, 12), sub(last, 13) + 0 end
        revision = low < 9999 and format('%s%04d', stem, low + 1) or format('%.0f', last + 1)
    end
    local answer, result, due, due_raw, renewed = false, false, false, false, false

    -- What stands in the way: the end of the context, policies that the client does not know, a guard.
    if finished and kind ~= 'D' then
        answer = kind == 'w' and '+0 ' .. at .. ' 0' or 'F'
        if kind ~= 'w' then outcome = '\n' .. call('HGET', KEYS[5], 'outcome') end
    elseif heeded ~= policies and heeded ~= ANY_POLICIES then
        answer = 'P' .. policies
    elseif from > guards then
        answer, due, due_raw = obstacle(guards, from - 1, now)
    end

    -- What the operations do: entries before and after (after = false: stays), and what the record says of it.
    local slots, steps, size, earliest = 0, 0, 500, NONE
    if answer or due then
        kind = ''
    elseif kind == 'w' then
        due = swept < ARGV[from + 2] + 0 and call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1)[1]
        due_raw, swept = due and call('HGET', KEYS[1], due), swept + 1
        answer = '+0 ' .. at .. ' ' .. (call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or '0')
    elseif kind == 'f' then
        steps, words[1], body[1], body[2], body[3] = 1, format(' f 0 0 %d', #ARGV[from + 3]), ARGV[from + 3], '', ''
    elseif kind == 'D' then
        if alive then steps, words[1], body[1], body[2], body[3] = 1, ' g 0 0 0', '', '', '' end
    else
        for operation = from, to, 4 do
            local path, operand, before, expiry, after = ARGV[operation + 1], ARGV[operation + 2], '', '', false
            kind = ARGV[operation]
            if kind ~= 'e' and kind ~= 'p' then
                before = call('HGET', KEYS[1], path) or ''
                expiry = sub(before, 63, 75)
                if expiry > NONE and expiry <= now then
                    due, due_raw = path, before
                    break
                end
            end
            if kind == 'd' then
                after, result = before ~= '' and '', before ~= '' and '1' or '0'
            elseif kind == 'k' then
                expiry = operand == '' and NONE or format('%013.0f', now + operand)
                renewed, result = renewed or before ~= '', before ~= '' and '1' or '0'
                after = before ~= '' and sub(before, 1, 62) .. expiry .. sub(before, 76)
            elseif kind == 'e' then
                after = ARGV[operation + 3]
            elseif kind ~= 'p' and not answer then
                local value, computed, version, created = ARGV[operation + 3], '', '0000000001', at
                if kind ~= 's' then
                    value, computed = compute(kind, before, operand, value)
                elseif operand ~= 'keep' then
                    expiry = operand == '' and NONE or format('%013.0f', now + operand)
                end
                if value then
                    if before ~= '' then version, created = format('%010d', sub(before, 18, 27) + 1), sub(before, 29, 44) end
                    if expiry == '' then expiry = NONE end
                    if expiry > NONE and (earliest == NONE or expiry < earliest) then earliest = expiry end
                    after = revision .. ' ' .. version .. ' ' .. created .. ' ' .. at .. ' ' .. expiry .. ' ' .. agent_bytes
                        .. ' ' .. agent .. value
                    result = version .. ' ' .. created .. ' ' .. expiry .. computed
                else
                    answer = computed
                end
            end
            slots = slots + 1
            befores[slots], afters[slots] = before, kind ~= 'e' and after
            if after and kind ~= 'k' then
                steps, size = steps + 1, size + #path + #before + #after + 30
                words[steps] = format(kind == 'd' and ' d %d %d %d' or kind == 'e' and ' e %d %d %d' or ' s %d %d %d',
                    #path, #before, #after)
                body[3 * steps - 2], body[3 * steps - 1], body[3 * steps] = path, before, after
            end
        end
        if size > 16777216 then answer = answer or format('L%.0f', size) end
    end

    -- A due entry goes first, in a commit of its own; after it, this one is looked at again.
    if due then
        agent, answer, slots, identity, index, steps, earliest = agent_of(due_raw), false, 1, '-', '0000', 1, NONE
        agent_bytes, befores[1], afters[1] = #agent, due_raw, ''
        words[1], body[1], body[2], body[3] = format(' x %d %d 0', #due, #due_raw), due, due_raw, ''
    end

    -- Settings take effect with the first thing that a batch really does, never with one that is refused.
    if not answer and not touched and kind ~= 'D' and (steps > 0 or renewed) then
        touched = true
        if not alive then
            total, count, policies, renewed_after = '000000000000000', 0, NO_POLICIES, ''
            settings, most_records, most_bytes = configure(ARGV[8], ARGV[7])
        elseif ARGV[7] ~= '- - -' and sub(settings, -#ARGV[7] - 1) ~= '|' .. ARGV[7] then
            renewed_after = ''
            settings, most_records, most_bytes = configure(settings, ARGV[7], most_bytes)
        end
        if now > renewed_after then deadline, renewed_after, fresh = idle(settings, now) end
    end

    if not answer then
        for slot = 1, slots do
            local path = due or ARGV[from + 4 * slot - 3]
            if afters[slot] then
                if befores[slot] == '' then created = created + 1 end
                if write(path, befores[slot], afters[slot]) then timed = true end
            end
        end
    end
    if answer then
        steps = 0
    elseif kind == 'f' then
        deadline, renewed_after, fresh = format('%013.0f', now + ARGV[from + 2]), '9999999999999', true
    elseif kind == 'D' then
        deadline, total, touched = NONE, '0', false
    elseif kind == 'p' and steps > 0 then
        policies = revision
    end

    if steps > 0 then
        local record = (alive and last or '0') .. ' ' .. revision .. ' ' .. at .. ' ' .. (identity ~= '' and identity or '-')
            .. ' ' .. number .. ' ' .. index .. ' ' .. deadline .. ' ' .. total .. ' ' .. earliest
            .. ' ' .. agent_bytes
        if steps == 1 then
            record = record .. words[1] .. '\n' .. agent .. body[1] .. body[2] .. body[3]
        else
            record = record .. concat(words, '', 1, steps) .. '\n' .. agent .. concat(body, '', 1, 3 * steps)
        end
        if kind == 'D' then
            call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
            call('HDEL', KEYS[5], 'created', 'finished', 'outcome')
            call('HSET', KEYS[5], 'state', revision)
            alive, finished, policies = false, false, NO_POLICIES
        else
            if not alive then
                call('HDEL', KEYS[5], 'finished', 'outcome')
                call('HSET', KEYS[5], 'created', at)
                alive, first = true, revision
            end
            call('XADD', KEYS[4], revision .. '-0', 'r', record)
            total, count = total + #record, count + 1
            total = format('%09d%06d', (total - total % 1000000) / 1000000, total % 1000000)
        end
        if kind == 'f' then
            finished = at
            call('HSET', KEYS[5], 'finished', at, 'outcome', body[1])
        end
        call(ARGV[2], ARGV[1], record)
        last, low = revision, low and low < 9999 and low + 1
    end

    if not due then
        answered, place, swept = answered + 1, to + 1, 0
        answers[answered] = answer or '+' .. (steps > 0 and revision or '0') .. ' ' .. at
            .. (to - from == 3 and result and ' ' .. result or '')
    end
end

local reply = (answered == 1 and answers[1] or concat(answers, '\n')) .. outcome
if touched then
    if format('%09d', count) > most_records or total > most_bytes then count, most_bytes = bound(count, total, settings, most_bytes) end
    state = last .. ' ' .. deadline .. ' ' .. renewed_after .. ' ' .. total .. ' ' .. most_bytes .. format(' %09d ', count)
        .. most_records .. ' ' .. policies .. ' ' .. first .. ' ' .. at .. ' ' .. settings
    if client == '' then
        call('HSET', KEYS[5], 'state', state)
    else
        call('HSET', KEYS[5], 'state', state, ARGV[5], number .. ' ' .. now .. ' ' .. reply)
    end
    if fresh then
        expire_keys(deadline, 1, 5)
    elseif deadline ~= NONE then
        -- A hash that holds no more than was created just now was not there before.
        if created > 0 and call('HLEN', KEYS[1]) <= created then expire_keys(deadline, 1, 2) end
        if timed then expire_keys(deadline, 3, 3) end
    end
elseif client ~= '' then
    call('HSET', KEYS[5], ARGV[5], number .. ' ' .. now .. ' ' .. reply)
    if not alive then call('PEXPIRE', KEYS[5], 600000) end
end
if sub(at, -2) == '00' then prune(now) end
return reply
