-- Reads records as they stand.
-- ARGV  ids
-- Returns for each id: record, live, joins, asked, progress; false where there is none
-- Cost  at most 5 reads of all ids a bucket; never by what is stored
local found, buckets = {}, {}
local ids = { unpack(ARGV, next_arg) }
for n, id in ipairs(ids) do
    local key = bucket(id)
    local some = buckets[key]
    if not some then
        some = { at = {}, ids = {} }
        buckets[key] = some
    end
    some.at[#some.at + 1], some.ids[#some.ids + 1] = n, id
end
for key, some in pairs(buckets) do
    local values = call('HMGET', key, unpack(some.ids))
    for n, value in ipairs(values) do found[5 * some.at[n] - 4] = value end
end
for n, key in ipairs({ LIVE, JOINS, ASKED, PROGRESS }) do
    local values = any(key) and #ids > 0 and call('HMGET', key, unpack(ids)) or nil
    for at = 1, #ids do found[5 * at - 4 + n] = values and values[at] or false end
end
return found
