-- Removes pulled deliveries for good. A job that is still Ready then has no delivery any more: it is listed among the places.
-- ARGV  receipts
-- Returns {2, queue} if that job's queue has to be named
-- Cost  at most 5 calls a receipt
local acked = {}
for at = next_arg, #ARGV do
    local member = ARGV[at]
    local id = nil
    if #member > 16 and #member > 16 + member:byte(16) then id = member:sub(17 + member:byte(16)) end
    if id and (#id == 16 or #id == 20) and call('ZSCORE', PULLED, member) then
        local ok, job = pcall(read, id)
        if ok and OWN and job and job.state == READY then
            if not queue_at[job.queue] then return { 2, job.queue } end
            acked[#acked + 1] = { member, id, job }
        else
            acked[#acked + 1] = { member }
        end
    end
end
for _, one in ipairs(acked) do
    local member, id, job = unpack(one)
    call('ZREM', PULLED, member)
    if job then call('ZADD', queue_key(job.queue, 6), READY * STATE_UNIT + job.created, id) end
end
return 1
