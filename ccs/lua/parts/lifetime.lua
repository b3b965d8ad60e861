-- Begins and ends the life of a context, and sets how long it lives and how long its meta keeps the answers to batches.

-- include rights
-- include journal_limits

-- Returns the settings of a context after some were given, and when its journal is trimmed next. A new context has no
-- `limits` yet.
local function configure(settings, given, limits)
    local ttl, commits, bytes = string.match(settings, '^(%d+) (%d+) (%d+)')
    local new_ttl, new_commits, new_bytes = string.match(given, '^(%S+) (%S+) (%S+)$')
    local bytes_before, records_before = 0, 0
    if limits then
        bytes_before = string.sub(limits, ${counts.bytes}) - bytes
        records_before = string.sub(limits, ${counts.records}) - commits - slack_of(commits)
    end
    if new_ttl ~= '-' then ttl = new_ttl end
    if new_commits ~= '-' then commits = new_commits end
    if new_bytes ~= '-' then bytes = new_bytes end
    local outlasted = string.match(settings, '^%d+ %d+ %d+( %d+)|') or ''
    settings = ttl .. ' ' .. commits .. ' ' .. bytes .. outlasted .. '|' .. given
    return settings, limits_after(bytes_before, records_before, commits, bytes)
end

-- Returns the terms of a new context, whose first commit has this revision.
local function first_terms(defaults, given, revision)
    local settings, limits = configure(defaults, given)
    return ' ' .. limits .. ' ${terms.policies = 0} ' .. revision .. ' ' .. settings
end

-- Returns the terms of a context after settings were given.
local function given_terms(terms, given)
    local settings, limits = configure(string.sub(terms, ${terms.settings}), given, string.sub(terms, ${terms.limits}))
    return string.sub(terms, ${terms.expiring}) .. limits .. string.sub(terms, ${between terms.limits terms.settings})
        .. settings
end

-- Returns the idle deadline from now on, the time until which it need not be moved, and true.
local function idle(terms, at)
    local settings, now = string.sub(terms, ${terms.settings}), string.sub(at, ${time.millis})
    local ttl = tonumber(string.match(settings, '^%d+'))
    if ttl == 0 then return '${state.deadline = 0}', '${NEVER}', true end
    local slack = math.floor(ttl / 64)
    local deadline, renewed_after = now + ttl + slack, now + slack
    -- One second for what is not noted, and one more so that the entry expires before the context.
    local outlasted = (string.match(settings, '^%d+ %d+ %d+ (%d+)|') or 0) + 2000
    if outlasted > deadline then deadline, renewed_after = outlasted, outlasted - ttl end
    return string.format('${digits state.deadline}', deadline),
        string.format('${digits state.renewed_after}', renewed_after), true
end

-- Returns the terms of a context that is to outlast an expiry.
local function outlast(terms, expiry)
    local numbers, given = string.match(string.sub(terms, ${terms.settings}), '^(%d+ %d+ %d+)[^|]*(|.*)$')
    return string.sub(terms, ${before terms.settings}) .. numbers .. ' ' .. expiry .. given
end

-- Gives the keys from one to another the idle deadline, so that all go at one moment. Meta stays for ten minutes more, with
-- nothing in it that can be read.
local function expire_keys(deadline, from, to)
    for i = from, to do
        if deadline ~= '${state.deadline = 0}' then
            redis.call('PEXPIREAT', KEYS[i], i < ${key.meta} and deadline or string.format('%d', deadline + 600000))
        else
            redis.call('PERSIST', KEYS[i])
        end
    end
end

-- Removes a context but for its last revision and the answers to batches, and publishes the record that says so.
local function drop(revision, record)
    redis.call('UNLINK', ${KEYS.entries}, ${KEYS.paths}, ${KEYS.deadlines}, ${KEYS.journal})
    redis.call('HDEL', ${KEYS.meta}, 'created', 'finished', 'outcome')
    redis.call('HSET', ${KEYS.meta}, 'state', revision, 'dropped', revision)
    redis.call(ARGV[2], ARGV[1], record)
end

-- Removes the answers that are older than ten minutes. An ordinary batch calls this once in a hundred times.
local function prune(at)
    if lacks('HGETALL', ${key.meta}) or lacks('HDEL', ${key.meta}, '') then return end
    local now = string.sub(at, ${time.millis})
    local fields = redis.call('HGETALL', ${KEYS.meta})
    for i = 1, #fields, 2 do
        if string.find(fields[i], '^client:') and string.sub(fields[i + 1], ${kept.at.millis}) + 600000 < now + 0 then
            redis.call('HDEL', ${KEYS.meta}, fields[i])
        end
    end
end
