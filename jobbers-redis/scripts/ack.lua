-- Removes pulled deliveries for good. A job that is still Ready then has no delivery any more: it is listed among the places.
-- ARGV  receipts
-- Returns {2, queue} if that job's queue has to be named
-- Cost  2 fields read, 1 written, of each receipt, 4 more if its job is still Ready; 4 calls
local members, ids, at = {}, {}, 0
for n = next_arg, #ARGV do
    local member = ARGV[n]
    local id = #member > 16 and member:sub(17 + member:byte(16)) or ''
    if #id == 16 or #id == 20 then
        at = at + 1
        members[at], ids[at] = member, id
    end
end
if at == 0 then return 1 end
local pulled, some, alone = call('ZMSCORE', PULLED, unpack(members)), {}, {}
local lives = OWN and any(LIVE) and call('HMGET', LIVE, unpack(ids)) or {}
for n, id in ipairs(ids) do
    if pulled[n] then
        some[#some + 1] = members[n]
        -- Mostly it runs, or has ended, by now: then nothing else has to be looked at.
        local live = lives[n]
        if OWN and not (live and live:byte(8) ~= READY) then
            local record = call('HGET', bucket(id), id)
            if record and (live or record:byte(2) == READY) then
                local ok, job = pcall(standing, record, live or nil)
                if ok and job.state == READY then
                    if not queue_at[job.queue] then return { 2, job.queue } end
                    alone[#alone + 1] = { id, job }
                end
            end
        end
    end
end
if #some > 0 then call('ZREM', PULLED, unpack(some)) end
for _, one in ipairs(alone) do call('ZADD', queue_key(one[2].queue, 6), READY * STATE_UNIT + one[2].created, one[1]) end
return 1
