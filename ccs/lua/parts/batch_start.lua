-- Opens a batch: reads what meta holds, and ends the script at once where the batch is not to be applied.
--
-- It stands at the top of the script, as a function would cost in every call. From here on there are
--   at       the time of the context, in µs          state    that of the context, nil where nothing is known of it
--   number   that of the batch                       given    the settings that the batch gives
--
-- A client has at most two batches on their way, with numbers of different parity. The second is applied only behind the
-- first. Meta keeps the answers to the last two: the same number is answered from there, a lower one is refused. Answers
-- are pruned after ten minutes, so a batch that is sent again says until when its answer must have been there.

local ARGV, KEYS = ARGV, KEYS
local clock, number, extras = call('TIME'), sub(ARGV[3], ${tail kept.number}), ARGV[7]
local at = clock[1]
    .. (#clock[2] == ${width clock.micros} and clock[2] or sub('${clock.micros = 0}' .. clock[2], ${tail clock.micros}))
local meta = call('HMGET', ${KEYS.meta}, 'state', ARGV[4], ARGV[5])
local state, mine, other, behind, given, latest = meta[1], meta[2], meta[3], '', '- - -', false
local mark = state and sub(state, ${state.format}) or ''
if mark ~= '${FORMAT_MARK}' and mark ~= '' then
    return redis.error_reply('${FORMAT_ERROR} ' .. string.match(state, '^%S*', ${start state.format}))
end
if state and at < state then at = sub(state, ${state.last}) end
if extras ~= '' then
    behind, latest, given = sub(extras, ${extras.behind}), sub(extras, ${extras.latest}), sub(extras, ${extras.settings})
    if behind == '${extras.behind = -}' then behind = '' end
end
if mine or other then
    local newest = mine and sub(mine, ${kept.number}) or ''
    if newest == number then return sub(mine, ${kept.answers}) end
    if other and sub(other, ${kept.number}) > newest then newest = sub(other, ${kept.number}) end
    if newest > number then return 'stale' end
    if behind ~= '' and newest ~= behind then return 'early' end
elseif behind ~= '' then
    return 'early'
end
if latest and latest ~= '${extras.latest = -}' and at > latest then return 'late' end
