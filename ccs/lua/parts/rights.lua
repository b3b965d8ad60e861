-- Finds out, before the first write, whether a command of a commit would fail.
--
-- Lua has no roll-back, so nothing that can fail comes after the first write of a commit. A command fails on a key of a
-- wrong type, and where the caller lacks a right to the command, the key or the channel. It does not fail for want of
-- memory, disk or replicas: the server asks for those only before the first write of a script. The script reads the types
-- of keys, and asks acl_check_cmd for rights (fakeredis has no rights, and lacks it). The first write of a commit that
-- stands alone is not checked: if it fails, nothing was written. For a command that the server does not have, acl_check_cmd
-- is an error, which is caught wherever something may have been written before.
--
-- Each command with its key, and what checks it:
--   a birth     PUBLISH, in a Cluster: no_life
--   always      HMGET 5, XLEN 4: the first of all      HGET 1: in the first commit of a batch (refusal)
--   sets        ZADD 2, HSET 1       deletes  ZREM 2, HDEL 1       dated  ZADD 3, ZREM 3, PEXPIREAT 3: rights, refusal
--   a commit    XADD 4, PUBLISH, HSET 5: rights                    life   PEXPIREAT, PERSIST, HDEL 5, UNLINK: no_life
--   guards      ZRANGEBYLEX 2, ZLEXCOUNT 2                         sweeps ZRANGEBYSCORE 3, ZRANGE 3: unlooked
--   COPY 4 3, RENAME 3 4, XRANGE 4, XTRIM 4, HGETALL 5, HDEL 5 tidy up: left to others by who may not use
--   them, and left undone where the server has none of them

-- Returns an answer that names the command, or the right to it, that is lacking, or nil. Key 6 is the channel
-- of births.
local function lacks(command, i, ...)
    if not may then return end
    local known, allowed = pcall(may, command, KEYS[i] or ARGV[1] .. '${BIRTHS}', ...)
    if not known then return 'A' .. command end
    return not allowed and 'X' .. command .. ' ' .. i or nil
end

-- Returns an answer that names the key if it holds something else than this kind, or nil.
local function other_than(kind, i)
    local refused = lacks('TYPE', i)
    if refused then return refused end
    local found = redis.call('TYPE', KEYS[i]).ok
    return found ~= kind and found ~= 'none' and 'T' .. i or nil
end

-- Returns an answer if the script cannot look below a prefix, or (kind 'w') for what is due; or nil.
local function unlooked(kind)
    if kind == 'w' then
        return lacks('ZRANGEBYSCORE', ${key.deadlines}, '-inf', '0') or lacks('ZRANGE', ${key.deadlines}, '0', '0')
            or other_than('zset', ${key.deadlines})
    end
    return lacks('ZRANGEBYLEX', ${key.paths}, '-', '+') or lacks('ZLEXCOUNT', ${key.paths}, '-', '+')
        or other_than('zset', ${key.paths})
end

-- Returns an answer if the script cannot do what a commit does beside overwriting entries, or nil. `expires` and `dates`
-- say that the keys of entries, and of deadlines, may be new and need a deadline of their own.
local function refusal(reads, creates, removes, dated, expires, dates)
    return reads and (lacks('HGET', ${key.entries}, '') or other_than('hash', ${key.entries}))
        or creates and lacks('ZADD', ${key.paths}, '0', '')
        or removes and (lacks('ZREM', ${key.paths}, '') or lacks('HDEL', ${key.entries}, ''))
        or (creates or removes) and other_than('zset', ${key.paths})
        or dated and (lacks('ZADD', ${key.deadlines}, '0', '') or lacks('ZREM', ${key.deadlines}, '')
            or other_than('zset', ${key.deadlines}))
        or (expires or removes) and (lacks('PEXPIREAT', ${key.entries}, '0') or lacks('PEXPIREAT', ${key.paths}, '0'))
        or (dates or dated) and lacks('PEXPIREAT', ${key.deadlines}, '0')
        or nil
end

-- Returns whether the script may keep an answer in a context that is gone: it must be able to let it expire.
local function may_vanish()
    return not lacks('PEXPIRE', ${key.meta}, '0')
end

-- Returns an answer if the script cannot begin, renew or end the life of a context, or nil.
local function no_life(kind)
    local refused = ARGV[2] == '${SHARDED}' and lacks('PUBLISH', 6, '') or lacks('HDEL', ${key.meta}, '')
        or lacks('HGET', ${key.meta}, '') or lacks('PEXPIRE', ${key.meta}, '0')
    for i = ${key.entries}, ${key.meta} do
        refused = refused or lacks('PEXPIREAT', i, '0') or lacks('PERSIST', i)
            or kind == 'D' and i < ${key.meta} and lacks('UNLINK', i)
    end
    return refused or nil
end
