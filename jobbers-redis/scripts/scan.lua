-- One page of a bucket's records.
-- ARGV  bucket, cursor, limit
-- Returns {cursor, of each: id, record, live, joins, asked}
-- Cost  5 reads of about `limit` records
local key = KEYS[15 + tonumber(ARGV[next_arg])]
local page = call('HSCAN', key, ARGV[next_arg + 1], 'COUNT', ARGV[next_arg + 2])
local out = {}
for n = 1, #page[2], 2 do
    local id = page[2][n]
    out[#out + 1], out[#out + 2] = id, page[2][n + 1]
    out[#out + 1] = field_of(LIVE, id) or ''
    out[#out + 1] = field_of(JOINS, id) or ''
    out[#out + 1] = field_of(ASKED, id) or ''
end
return { page[1], out }
