-- Ends a batch: tells what is still untold, keeps the journal within its limits, gives keys their deadlines, and notes the
-- state and the answers in meta. It stands at the end of the script, as a function would cost in every call.

if answers then reply = concat(answers, '\n') end
reply = reply .. outcome
if told > 0 then
    part = part or make_parts()
    part.tell(telling, told, last)
end
if touched then
    if records > sub(terms, ${terms.limits.records}) + 0 or bytes > sub(terms, ${terms.limits.bytes}) + 0 then
        part = part or make_parts()
        terms = part.trim(terms, bytes, records, last)
    end
    if born then part.announce(born, bytes) end
    if fresh then part.expire_keys(deadline, ${key.entries}, ${key.meta}) end
    if created or timed or removed or undated then
        local flag = sub(terms, ${terms.expiring})
        local expiring, dates_expiring = flag == 'e' or flag == 'b', flag == 'd' or flag == 'b'
        if deadline ~= NONE and not fresh then
            if created and (removed or not expiring) then part.expire_keys(deadline, ${key.entries}, ${key.paths}) end
            if timed and (undated or not dates_expiring) then part.expire_keys(deadline, ${key.deadlines}, ${key.deadlines}) end
        end
        expiring, dates_expiring = created or expiring, not undated and (timed or dates_expiring)
        if removed and expiring then
            local counts = not may or select(2, pcall(may, 'HLEN', ${KEYS.entries})) == true
            expiring = counts and call('HLEN', ${KEYS.entries}) > 0
        end
        flag = expiring and (dates_expiring and 'b' or 'e') or dates_expiring and 'd' or ' '
        terms = flag .. sub(terms, ${after terms.expiring})
    end
    state = last .. format('${FORMAT_MARK}${digits counts.bytes} ${digits counts.records} ', bytes, records)
        .. at .. ' ' .. deadline .. ' ' .. renewed_after .. terms
    if ARGV[4] == '' then
        call('HSET', ${KEYS.meta}, 'state', state)
    else
        call('HSET', ${KEYS.meta}, 'state', state, ARGV[4], number .. ' ' .. at .. ' ' .. reply)
    end
elseif ARGV[4] ~= '' and (alive or (part or make_parts()).may_vanish()) then
    call('HSET', ${KEYS.meta}, ARGV[4], number .. ' ' .. at .. ' ' .. reply)
    if not alive then call('PEXPIRE', ${KEYS.meta}, 600000) end
end
if sub(at, ${time.hundredths}) == '${time.hundredths = 0}' then (part or make_parts()).prune(at) end
