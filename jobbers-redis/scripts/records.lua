-- Packed records of many jobs.

-- Reads those of these ids; by their place among them. Each bucket is read at once.
local function records_of(ids)
    local buckets, found, byte = {}, {}, string.byte
    for n = 1, #ids do
        local id = ids[n]
        if #id == 16 or #id == 20 then
            local key = 15 + byte(id, 16) % 16
            local some = buckets[key]
            if not some then
                some = { {}, {} }
                buckets[key] = some
            end
            local last = #some[1] + 1
            some[1][last], some[2][last] = id, n
        end
    end
    for key, some in pairs(buckets) do
        local places, records = some[2], redis.call('HMGET', KEYS[key], unpack(some[1]))
        for k = 1, #places do found[places[k]] = records[k] end
    end
    return found
end
