-- Computes on values as they are stored: in msgpack.

-- Returns the value after an increment ('i') or an append ('a') to the raw entry before, and for an increment the number
-- as text. Returns nil and the answer where the value is of another type, or would become too large.
local function compute(kind, before, operand, items)
    local byte, char, floor = string.byte, string.char, math.floor

    local function unsigned(text, from, to)
        local result = 0
        for i = from, to do result = result * 256 + byte(text, i) end
        return result
    end

    local function big_endian(number, size)
        local bytes = {}
        for i = size, 1, -1 do
            bytes[i] = char(number % 256)
            number = floor(number / 256)
        end
        return table.concat(bytes)
    end

    local function signed(text)
        local size = #text - 1
        if size == 8 then
            local high = unsigned(text, 2, 3)
            return (high > 32767 and high - 65536 or high) * 2 ^ 48 + unsigned(text, 4, 9)
        end
        local result = unsigned(text, 2, size + 1)
        return byte(text, 2) > 127 and result - 256 ^ size or result
    end

    local function unpack_integer(text)
        local tag, size = byte(text, 1), #text
        if size == 1 and tag < 128 then return tag end
        if size == 1 and tag >= 224 then return tag - 256 end
        if tag >= 204 and tag <= 207 and size == 2 ^ (tag - 204) + 1 then return unsigned(text, 2, size) end
        if tag >= 208 and tag <= 211 and size == 2 ^ (tag - 208) + 1 then return signed(text) end
        return nil
    end

    local function pack_integer(number)
        if number >= 0 and number < 128 then return char(number) end
        if number < 0 and number >= -32 then return char(number + 256) end
        for power = 0, 2 do
            local size = 2 ^ power
            if number >= 0 and number < 256 ^ size then return char(204 + power) .. big_endian(number, size) end
            if number < 0 and number >= -(256 ^ size) / 2 then
                return char(208 + power) .. big_endian(number + 256 ^ size, size)
            end
        end
        local high = floor(number / 2 ^ 48)
        return char(number < 0 and 211 or 207) .. big_endian(high % 65536, 2) .. big_endian(number % 2 ^ 48, 6)
    end

    local value
    if before ~= '' then
        local length, start = string.match(before, '^(%d+) ()', ${entry.agent})
        value = string.sub(before, start + length)
    end
    if kind == 'i' then
        local number = 0
        if value then number = unpack_integer(value) end
        local result = number and number + tonumber(operand)
        -- From 2^53 on, a double cannot hold every integer.
        if not result or math.max(result, -result, number, -number) >= 2 ^ 53 then return nil, 'N' end
        return pack_integer(result), string.format(' %.0f', result)
    end

    local tag, length, start = value and byte(value, 1) or 144, 0, 2
    if tag >= 144 and tag <= 159 then
        length = tag - 144
    elseif tag == 220 then
        length, start = unsigned(value, 2, 3), 4
    elseif tag == 221 then
        length, start = unsigned(value, 2, 5), 6
    else
        return nil, 'N'
    end
    local added, most = string.match(operand, '^(%d+) (%d+)$')
    length = length + added
    local head = length < 16 and char(144 + length) or length < 65536 and '\220' .. big_endian(length, 2)
        or '\221' .. big_endian(length, 4)
    local result = head .. (value and string.sub(value, start) or '') .. items
    if #result > tonumber(most) then return nil, 'V' .. #result .. ' ' .. most end
    return result, ''
end
