-- Applies a batch of independent commits to one context: each wholly or not at all, answered one by one.
--
-- KEYS   1 entries  2 paths  3 deadlines  4 journal  5 meta
-- ARGV   1 channel  2 publish command  3 "<client, '-' = no identity> <batch number, in 12 digits>"
--        4 and 5 the fields of meta with the answers to a batch of this parity and of the other ('' = no identity)
--        6 settings of a new context: "<ttl ms> <keep commits> <keep bytes>"     7 extras, or ''
--        8… the commits, each: agent, label, guards (parts/guards.lua), operations
--   operations  s <path> <ttl ms, '' = none, 'keep'> <value>          i <path> <by> ''          d <path> '' ''
--               a <path> '<count> <most bytes>' <packed items>        e <topic> '' <data>       p '' '' '' (new policies)
--               k <path> <ttl ms, '' = none> ''      alone in their commit:  w '' <limit> ''  f '' <keep ms> <outcome>  D '' '' ''
--   The context outlasts a ttl with a '+' before it; a lease has none.
-- REPLY  answers joined by newlines, then, where one is F, a newline and the outcome; or 'stale': a later batch was
--        applied; or 'early': the batch that the extras name was not; or 'late': the time that they name has passed
--   +<revision> <at>[ <result>]   applied; revision 0 where nothing changed; the result only of a single operation:
--                                 s i a: <version> <created> <expiry>[ <value>]   d k: 1 or 0   w: <next deadline>
--   !<guard> <version> <revision> <agent>   that guard failed       F   the context is finished
--   P<revision>   other policies hold by now: those of that revision         T<key>   is of a wrong type
--   L<size>   the commit is too large   V<size> <limit>   the value is (a)       N   not a small integer (i) or an array (a)
--   X<command> <key, 0 = the channel, 6 = that of births>   the caller may not do that      A<command>   the server has none
--   An error with the code ${FORMAT_ERROR} refuses a context of another format.
--
-- ccs/_core/commits/field_layout.py has the fields of a state, an entry, a label: ${entry.expiry} becomes the offsets of one.
--
-- Invariants: `last` only grows and outlives the context; a record names the revision before it (0: the first); a due
-- entry expires, in a commit of its own, before anything else sees it. The time of a context never goes back: it is that of
-- the clock or, if that is later, the last revision. Nothing that can fail comes after the first write of a commit
-- (parts/rights.lua).
--
-- Each function costs in every call of the script, and each local that it captures adds to that. So an ordinary commit runs
-- straight through, and compares numbers as text: to copy text costs far less than to read or print a number. A time in ms
-- has come if its text is less than that of now in µs.

local call, may, sub, format, concat = redis.call, redis.acl_check_cmd, string.sub, string.format, table.concat
local NONE, FINISHED, NO_POLICIES = '${entry.expiry = 0}', '${FINISHED}', '${terms.policies = 0}'
local NOTHING_WRITTEN = '${counts.bytes = 0} ${counts.records = 0}'

-- include on_demand

-- include batch_start

local last = state and sub(state, ${state.last}) or '0'
local alive, finished, deadline, renewed_after, terms = call('XLEN', ${KEYS.journal}) > 0 and state, false, NONE, '', ''
local anew, written, bytes, records = true, NOTHING_WRITTEN, 0, 0
if alive then
    written, deadline = sub(state, ${state.written}), sub(state, ${state.deadline})
    renewed_after, terms = sub(state, ${state.renewed_after}), sub(state, ${state.terms})
    bytes, records = sub(written, ${counts.bytes}) + 0, sub(written, ${start counts.records}) + 0
    finished = renewed_after == FINISHED
    anew = given ~= '- - -' and sub(terms, -#given - 1) ~= '|' .. given
end

local reply, outcome, answered, swept, answers, touched, fresh, timed, newest = '', '', 0, 0, nil
local word, writes, words, body = '', {false, '', ''}, false, {false, '', ''}
-- Entries, new paths, what goes and records, to be written together; what later commits of the batch may read.
local entries, held, paths, added, seen = false, 0, false, 0, false
local gone, going, telling, told = false, 0, false, 0
-- What was written, and what the caller was found to be allowed to do.
local unproven, wrote, created, removed, undated, may_create, may_remove, may_date, may_write, born, dues = nil
may_write = not may
local policies = alive and sub(terms, ${terms.policies}) or NO_POLICIES
local place, places, part = 8, #ARGV, false
while place <= places do
    local agent, label, guards = ARGV[place], ARGV[place + 1], place + 2
    local from, to, heeded = guards, guards + 3, false
    if #label > ${end label.agent} then
        heeded = sub(label, ${label.policies})
        if #label > ${end label.policies} then
            from = guards + 3 * sub(label, ${label.guards})
            to = from + 4 * sub(label, ${start label.operations}) - 1
        end
        label = sub(label, ${upto label.agent})
    end
    local kind, identity, revision, number_now = from < to and ARGV[from] or '', ARGV[3], at, false
    if not part and (from > guards or wrote or kind == 'w') then part = make_parts() end
    if at <= last then
        number_now = (newest or last) + 1
        revision = format('${digits entry.revision}', number_now)
    end
    local answer, result, due, due_raw, renewed, dated, lasting = nil
    if held > 0 and (from > guards or kind == 'w' or held > 1000 or kind == 'f') then
        held, added, unproven = part.send(entries, held, paths, added)
    end

    -- What may refuse the commit: the end of the context, policies that the client does not know, a guard.
    local chained = dues
    if dues then
        due, due_raw, dues = dues[1], dues[2], dues[3]
    elseif finished and kind ~= 'D' then
        answer = kind == 'w' and '+0 ' .. at .. ' 0' or 'F'
        if kind ~= 'w' then outcome = '\n' .. call('HGET', ${KEYS.meta}, 'outcome') end
    elseif heeded and heeded ~= '${label.policies = *}' and heeded ~= policies then
        answer = 'P' .. policies
    elseif from > guards then
        answer, due, due_raw = part.obstacle(guards, from - 1, at, wrote)
    end

    -- Find what the operations do: the entries before and after (false: it stays), and what the record says of them.
    local slots, steps, size, earliest, creates, removes = 0, 0, 500, NONE, false, false
    if kind == 'w' and wrote and swept == 0 and not answer then answer = part.unlooked(kind) or false end
    if answer or due then
        kind = ''
    elseif kind == 'w' then
        due = swept < ARGV[from + 2] + 0
            and call('ZRANGEBYSCORE', ${KEYS.deadlines}, '-inf', sub(at, ${time.millis}), 'LIMIT', 0, 1)[1]
        due_raw, swept = due and call('HGET', ${KEYS.entries}, due), swept + 1
        answer = '+0 ' .. at .. ' ' .. (call('ZRANGE', ${KEYS.deadlines}, 0, 0, 'WITHSCORES')[2] or '0')
    elseif kind == 'f' then
        steps, word, body[1], body[2], body[3] = 1, format(' f 0 0 %d', #ARGV[from + 3]), ARGV[from + 3], '', ''
    elseif kind == 'D' then
        if alive then steps, word, body[1], body[2], body[3] = 1, ' g 0 0 0', '', '', '' end
    else
        local first = from
        if to - from > 255 and not seen then
            local rest = ' ' .. at .. ' ' .. NONE .. sub(label, ${after label.index}) .. ' ' .. agent
            part, words = part or make_parts(), words or {}
            first, slots, size, creates, word = part.plain_sets(from, to, revision, at, rest, writes, body, words)
            steps = slots / 3
        end
        for operation = first, to, 4 do
            local path, operand, before, expiry, after = ARGV[operation + 1], ARGV[operation + 2], '', '', false
            kind = ARGV[operation]
            if kind ~= 'e' and kind ~= 'p' then
                before = seen and seen[path] or call('HGET', ${KEYS.entries}, path) or ''
                expiry = sub(before, ${entry.expiry})
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
                expiry = operand == '' and NONE or format('${digits entry.expiry}', sub(at, ${time.millis}) + operand)
                renewed, dated, result = renewed or before ~= '', true, before ~= '' and '1' or '0'
                if before ~= '' and sub(operand, ${ttl.lasting}) == '+' and not (lasting and lasting > expiry) then
                    lasting = expiry
                end
                after = before ~= '' and sub(before, ${before entry.expiry}) .. expiry .. sub(before, ${after entry.expiry})
            elseif kind == 'e' then
                after = ARGV[operation + 3]
            elseif kind ~= 'p' and not answer then
                local value, computed, version, since = ARGV[operation + 3], '', '${entry.version = 1}', at
                if kind ~= 's' then
                    part = part or make_parts()
                    value, computed = part.compute(kind, before, operand, value)
                elseif operand ~= 'keep' then
                    expiry = operand == '' and NONE or format('${digits entry.expiry}', sub(at, ${time.millis}) + operand)
                end
                if value then
                    if before ~= '' then
                        since = sub(before, ${entry.created})
                        version = format('${digits entry.version}', sub(before, ${entry.version}) + 1)
                    end
                    if expiry == '' then
                        expiry = NONE
                    elseif expiry ~= NONE then
                        dated = true
                        if earliest == NONE or expiry < earliest then earliest = expiry end
                        if sub(operand, ${ttl.lasting}) == '+' and not (lasting and lasting > expiry) then lasting = expiry end
                    end
                    after = revision .. ' ' .. version .. ' ' .. since .. ' ' .. at .. ' ' .. expiry
                        .. sub(label, ${after label.index}) .. ' ' .. agent .. value
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
                local slot = 3 * steps
                steps, size = steps + 1, size + #path + #before + #after + 30
                words = words or steps > 1 and {}
                if words then words[steps - 1] = word end
                word = format(kind == 'd' and ' d %d %d %d' or kind == 'e' and ' e %d %d %d' or ' s %d %d %d',
                    #path, #before, #after)
                body[slot + 1], body[slot + 2], body[slot + 3] = path, before, after
            end
        end
        if size > ${COMMIT_LIMIT} then answer = answer or format('L%d', size) end
    end

    -- A due entry goes first, in a commit of its own. Then the loop looks at this commit again.
    if due then
        part = part or make_parts()
        if not chained and to - guards > 3 then dues = part.also_due(guards, from, to, at, due, seen) end
        agent, answer, slots, steps, earliest, dated, lasting = part.agent_of(due_raw), false, 3, 1, NONE, true, nil
        creates, removes = false, true
        identity, label = '- ' .. number, '${label.index = 0} ' .. #agent
        writes[1], writes[2], writes[3] = due, due_raw, ''
        word, body[1], body[2], body[3] = format(' x %d %d 0', #due, #due_raw), due, due_raw, ''
    end

    -- Another commit follows, which may read what this one writes.
    local more = due or to < places
    if (not may_write or not touched or removes or dated or creates and not may_create or kind == 'f' or kind == 'D')
        and not answer and (steps > 0 or renewed)
    then
        -- May it write? The first write of an ordinary commit, alone, needs no check: it is that of its deadline, else that
        -- of a path that comes or goes, else that of the entry.
        local lives = kind == 'f' or kind == 'D' or not touched and (anew or renewed_after < at)
            or lasting and deadline ~= NONE and lasting > deadline
        local ordinary = not more and not wrote and not lives and slots > 0
            and (not dated or slots == 3) and (not removes or slots == 3 and not dated)
        if may and not may_write then
            local writes_later = more or slots > 0 and (not ordinary or creates or dated)
            answer = steps > 0 and not may(ARGV[2], ARGV[1], '') and 'X' .. ARGV[2] .. ' 0'
                or steps > 0 and not may('XADD', ${KEYS.journal}, '*', 'r', '') and 'XXADD ${key.journal}'
                or not may('HSET', ${KEYS.meta}, '', '') and 'XHSET ${key.meta}'
                or writes_later and not may('HSET', ${KEYS.entries}, '', '') and 'XHSET ${key.entries}'
            may_write = not answer and steps > 0
        end
        if ordinary and removes then
            if may and not may('HDEL', ${KEYS.entries}, '') then answer = 'XHDEL ${key.entries}' end
        elseif not answer and (not ordinary or creates or dated) then
            local flag = sub(terms, ${terms.expiring})
            local reads = more and not wrote and slots == 0
            local adds, drops = creates and not may_create, removes and not may_remove
            local moves = dated and not may_date and not ordinary
            local expires, dates = adds and flag ~= 'e' and flag ~= 'b', dated and flag ~= 'd' and flag ~= 'b'
            -- Where several entries are written, the new paths are written first of all.
            if adds and not (wrote or lives or removes or dated) then adds, unproven = false, true end
            if reads or lives or adds or drops or moves or expires or dates then
                part = part or make_parts()
                answer = part.refusal(reads, adds, drops, moves, expires, dates) or lives and part.no_life(kind) or false
            end
            if not answer then
                may_create, may_remove, may_date = may_create or creates, may_remove or removes, may_date or dated
            end
        end
        if answer then due, dues, more = false, nil, to < places else wrote = true end
    end

    -- Settings take effect with the first commit of a batch that does something, never with one that is refused.
    if not answer and not touched and kind ~= 'D' and (steps > 0 or renewed) then
        touched = true
        if anew or renewed_after < at then part = part or make_parts() end
        if not alive then
            terms = part.first_terms(ARGV[6], given, revision, state, last)
            written, bytes, records, renewed_after = NOTHING_WRITTEN, 0, 0, ''
        elseif anew then
            terms, renewed_after = part.given_terms(terms, given), ''
        end
        if renewed_after < at then deadline, renewed_after, fresh = part.idle(terms, at) end
        anew = false
    end
    -- The terms note at most once a second what the context must outlast, even if it lives longer: its ttl may change.
    if lasting and not answer and lasting - 1000 > (string.match(terms, '^%d+ %d+ %d+ (%d+)|', ${terms.settings}) or 0) + 0 then
        part = part or make_parts()
        terms = part.outlast(terms, lasting)
        if deadline ~= NONE and lasting > deadline then deadline, renewed_after, fresh = part.idle(terms, at) end
    end

    if answer then
        slots, steps = 0, 0
    elseif kind == 'f' then
        deadline = format('${digits state.deadline}', sub(at, ${time.millis}) + ARGV[from + 2])
        renewed_after, fresh = FINISHED, true
    elseif kind == 'D' then
        deadline, touched = NONE, false
    elseif kind == 'p' and steps > 0 then
        terms, policies = sub(terms, ${before terms.policies}) .. revision .. sub(terms, ${after terms.policies}), revision
    end
    for slot = 1, slots, 3 do
        local path, before, after = writes[slot], writes[slot + 1], writes[slot + 2]
        if dated then
            if unproven and held > 0 then held, added, unproven = part.send(entries, held, paths, added) end
            local expiry = sub(after, ${entry.expiry})
            if expiry > NONE then
                call('ZADD', ${KEYS.deadlines}, expiry, path)
                timed = true
            elseif sub(before, ${entry.expiry}) > NONE then
                call('ZREM', ${KEYS.deadlines}, path)
                undated = true
            end
        end
        if after == '' then
            if slots > 3 then
                gone, going = gone or {}, going + 1
                gone[going] = path
            else
                if held > 0 then held, added = part.send(entries, held, paths, added) end
                call('ZREM', ${KEYS.paths}, path)
                call('HDEL', ${KEYS.entries}, path)
            end
            removed = true
        elseif more or slots > 3 or held > 0 then
            if not entries then entries, paths = {false, false}, {} end
            entries[held + 1], entries[held + 2], held = path, after, held + 2
            if before == '' then paths[added + 1], paths[added + 2], added, created = 0, path, added + 2, true end
        else
            if before == '' then
                call('ZADD', ${KEYS.paths}, 0, path)
                created = true
            end
            call('HSET', ${KEYS.entries}, path, after)
        end
        if more then
            seen = seen or {}
            seen[path] = after
        end
    end

    if going > 0 or held > 0 and not more then
        part = part or make_parts()
        -- In this order: what goes may be what the commits before have written.
        if held > 0 then held, added = part.send(entries, held, paths, added) end
        if going > 0 then going = part.remove(gone, going) end
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
            part.drop(last, revision, record)
            state = false
            may_create, unproven, created, removed, undated, timed = false, false, false, false, false, false
            alive, finished, anew, held, added, seen = false, false, true, 0, 0, false
            policies, renewed_after, terms = NO_POLICIES, '', ''
        else
            if not alive then
                -- In this order: a full server refuses to add, unless the script has removed something before.
                call('HSET', ${KEYS.meta}, 'created', at)
                call('HDEL', ${KEYS.meta}, 'finished', 'outcome')
                alive, born = true, record
            end
            written, bytes, records = '- -', bytes + #record, records + 1
            if more or told > 0 then
                telling = telling or {}
                telling[told + 1], telling[told + 2], told = 'r', record, told + 2
            else
                call('XADD', ${KEYS.journal}, revision, 'r', record)
                call(ARGV[2], ARGV[1], record)
            end
            if told > 2000 then
                held, added = part.send(entries, held, paths, added)
                told = part.tell(telling, told, revision)
                written = format('${digits counts.bytes} ${digits counts.records}', bytes, records)
            end
        end
        if kind == 'f' then
            finished = true
            call('HSET', ${KEYS.meta}, 'finished', at, 'outcome', body[1])
        end
        last, newest = revision, number_now
    end

    if not due then
        answer = answer
            or '+' .. (steps > 0 and revision or '0') .. ' ' .. at .. (to - from == 3 and result and ' ' .. result or '')
        if answered == 0 then reply = answer else answers = answers or {reply} end
        if answers then answers[answered + 1] = answer end
        answered, place, swept = answered + 1, to + 1, 0
    end
end

-- include batch_end

return reply
