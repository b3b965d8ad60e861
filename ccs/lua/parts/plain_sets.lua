-- Finds what many sets without a deadline do: their entries are read together, and what they have in common is made once.

-- Looks at the operations from one index of ARGV to another, up to the first that does something else, or that finds an
-- entry with a deadline. `rest` is how an entry goes on after the time when it was created. Notes each path, with its entry
-- before and after, in `writes` and `body`, and what the record says of it in `words`. Returns the index of the next
-- operation, how many values were noted, their size, whether an entry is new, and the last word, which is in no list yet.
local function plain_sets(from, to, revision, at, rest, writes, body, words)
    local sub, format, NONE = string.sub, string.format, '${entry.expiry = 0}'
    local new = revision .. ' ${entry.version = 1} ' .. at .. rest
    local noted, size, creates, word, path_size, before_size, after_size = 0, 500, false, '', -1, -1, -1
    local operation, paths = from, {}
    repeat
        local place, count = operation, 0
        while place <= to and count < 4000 and ARGV[place] == 's' and ARGV[place + 2] == '' do
            count, place = count + 1, place + 4
            paths[count] = ARGV[place - 3]
        end
        local found = count > 0 and redis.call('HMGET', ${KEYS.entries}, unpack(paths, 1, count))
        for i = 1, count do
            local path, before, after = paths[i], found[i], ARGV[operation + 3]
            if not before then
                before, after, creates = '', new .. after, true
            elseif sub(before, ${entry.expiry}) > NONE then
                return operation, noted, size, creates, word
            else
                local version = format('${digits entry.version}', sub(before, ${entry.version}) + 1)
                after = revision .. ' ' .. version .. ' ' .. sub(before, ${entry.created}) .. rest .. after
            end
            if noted > 0 then words[noted / 3] = word end
            if #path ~= path_size or #before ~= before_size or #after ~= after_size then
                path_size, before_size, after_size = #path, #before, #after
                word = format(' s %d %d %d', path_size, before_size, after_size)
            end
            writes[noted + 1], writes[noted + 2], writes[noted + 3] = path, before, after
            body[noted + 1], body[noted + 2], body[noted + 3] = path, before, after
            noted, size, operation = noted + 3, size + path_size + before_size + after_size + 30, operation + 4
        end
    until count < 4000
    return operation, noted, size, creates, word
end
