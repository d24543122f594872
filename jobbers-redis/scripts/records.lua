-- Packed records of many jobs.

-- Reads those of these ids; by their place among them. Each bucket is read at once.
local function records_of(ids)
    local buckets, found = {}, {}
    for n, id in ipairs(ids) do
        if #id == 16 or #id == 20 then
            local key = 15 + id:byte(16) % 16
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
        for k, record in ipairs(redis.call('HMGET', KEYS[key], unpack(some[1]))) do found[some[2][k]] = record end
    end
    return found
end
