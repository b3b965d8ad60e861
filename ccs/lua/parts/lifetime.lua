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

-- Returns the terms of a new context, whose first commit has this revision. Notes the end of one before that has expired: one
-- that was dropped has left no more than a revision, and noted its end itself.
local function first_terms(defaults, given, revision, state, last)
    if state and #state > #last then redis.call('HSET', ${KEYS.meta}, 'dropped', last, 'before', last) end
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

-- Ends the first batch of a context, whose journal has so many bytes. In a Cluster, all nodes are told that it has come into
-- being, with its first record unless that is large: the channel of its commits is heard in its shard alone.
local function announce(record, bytes)
    if bytes < 2000 then fit_journal() end
    if ARGV[2] == '${SHARDED}' then redis.call('PUBLISH', ARGV[1] .. '${BIRTHS}', #record < 4000 and record or '') end
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

-- Removes a context but for its last revisions and the answers to batches, and publishes the record that says so.
local function drop(last, revision, record)
    redis.call('UNLINK', ${KEYS.entries}, ${KEYS.paths}, ${KEYS.deadlines}, ${KEYS.journal})
    redis.call('HDEL', ${KEYS.meta}, 'created', 'finished', 'outcome')
    redis.call('HSET', ${KEYS.meta}, 'state', revision, 'dropped', revision, 'before', last)
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
