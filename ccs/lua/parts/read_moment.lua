-- The moment that a reading script sees.

-- Returns an error if a state is of a format that these scripts do not know, or nil. `state`: false where there is none.
local function unknown_format(state)
    local mark = state and string.sub(state, ${state.format}) or ''
    if mark ~= '${FORMAT_MARK}' and mark ~= '' then
        return redis.error_reply('${FORMAT_ERROR} ' .. string.match(state, '^%S*', ${start state.format}))
    end
end

-- Returns the last revision of a context, and its time in ms. The time never goes back: it is that of the clock or, if that
-- is later, the last revision, in µs.
local function moment_of(state)
    local last, clock = string.sub(state or '0', ${state.last}), redis.call('TIME')
    return last, math.floor(math.max(clock[1] * 1000 + clock[2] / 1000, last / 1000))
end
