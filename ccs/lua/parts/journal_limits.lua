-- Keeps the journal within the settings of its context.

-- include rights

-- Returns by how many commits the journal may be too long before it is trimmed.
local function slack_of(commits)
    return math.max(1, math.floor(commits / 8))
end

-- Returns what was ever written when the journal is trimmed next, if so much stood before its oldest record.
local function limits_after(bytes, records, keep_commits, keep_bytes)
    return string.format('${digits counts.bytes} ${digits counts.records}', bytes + keep_bytes,
        records + keep_commits + slack_of(keep_commits))
end

-- Trims the journal by whole items, of which the newest stays. It keeps more than it must, so that it is seldom trimmed.
-- Returns the terms, which say when it is trimmed next. The first record of an item names the bytes and the records before
-- it, so a search by halves finds the item that is to be the oldest.
local function trim(terms, bytes, records, last)
    if lacks('XRANGE', ${key.journal}, '-', '+') or lacks('XTRIM', ${key.journal}, 'MINID', '0') then return terms end
    local keep_commits, keep_bytes = string.match(terms, '^%d+ (%d+) (%d+)', ${terms.settings})
    keep_commits, keep_bytes = keep_commits + 0, keep_bytes + 0

    local function item_from(revision)
        local item = redis.call('XRANGE', ${KEYS.journal}, revision, '+', 'COUNT', 1)[1]
        local before = {string.match(item[2][2], '${words bytes records}')}
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
    -- Rather too many commits than too few, but never too many bytes.
    if young and (records - young.records >= keep_commits or bytes - old.bytes > most_bytes) then old = young end
    redis.call('XTRIM', ${KEYS.journal}, 'MINID', string.format('%d', old.id))
    return string.sub(terms, ${terms.expiring}) .. limits_after(old.bytes, old.records, keep_commits, keep_bytes)
        .. string.sub(terms, ${after terms.limits})
end

-- Makes a small journal take less memory. A server allocates the first node of a stream in full, 4 kB; a copy takes just
-- what it needs. The copy is made under the key of the deadlines. The journal stays as it is where that key exists, or where
-- the caller lacks the right, or the server the command.
local function fit_journal()
    if not may or lacks('COPY', ${key.journal}, ${KEYS.deadlines}) or lacks('RENAME', ${key.deadlines}, ${KEYS.journal}) then
        return
    end
    if redis.call('COPY', ${KEYS.journal}, ${KEYS.deadlines}) == 1 then
        redis.call('RENAME', ${KEYS.deadlines}, ${KEYS.journal})
    end
end
