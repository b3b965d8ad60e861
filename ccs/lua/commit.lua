-- Applies a batch of independent commits to one context: each wholly or not at all, answered one by one.
--
-- KEYS   1 entries  2 paths  3 deadlines  4 journal  5 meta
-- ARGV   1 channel  2 publish command  3 "<client, '-' = no identity> <batch number, in 12 digits>"
--        4 and 5 the fields of meta with the answers to a batch of this parity and of the other ('' = no identity)
--        6 settings of a new context: "<ttl ms> <keep commits> <keep bytes>"
--        7 '', or "<the batch that must have been answered before, 12 '-' = any> <the latest time at which this batch may
--          be applied, 16 '-' = any> <settings given, '-' = not given>"
--        8… the commits, each: agent, "<index in the batch> <bytes of agent>[ <revision of the policies that it heeds,
--          16 '*' = any>[ <count of guards> <count of operations>]]" (4, 3, 16, 6 and 6 digits; not given: any, no guard,
--          one operation), guards, operations
--   guards      v <path> <version>     r <path> <revision>     (0 = missing)
--               n <prefix> 0 (nothing below)                   c <prefix> <count> (fewer than that below)
--   operations  s <path> <ttl ms, '' = none, 'keep'> <value>          i <path> <by> ''          d <path> '' ''
--               a <path> '<count> <most bytes>' <packed items>        e <topic> '' <data>       p '' '' '' (new policies)
--               k <path> <ttl ms, '' = none> ''      alone in their commit:  w '' <limit> ''  f '' <keep ms> <outcome>  D '' '' ''
--   A ttl with a '+' before it is one that the context outlasts; a lease has none.
-- REPLY  answers joined by newlines, then, where one is F, a newline and the outcome; or 'stale': a later batch was
--        applied; or 'early': the one that ARGV 7 names was not; or 'late': the time that ARGV 7 names has passed
--   +<revision> <at>[ <result>]   applied; revision 0 where nothing changed; the result only of a single operation:
--                                 s i a: <version> <created> <expiry>[ <value>]   d k: 1 or 0   w: <next deadline>
--   !<guard> <version> <revision> <agent>   that guard failed       F   the context is finished
--   P<revision>   other policies hold by now: those of that revision
--   L<size>   the commit is too large   V<size> <limit>   the value is (a)       N   not a small integer (i) or an array (a)
--   X<command> <key, 0 = the channel>   the caller may not do that               T<key>   is of a wrong type
--
-- Identity: a client has at most two batches on their way, with numbers of different parity, and the second only
-- behind the first. The answers to its last two are kept: the same number is answered from there, a lower one refused.
-- They are pruned after ten minutes, so a batch that is sent again says until when its answer must have been there.
--
-- The journal has an item for each batch: its records, in fields `r`, under the revision of the last of them.
--
-- Invariants: `last` only grows and outlives the context; a record names the revision before it (0: the first);
-- a due entry is expired, as a commit of its own, before anything else looks at it. The time of a context never goes
-- back: it is that of the clock or, if that is later, the last revision.
--
-- Lua has no roll-back, so nothing that can fail comes after the first write of a commit. A key of a wrong type fails,
-- and a command or a channel that the caller has no right to. Memory, the disk and replicas do not: the server asks for
-- those before the first write of a script only. So types are found by a look before, and rights by acl_check_cmd
-- (fakeredis has no rights, and lacks it). Where a commit stands alone, its very first write needs neither: it may fail.
-- Each command with its key, and before what it is looked at:
--   always      HMGET 5, XLEN 4: the first of all      HGET 1: in the first commit of a batch (refusal)
--   sets        ZADD 2, HSET 1       deletes  ZREM 2, HDEL 1       dated  ZADD 3, ZREM 3, PEXPIREAT 3: rights, refusal
--   a commit    XADD 4, PUBLISH, HSET 5: rights                    life   PEXPIREAT, PERSIST, HDEL 5, UNLINK: refusal
--   guards      ZRANGEBYLEX 2, ZLEXCOUNT 2                         sweeps ZRANGEBYSCORE 3, ZRANGE 3: unlooked
--   COPY 4 3, RENAME 3 4, XRANGE 4, XTRIM 4, HGETALL 5, HDEL 5 tidy up: left to somebody else by a caller that may not use them
--
-- Numbers are stored in so many digits that text tells which is larger, and each is found by its place: revisions and
-- times in µs in 16 (from the year 2001 to 2286), times in ms in 13, versions in 10. To copy text costs far less than
-- to read or to print a number; where one must be printed, %d costs a quarter of what %.0f does (on a server of 64 bits,
-- which is what we take). A time in ms has come if its text is less than that of now in µs. And a function costs in every
-- call of the script, the more the more locals of the script it uses: so the ordinary commit runs straight through, and
-- functions are made only where a commit needs one of them. Lua unpacks at most 8,000 values.

local call, may, sub, format, concat = redis.call, redis.acl_check_cmd, string.sub, string.format, table.concat
local NONE, FINISHED, NO_POLICIES = '0000000000000', '9999999999998', '0000000000000000'
local NOTHING_WRITTEN = '000000000000000 000000000000'

-- What an ordinary commit does without.
local function make_parts()
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

    -- An answer that says which right the caller lacks, or nil.
    local function lacks(command, i, ...)
        if may and not may(command, KEYS[i], ...) then return 'X' .. command .. ' ' .. i end
    end

    -- An answer that says that a key holds something else than this kind, or nil.
    local function other_than(kind, i)
        local found = lacks('TYPE', i) or redis.call('TYPE', KEYS[i]).ok
        return found ~= kind and found ~= 'none' and (string.sub(found, 1, 1) == 'X' and found or 'T' .. i) or nil
    end

    -- What stands in the way of looking below a prefix, or for what is due, where something was written before: an answer.
    local function unlooked(kind)
        if kind == 'w' then
            return lacks('ZRANGEBYSCORE', 3, '-inf', '0') or lacks('ZRANGE', 3, '0', '0') or other_than('zset', 3)
        end
        return lacks('ZRANGEBYLEX', 2, '-', '+') or lacks('ZLEXCOUNT', 2, '-', '+') or other_than('zset', 2)
    end

    -- What stands in the way of what a commit does beside overwriting entries: an answer, or nil. It `expires` or `dates`
    -- keys that may be new.
    local function refusal(reads, creates, removes, dated, expires, dates)
        return reads and (lacks('HGET', 1, '') or other_than('hash', 1))
            or creates and lacks('ZADD', 2, '0', '')
            or removes and (lacks('ZREM', 2, '') or lacks('HDEL', 1, ''))
            or (creates or removes) and other_than('zset', 2)
            or dated and (lacks('ZADD', 3, '0', '') or lacks('ZREM', 3, '') or other_than('zset', 3))
            or (expires or removes) and (lacks('PEXPIREAT', 1, '0') or lacks('PEXPIREAT', 2, '0'))
            or (dates or dated) and lacks('PEXPIREAT', 3, '0')
            or nil
    end

    -- Whether an answer in a context that is gone may be kept: who may not let it go again must not leave it behind.
    local function may_vanish()
        return not lacks('PEXPIRE', 5, '0')
    end

    -- What stands in the way of beginning, renewing or ending the life of a context: an answer, or nil.
    local function no_life(kind)
        local refused = lacks('HDEL', 5, '') or lacks('HGET', 5, '') or lacks('PEXPIRE', 5, '0')
        for i = 1, 5 do
            refused = refused or lacks('PEXPIREAT', i, '0') or lacks('PERSIST', i) or kind == 'D' and i < 5 and lacks('UNLINK', i)
        end
        return refused or nil
    end

    -- What stands in the way of the guards from one place in ARGV to another: an answer, or nil and an entry that is due.
    local function obstacle(from, to, at, wrote)
        for place = from, to, 3 do
            local kind, path, expected = ARGV[place], ARGV[place + 1], ARGV[place + 2]
            local refused = wrote and (kind == 'n' or kind == 'c') and unlooked(kind)
            if refused then return refused end
            if kind == 'n' then
                path = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. path, '(' .. path .. '\255', 'LIMIT', 0, 1)[1]
            end
            local raw = path and kind ~= 'c' and redis.call('HGET', KEYS[1], path)
            if kind == 'c' then
                local found = redis.call('ZLEXCOUNT', KEYS[2], '[' .. path, '(' .. path .. '\255')
                if found >= tonumber(expected) then return '!' .. (place - from) / 3 .. ' 0 0 ' end
            elseif not raw then
                if expected ~= '0' then return '!' .. (place - from) / 3 .. ' 0 0 ' end
            else
                local version, revision, expiry = string.sub(raw, 18, 27), string.sub(raw, 1, 16), string.sub(raw, 63, 75)
                if expiry ~= '0000000000000' and expiry < at then return nil, path, raw end
                if expected ~= (kind == 'v' and version or revision) then
                    return table.concat({'!' .. (place - from) / 3, version, revision, agent_of(raw)}, ' ', 1, 4)
                end
            end
        end
    end

    -- What else is due of that which a commit names, as a chain of {path, entry, next}: they go one after the other, and the
    -- commit is looked at once more when all have gone, and not after each.
    local function also_due(guards, from, to, at, first, seen)
        local found, chain, last = {[first] = true}, nil, nil
        local function look(path)
            local raw = not found[path] and (seen and seen[path] or redis.call('HGET', KEYS[1], path))
            local expiry = raw and string.sub(raw, 63, 75) or ''
            if expiry > '0000000000000' and expiry < at then
                local each = {path, raw}
                if last then last[3] = each else chain = each end
                found[path], last = true, each
            end
        end
        for place = guards, from - 1, 3 do
            if ARGV[place] == 'v' or ARGV[place] == 'r' then look(ARGV[place + 1]) end
        end
        for place = from, to, 4 do
            if ARGV[place] ~= 'e' and ARGV[place] ~= 'p' then look(ARGV[place + 1]) end
        end
        return chain
    end

    -- Calls a command with the values that were gathered, in pieces that Lua can unpack.
    local function send_pieces(command, key, values, count)
        for from = 1, count, 4000 do
            redis.call(command, key, unpack(values, from, math.min(from + 3999, count)))
        end
    end

    -- Removes the entries that were gathered; how many wait then.
    local function remove(gone, going)
        send_pieces('ZREM', KEYS[2], gone, going)
        send_pieces('HDEL', KEYS[1], gone, going)
        return 0
    end

    -- Sends the paths that are new, and the entries that were gathered; how many wait then.
    local function send(entries, held, paths, added)
        send_pieces('ZADD', KEYS[2], paths, added)
        send_pieces('HSET', KEYS[1], entries, held)
        return 0, 0
    end

    -- Appends the records that were gathered to the journal, as one item, and publishes each; how many fields wait then.
    local function tell(records, told, last)
        if told > 0 then redis.call('XADD', KEYS[4], last, unpack(records, 1, told)) end
        for field = 2, told, 2 do redis.call(ARGV[2], ARGV[1], records[field]) end
        return 0
    end

    -- By how many commits a journal of so many may be too long before it is trimmed.
    local function slack_of(commits)
        return math.max(1, math.floor(commits / 8))
    end

    -- When the journal is trimmed next, if so much stood before its oldest record: "<bytes> <records>", ever written by then.
    local function limits_after(bytes, records, keep_commits, keep_bytes)
        return string.format('%015d %012d', bytes + keep_bytes, records + keep_commits + slack_of(keep_commits))
    end

    -- The settings after some were given: "<ttl> <keep commits> <keep bytes>[ <outlasted>]|<given>", outlasted being an expiry
    -- that the idle deadline must not come before; and when the journal is trimmed next.
    local function configure(settings, given, limits)
        local ttl, commits, bytes = string.match(settings, '^(%d+) (%d+) (%d+)')
        local new_ttl, new_commits, new_bytes = string.match(given, '^(%S+) (%S+) (%S+)$')
        local bytes_before, records_before = 0, 0
        if limits then
            bytes_before = string.sub(limits, 1, 15) - bytes
            records_before = string.sub(limits, 17) - commits - slack_of(commits)
        end
        if new_ttl ~= '-' then ttl = new_ttl end
        if new_commits ~= '-' then commits = new_commits end
        if new_bytes ~= '-' then bytes = new_bytes end
        local outlasted = string.match(settings, '^%d+ %d+ %d+( %d+)|') or ''
        return ttl .. ' ' .. commits .. ' ' .. bytes .. outlasted .. '|' .. given, limits_after(bytes_before, records_before, commits, bytes)
    end

    -- The idle deadline from now on, and until when it need not be moved.
    local function idle(settings, at)
        local ttl, now = tonumber(string.match(settings, '^%d+')), string.sub(at, 1, 13)
        if ttl == 0 then return '0000000000000', '9999999999999', true end
        local slack = math.floor(ttl / 64)
        local deadline, renewed_after = now + ttl + slack, now + slack
        -- A second for what is not noted, and one more: that entry is to expire before the context goes.
        local outlasted = (string.match(settings, '^%d+ %d+ %d+ (%d+)|') or 0) + 2000
        if outlasted > deadline then deadline, renewed_after = outlasted, outlasted - ttl end
        return string.format('%013d', deadline), string.format('%013d', renewed_after), true
    end

    -- The terms of a context that is to outlast an expiry.
    local function outlast(terms, expiry)
        local numbers, given = string.match(string.sub(terms, 65), '^(%d+ %d+ %d+)[^|]*(|.*)$')
        return string.sub(terms, 1, 64) .. numbers .. ' ' .. expiry .. given
    end

    -- Trims the journal, to more than is kept at least so that it is seldom trimmed, and by whole items, of which the newest
    -- stays; when it is trimmed next. The first record of an item names the bytes and the records before it: so the item that
    -- is to be the oldest is found by looking at a few, half-way between those that are too old and those that are not.
    local function trim(settings, bytes, records, last, limits)
        if lacks('XRANGE', 4, '-', '+') or lacks('XTRIM', 4, 'MINID', '0') then return limits end
        local keep_commits, keep_bytes = string.match(settings, '^%d+ (%d+) (%d+)')
        keep_commits, keep_bytes = keep_commits + 0, keep_bytes + 0

        local function item_from(revision)
            local item = redis.call('XRANGE', KEYS[4], revision, '+', 'COUNT', 1)[1]
            local before = {string.match(item[2][2], '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)')}
            return {id = string.match(item[1], '^%d+') + 0, bytes = before[1] + 0, records = before[2] + 0}
        end

        local old, young, upper = item_from('-'), false, last + 1
        local most_records = keep_commits + math.floor(slack_of(keep_commits) / 2)
        local heavy = bytes - old.bytes > keep_bytes
        local most_bytes = heavy and keep_bytes - math.floor(keep_bytes / 8) or keep_bytes
        while old.id + 1 < upper do
            local middle = math.floor((old.id + upper) / 2)
            local item = item_from(string.format('%d', middle))
            if bytes - item.bytes > most_bytes or records - item.records > most_records then
                old = item
            else
                young, upper = item, middle
                if heavy and bytes - item.bytes >= most_bytes / 2 then break end
                if not heavy and records - item.records >= keep_commits then break end
            end
        end
        -- Rather too many commits than too few, but not too many bytes.
        if young and (records - young.records >= keep_commits or bytes - old.bytes > most_bytes) then old = young end
        redis.call('XTRIM', KEYS[4], 'MINID', string.format('%d', old.id))
        return limits_after(old.bytes, old.records, keep_commits, keep_bytes)
    end

    -- Identities are kept for ten minutes, and pruned by age only, now and then: once in a hundred batches.
    local function prune(at)
        if lacks('HGETALL', 5) or lacks('HDEL', 5, '') then return end
        local now = string.sub(at, 1, 13)
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
                redis.call('PEXPIREAT', KEYS[i], i < 5 and deadline or string.format('%d', deadline + 600000))
            else
                redis.call('PERSIST', KEYS[i])
            end
        end
    end

    -- A server makes the first node of a stream in its full size, 4 kB, whatever it holds; a copy has just what is needed. Most
    -- contexts stay small: it is the most of what they take. The copy is made under the key of the deadlines: where there
    -- are some already, or the caller may not, the journal stays as it is.
    local function fit_journal()
        if may and may('COPY', KEYS[4], KEYS[3]) and may('RENAME', KEYS[3], KEYS[4])
            and redis.call('COPY', KEYS[4], KEYS[3]) == 1
        then
            redis.call('RENAME', KEYS[3], KEYS[4])
        end
    end

    return {
        compute = compute, agent_of = agent_of, unlooked = unlooked, refusal = refusal, may_vanish = may_vanish,
        no_life = no_life, obstacle = obstacle, send = send, tell = tell, configure = configure, idle = idle,
        outlast = outlast, trim = trim, prune = prune, expire_keys = expire_keys, fit_journal = fit_journal, also_due = also_due,
        remove = remove,
    }
end

-- Has this batch been answered before?

local ARGV, KEYS, part = ARGV, KEYS, false
local clock, number, extras = call('TIME'), sub(ARGV[3], -12), ARGV[7]
local at = clock[1] .. (#clock[2] == 6 and clock[2] or sub('000000' .. clock[2], -6))
local meta = call('HMGET', KEYS[5], 'state', ARGV[4], ARGV[5])
local state, mine, other, behind, given, latest = meta[1], meta[2], meta[3], '', '- - -', false
if state and at < state then at = sub(state, 1, 16) end
if extras ~= '' then
    behind, latest, given = sub(extras, 1, 12), sub(extras, 14, 29), sub(extras, 31)
    if behind == '------------' then behind = '' end
end
if mine or other then
    local newest = mine and sub(mine, 1, 12) or ''
    if newest == number then return sub(mine, 31) end
    if other and sub(other, 1, 12) > newest then newest = sub(other, 1, 12) end
    if newest > number then return 'stale' end
    if behind ~= '' and newest ~= behind then return 'early' end
elseif behind ~= '' then
    return 'early'
end
if latest and latest ~= '----------------' and at > latest then return 'late' end

-- The state of the context: "<last revision> <bytes> <records> <updated> <deadline> <renewed after> <terms>", bytes and
-- records being what was ever written; the terms "<bytes> <records> <policies> <first revision> <settings>", bytes and
-- records those at which the journal is trimmed. The idle deadline is moved seldom: it is set a sixty-fourth of the ttl
-- too late, and again when that is used up. All that is left of a context that is gone is its last revision.
-- The terms begin with a blank, or with what keys have the deadline for sure: 'e' entries and paths, 'd' deadlines, 'b'
-- both. A key that is emptied loses it, and may be there anew.

local last = state and sub(state, 1, 16) or '0'
local alive, finished, deadline, renewed_after, terms = call('XLEN', KEYS[4]) > 0 and state, false, NONE, '', ''
local anew = true
local written, bytes, records = NOTHING_WRITTEN, 0, 0
if alive then
    written, deadline, renewed_after, terms = sub(state, 18, 45), sub(state, 64, 76), sub(state, 78, 90), sub(state, 91)
    bytes, records = sub(written, 1, 15) + 0, sub(written, 17) + 0
    finished = renewed_after == FINISHED
    anew = given ~= '- - -' and sub(terms, -#given - 1) ~= '|' .. given
end

local reply, outcome, answered, swept, answers, touched, fresh, timed, newest = '', '', 0, 0, nil
local word, writes, words, body = '', {false, '', ''}, false, {false, '', ''}
-- Entries, new paths, and records that are written together in the end; what somebody behind in the batch may read.
local entries, held, paths, added, seen = false, 0, false, 0, false
local gone, going = false, 0
local telling, told = false, 0
-- What was written, and what was found that the caller may do.
local unproven, wrote, created, removed, undated, may_create, may_remove, may_date, may_write, born, dues = nil
may_write = not may
local policies = alive and sub(terms, 31, 46) or NO_POLICIES
local place, places = 8, #ARGV
while place <= places do
    local agent, label, guards = ARGV[place], ARGV[place + 1], place + 2
    local from, to, heeded = guards, guards + 3, false
    if #label > 8 then
        heeded = sub(label, 10, 25)
        if #label > 25 then
            from = guards + 3 * sub(label, 27, 32)
            to = from + 4 * sub(label, 34) - 1
        end
        label = sub(label, 1, 8)
    end
    local kind, identity, revision = from < to and ARGV[from] or '', ARGV[3], at
    local number_now = false
    if not part and (from > guards or wrote or kind == 'w') then part = make_parts() end
    if at <= last then
        number_now = (newest or last) + 1
        revision = format('%016d', number_now)
    end
    local answer, result, due, due_raw, renewed, dated, lasting = nil
    if held > 0 and (from > guards or kind == 'w' or held > 1000 or kind == 'f') then
        held, added = part.send(entries, held, paths, added)
        unproven = false
    end

    -- What stands in the way: the end of the context, policies that the client does not know, a guard.
    local chained = dues
    if dues then
        due, due_raw, dues = dues[1], dues[2], dues[3]
    elseif finished and kind ~= 'D' then
        answer = kind == 'w' and '+0 ' .. at .. ' 0' or 'F'
        if kind ~= 'w' then outcome = '\n' .. call('HGET', KEYS[5], 'outcome') end
    elseif heeded and heeded ~= '****************' and heeded ~= policies then
        answer = 'P' .. policies
    elseif from > guards then
        answer, due, due_raw = part.obstacle(guards, from - 1, at, wrote)
    end

    -- What the operations do: entries before and after (after = false: stays), and what the record says of it.
    local slots, steps, size, earliest, creates, removes = 0, 0, 500, NONE, false, false
    if kind == 'w' and wrote and swept == 0 and not answer then answer = part.unlooked(kind) or false end
    if answer or due then
        kind = ''
    elseif kind == 'w' then
        due = swept < ARGV[from + 2] + 0 and call('ZRANGEBYSCORE', KEYS[3], '-inf', sub(at, 1, 13), 'LIMIT', 0, 1)[1]
        due_raw, swept = due and call('HGET', KEYS[1], due), swept + 1
        answer = '+0 ' .. at .. ' ' .. (call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or '0')
    elseif kind == 'f' then
        steps, word, body[1], body[2], body[3] = 1, format(' f 0 0 %d', #ARGV[from + 3]), ARGV[from + 3], '', ''
    elseif kind == 'D' then
        if alive then steps, word, body[1], body[2], body[3] = 1, ' g 0 0 0', '', '', '' end
    else
        for operation = from, to, 4 do
            local path, operand, before, expiry, after = ARGV[operation + 1], ARGV[operation + 2], '', '', false
            kind = ARGV[operation]
            if kind ~= 'e' and kind ~= 'p' then
                before = seen and seen[path] or call('HGET', KEYS[1], path) or ''
                expiry = sub(before, 63, 75)
                if expiry > NONE then
                    if expiry < at then
                        due, due_raw = path, before
                        break
                    end
                    dated = true
                end
            end
            if kind == 'd' then
                after, result = before ~= '' and '', before ~= '' and '1' or '0'
            elseif kind == 'k' then
                expiry = operand == '' and NONE or format('%013d', sub(at, 1, 13) + operand)
                renewed, dated, result = renewed or before ~= '', true, before ~= '' and '1' or '0'
                if before ~= '' and sub(operand, 1, 1) == '+' then lasting = lasting and lasting > expiry and lasting or expiry end
                after = before ~= '' and sub(before, 1, 62) .. expiry .. sub(before, 76)
            elseif kind == 'e' then
                after = ARGV[operation + 3]
            elseif kind ~= 'p' and not answer then
                local value, computed, version, since = ARGV[operation + 3], '', '0000000001', at
                if kind ~= 's' then
                    part = part or make_parts()
                    value, computed = part.compute(kind, before, operand, value)
                elseif operand ~= 'keep' then
                    expiry = operand == '' and NONE or format('%013d', sub(at, 1, 13) + operand)
                end
                if value then
                    if before ~= '' then version, since = format('%010d', sub(before, 18, 27) + 1), sub(before, 29, 44) end
                    if expiry == '' then
                        expiry = NONE
                    elseif expiry ~= NONE then
                        dated = true
                        if earliest == NONE or expiry < earliest then earliest = expiry end
                        if sub(operand, 1, 1) == '+' then lasting = lasting and lasting > expiry and lasting or expiry end
                    end
                    after = revision .. ' ' .. version .. ' ' .. since .. ' ' .. at .. ' ' .. expiry .. sub(label, 5)
                        .. ' ' .. agent .. value
                    result = version .. ' ' .. since .. ' ' .. expiry .. computed
                else
                    answer = computed
                end
            end
            if after and kind ~= 'e' then
                writes[slots + 1], writes[slots + 2], writes[slots + 3] = path, before, after
                slots = slots + 3
                if before == '' then creates = true elseif after == '' then removes = true end
            end
            if after and kind ~= 'k' then
                local part = 3 * steps
                steps, size = steps + 1, size + #path + #before + #after + 30
                if steps > 1 then
                    words = words or {}
                    words[steps - 1] = word
                end
                word = format(kind == 'd' and ' d %d %d %d' or kind == 'e' and ' e %d %d %d' or ' s %d %d %d',
                    #path, #before, #after)
                body[part + 1], body[part + 2], body[part + 3] = path, before, after
            end
        end
        if size > 16777216 then answer = answer or format('L%d', size) end
    end

    -- A due entry goes first, in a commit of its own; after it, this one is looked at again.
    if due then
        part = part or make_parts()
        if not chained and to - guards > 3 then dues = part.also_due(guards, from, to, at, due, seen) end
        agent, answer, slots, steps, earliest, dated, lasting = part.agent_of(due_raw), false, 3, 1, NONE, true, nil
        creates, removes = false, true
        identity, label = '- ' .. number, '0000 ' .. #agent
        writes[1], writes[2], writes[3] = due, due_raw, ''
        word, body[1], body[2], body[3] = format(' x %d %d 0', #due, #due_raw), due, due_raw, ''
    end

    -- Whether anybody comes behind, and may read what is written here.
    local more = due or to < places
    if (not may_write or not touched or removes or dated or creates and not may_create or kind == 'f' or kind == 'D')
        and not answer and (steps > 0 or renewed)
    then
        -- May it write? An ordinary commit, alone, begins with the command that may fail: that of its date, else that of a
        -- path that comes or goes, else that of the entry.
        local lives = kind == 'f' or kind == 'D' or not touched and (anew or renewed_after < at)
            or lasting and deadline ~= NONE and lasting > deadline
        local ordinary = not more and not wrote and not lives and slots > 0
            and (not dated or slots == 3) and (not removes or slots == 3 and not dated)
        if may and not may_write then
            if steps > 0 and not may(ARGV[2], ARGV[1], '') then
                answer = 'X' .. ARGV[2] .. ' 0'
            elseif steps > 0 and not may('XADD', KEYS[4], '*', 'r', '') then
                answer = 'XXADD 4'
            elseif not may('HSET', KEYS[5], '', '') then
                answer = 'XHSET 5'
            elseif (more or slots > 0 and (not ordinary or creates or dated)) and not may('HSET', KEYS[1], '', '') then
                answer = 'XHSET 1'
            end
            may_write = not answer and steps > 0
        end
        if ordinary and removes then
            if may and not may('HDEL', KEYS[1], '') then answer = 'XHDEL 1' end
        elseif not answer and (not ordinary or creates or dated) then
            local flag = sub(terms, 1, 1)
            local reads = more and not wrote and slots == 0
            local adds, drops, moves = creates and not may_create, removes and not may_remove, dated and not may_date
            local expires, dates = adds and flag ~= 'e' and flag ~= 'b', dated and flag ~= 'd' and flag ~= 'b'
            if ordinary then moves = false end
            -- Of several entries too, the new paths are written first of all.
            if adds and not (wrote or lives or removes or dated) then adds, unproven = false, true end
            if reads or lives or adds or drops or moves or expires or dates then
                part = part or make_parts()
                answer = part.refusal(reads, adds, drops, moves, expires, dates) or lives and part.no_life(kind) or false
            end
            if not answer then
                may_create, may_remove, may_date = may_create or creates, may_remove or removes, may_date or dated
            end
        end
        if answer then due, dues = false, nil else wrote = true end
    end

    -- Settings take effect with the first thing that a batch really does, never with one that is refused.
    if not answer and not touched and kind ~= 'D' and (steps > 0 or renewed) then
        touched = true
        if anew or renewed_after < at then part = part or make_parts() end
        local settings, limits
        if not alive then
            settings, limits = part.configure(ARGV[6], given)
            terms = ' ' .. limits .. ' ' .. NO_POLICIES .. ' ' .. revision .. ' ' .. settings
            written, bytes, records, renewed_after = NOTHING_WRITTEN, 0, 0, ''
        elseif anew then
            settings, limits = part.configure(sub(terms, 65), given, sub(terms, 2, 29))
            terms, renewed_after = sub(terms, 1, 1) .. limits .. sub(terms, 30, 64) .. settings, ''
        end
        if renewed_after < at then deadline, renewed_after, fresh = part.idle(sub(terms, 65), at) end
        anew = false
    end
    -- Noted at most once a second, also where the context lives on for longer: that may be changed.
    if lasting and not answer and lasting - 1000 > (string.match(terms, '^%d+ %d+ %d+ (%d+)|', 65) or 0) + 0 then
        part = part or make_parts()
        terms = part.outlast(terms, lasting)
        if deadline ~= NONE and lasting > deadline then deadline, renewed_after, fresh = part.idle(sub(terms, 65), at) end
    end

    if answer then
        slots, steps = 0, 0
    elseif kind == 'f' then
        deadline, renewed_after, fresh = format('%013d', sub(at, 1, 13) + ARGV[from + 2]), FINISHED, true
    elseif kind == 'D' then
        deadline, touched = NONE, false
    elseif kind == 'p' and steps > 0 then
        terms, policies = sub(terms, 1, 30) .. revision .. sub(terms, 47), revision
    end
    for slot = 1, slots, 3 do
        local path, before, after = writes[slot], writes[slot + 1], writes[slot + 2]
        if dated then
            if unproven and held > 0 then
                held, added = part.send(entries, held, paths, added)
                unproven = false
            end
            local expiry = sub(after, 63, 75)
            if expiry > NONE then
                call('ZADD', KEYS[3], expiry, path)
                timed = true
            elseif sub(before, 63, 75) > NONE then
                call('ZREM', KEYS[3], path)
                undated = true
            end
        end
        if after == '' then
            if slots > 3 then
                gone = gone or {}
                going = going + 1
                gone[going] = path
            else
                if held > 0 then held, added = part.send(entries, held, paths, added) end
                call('ZREM', KEYS[2], path)
                call('HDEL', KEYS[1], path)
            end
            removed = true
        elseif more or slots > 3 or held > 0 then
            if not entries then entries, paths = {false, false}, {} end
            entries[held + 1], entries[held + 2], held = path, after, held + 2
            if before == '' then paths[added + 1], paths[added + 2], added, created = 0, path, added + 2, true end
        else
            if before == '' then
                call('ZADD', KEYS[2], 0, path)
                created = true
            end
            call('HSET', KEYS[1], path, after)
        end
        if more then
            seen = seen or {}
            seen[path] = after
        end
    end

    if going > 0 then
        -- What the commits before have written may be what goes.
        part = part or make_parts()
        if held > 0 then held, added = part.send(entries, held, paths, added) end
        going = part.remove(gone, going)
    end
    if held > 0 and not more then
        part = part or make_parts()
        held, added = part.send(entries, held, paths, added)
    end
    if steps > 0 then
        local record = (alive and last or '0') .. ' ' .. revision .. ' ' .. at .. ' ' .. identity .. ' ' .. label .. ' '
            .. deadline .. ' ' .. written .. ' ' .. earliest
        if steps == 1 then
            record = record .. word .. '\n' .. agent .. body[1] .. body[2] .. body[3]
        else
            record = record .. concat(words, '', 1, steps - 1) .. word .. '\n' .. agent .. concat(body, '', 1, 3 * steps)
        end
        if kind == 'D' then
            told = part.tell(telling, told, last)
            call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
            call('HDEL', KEYS[5], 'created', 'finished', 'outcome')
            call('HSET', KEYS[5], 'state', revision, 'dropped', revision)
            call(ARGV[2], ARGV[1], record)
            may_create, unproven = false, false
            alive, finished, anew, held, added, seen, policies = false, false, true, 0, 0, false, NO_POLICIES
            renewed_after, terms, created, removed, undated, timed = '', '', false, false, false, false
        else
            if not alive then
                -- In this order: a full server refuses to add, but no longer once something was removed.
                call('HSET', KEYS[5], 'created', at)
                call('HDEL', KEYS[5], 'finished', 'outcome')
                alive, born = true, true
            end
            written, bytes, records = '- -', bytes + #record, records + 1
            if more or told > 0 then
                telling = telling or {}
                telling[told + 1], telling[told + 2], told = 'r', record, told + 2
            else
                call('XADD', KEYS[4], revision, 'r', record)
                call(ARGV[2], ARGV[1], record)
            end
            if told > 2000 then
                held, added = part.send(entries, held, paths, added)
                told, written = part.tell(telling, told, revision), format('%015d %012d', bytes, records)
            end
        end
        if kind == 'f' then
            finished = true
            call('HSET', KEYS[5], 'finished', at, 'outcome', body[1])
        end
        last, newest = revision, number_now
    end

    if not due then
        answer = answer or '+' .. (steps > 0 and revision or '0') .. ' ' .. at .. (to - from == 3 and result and ' ' .. result or '')
        if answered == 0 then
            reply = answer
        else
            answers = answers or {reply}
            answers[answered + 1] = answer
        end
        answered, place, swept = answered + 1, to + 1, 0
    end
end

if answers then reply = concat(answers, '\n') end
reply = reply .. outcome
if held > 0 or told > 0 then
    part = part or make_parts()
    part.send(entries, held, paths, added)
    part.tell(telling, told, last)
end
if touched then
    if records > sub(terms, 18, 29) + 0 or bytes > sub(terms, 2, 16) + 0 then
        part = part or make_parts()
        terms = sub(terms, 1, 1) .. part.trim(sub(terms, 65), bytes, records, last, sub(terms, 2, 29)) .. sub(terms, 30)
    end
    if born and bytes < 2000 then part.fit_journal() end
    if fresh then
        part.expire_keys(deadline, 1, 5)
    end
    if created or timed or removed or undated then
        local flag = sub(terms, 1, 1)
        local expiring, dates_expiring = flag == 'e' or flag == 'b', flag == 'd' or flag == 'b'
        if deadline ~= NONE and not fresh then
            if created and (removed or not expiring) then part.expire_keys(deadline, 1, 2) end
            if timed and (undated or not dates_expiring) then part.expire_keys(deadline, 3, 3) end
        end
        expiring, dates_expiring = created or expiring, not undated and (timed or dates_expiring)
        if removed and expiring then expiring = (not may or may('HLEN', KEYS[1])) and call('HLEN', KEYS[1]) > 0 end
        terms = (expiring and (dates_expiring and 'b' or 'e') or dates_expiring and 'd' or ' ') .. sub(terms, 2)
    end
    state = last .. format(' %015d %012d ', bytes, records) .. at .. ' ' .. deadline .. ' ' .. renewed_after .. terms
    if ARGV[4] == '' then
        call('HSET', KEYS[5], 'state', state)
    else
        call('HSET', KEYS[5], 'state', state, ARGV[4], number .. ' ' .. at .. ' ' .. reply)
    end
elseif ARGV[4] ~= '' and (alive or (part or make_parts()).may_vanish()) then
    call('HSET', KEYS[5], ARGV[4], number .. ' ' .. at .. ' ' .. reply)
    if not alive then call('PEXPIRE', KEYS[5], 600000) end
end
if sub(at, -2) == '00' then (part or make_parts()).prune(at) end
return reply
