-- Notes parts that are about to be written, so that those of a commit that never comes are forgotten; and forgets some that are an hour old.
-- ARGV  names of parts
-- Cost  1 write a name; 2 for each of at most 100 that are forgotten
local HOUR_SECONDS = 3600
local now = tonumber(call('TIME')[1])
for _, name in ipairs(call('ZRANGEBYSCORE', STAGED, '-inf', now - HOUR_SECONDS, 'LIMIT', 0, 100)) do
    call('ZREM', STAGED, name)
    -- A part that an older commit wrote as well may be in use: what stands there says so.
    local id = name:sub(1, #name - 9)
    local ok, job = pcall(read, id)
    local used = not ok
    if ok and job then
        for _, other in ipairs(parts_of(id, job)) do used = used or other == name end
    end
    if not used then call('HDEL', PARTS, name) end
end
for at = next_arg, #ARGV do call('ZADD', STAGED, now, ARGV[at]) end
return 1
