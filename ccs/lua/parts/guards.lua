-- Checks the guards of a commit, and finds the entries that are due.

-- include rights

-- Returns the agent of a raw entry, and where its value begins.
local function agent_of(raw)
    local length, start = string.match(raw, '^(%d+) ()', ${entry.agent})
    return string.sub(raw, start, start + length - 1), start + length
end

-- Checks the guards from one index of ARGV to another. Returns an answer if one does not hold; nil, a path and its raw
-- entry if one names an entry that is due; nil if all hold.
local function obstacle(from, to, at, wrote)
    for place = from, to, 3 do
        local kind, path, expected = ARGV[place], ARGV[place + 1], ARGV[place + 2]
        local refused = wrote and (kind == 'n' or kind == 'c') and unlooked(kind)
        if refused then return refused end
        if kind == 'n' then
            path = redis.call('ZRANGEBYLEX', ${KEYS.paths}, '[' .. path, '(' .. path .. '\255', 'LIMIT', 0, 1)[1]
        end
        local raw = path and kind ~= 'c' and redis.call('HGET', ${KEYS.entries}, path)
        if kind == 'c' then
            local found = redis.call('ZLEXCOUNT', ${KEYS.paths}, '[' .. path, '(' .. path .. '\255')
            if found >= tonumber(expected) then return '!' .. (place - from) / 3 .. ' 0 0 ' end
        elseif not raw then
            if expected ~= '0' then return '!' .. (place - from) / 3 .. ' 0 0 ' end
        else
            local version, revision = string.sub(raw, ${entry.version}), string.sub(raw, ${entry.revision})
            local expiry = string.sub(raw, ${entry.expiry})
            if expiry ~= '${entry.expiry = 0}' and expiry < at then return nil, path, raw end
            if expected ~= (kind == 'v' and version or revision) then
                return table.concat({'!' .. (place - from) / 3, version, revision, agent_of(raw)}, ' ', 1, 4)
            end
        end
    end
end

-- Finds the other entries that a commit names and that are due. Returns them as a chain of {path, entry, next}, or nil. They
-- are expired one after the other, and only then is the commit looked at again: not once for each.
local function also_due(guards, from, to, at, first, seen)
    local found, chain, last = {[first] = true}, nil, nil
    local function look(path)
        local raw = not found[path] and (seen and seen[path] or redis.call('HGET', ${KEYS.entries}, path))
        local expiry = raw and string.sub(raw, ${entry.expiry}) or ''
        if expiry > '${entry.expiry = 0}' and expiry < at then
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
