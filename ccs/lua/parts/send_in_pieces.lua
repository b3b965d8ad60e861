-- Sends what the commits of a batch have gathered: one command for many entries, paths or records.

-- Calls a command with the first `count` values, in pieces: Lua unpacks at most 8,000 values.
local function send_pieces(command, key, values, count)
    for from = 1, count, 4000 do
        redis.call(command, key, unpack(values, from, math.min(from + 3999, count)))
    end
end

-- Removes the entries at these paths. Returns how many paths wait then: none.
local function remove(gone, going)
    send_pieces('ZREM', ${KEYS.paths}, gone, going)
    send_pieces('HDEL', ${KEYS.entries}, gone, going)
    return 0
end

-- Adds the new paths, then writes the entries. Returns how many values of each wait then, none, and whether
-- paths wait that may fail.
local function send(entries, held, paths, added)
    -- Spelled out, as it may be the first write of all and so unchecked: an error tells only the line.
    for from = 1, added, 4000 do redis.call('ZADD', ${KEYS.paths}, unpack(paths, from, math.min(from + 3999, added))) end
    send_pieces('HSET', ${KEYS.entries}, entries, held)
    return 0, 0, false
end

-- Appends the records to the journal, as one item, and publishes each. Returns how many fields wait then: none.
local function tell(records, told, last)
    if told > 0 then redis.call('XADD', ${KEYS.journal}, last, unpack(records, 1, told)) end
    for field = 2, told, 2 do redis.call(ARGV[2], ARGV[1], records[field]) end
    return 0
end
