-- Takes the jobs whose time has come, and hides them.
-- ARGV  now, hide_until, limit
-- Returns {ids, next}; next is -1 where nothing comes
-- Cost  2 writes an id returned; at most 300 timers that were hidden, and batches of 2,300 jobs, are put in order
local now, hide_until, limit = tonumber(ARGV[next_arg]), tonumber(ARGV[next_arg + 1]), tonumber(ARGV[next_arg + 2])
local BACK_MAX, WORK_MAX, BATCH_WORK = 300, 1000, 8

for _, member in ipairs(call('ZRANGEBYSCORE', HIDDEN, '-inf', now, 'LIMIT', 0, BACK_MAX)) do
    call('ZADD', TIMERS, unpk('>I6', member), member:sub(7))
    call('ZREM', HIDDEN, member)
end

-- Puts a batch's timer where its first job's is; jobs that are due get timers of their own.
local work = 0
local function look_into(batch)
    local ids, all = {}, call('HGET', BATCHES, batch) or ''
    local at, id = 1, nil
    while at <= #all do
        id, at = unpk('Bc0', all, at)
        ids[#ids + 1] = id
    end
    work = work + BATCH_WORK + #ids
    local first, kept = NONE, {}
    for from = 1, #ids, 300 do
        local some = { unpack(ids, from, math.min(from + 299, #ids)) }
        for n, live in ipairs(call('HMGET', LIVE, unpack(some))) do
            local wake, flags, state, _, nonce = unpk('>I6BBI4c8', live or ('\0'):rep(60))
            if bit_of(flags, 2) and state == RUNNING and nonce == batch then
                if wake <= now then
                    call('ZADD', TIMERS, wake, some[n])
                    call('HSET', LIVE, some[n], live:sub(1, 6) .. string.char(flags - 2) .. live:sub(8))
                else
                    first = math.min(first, wake)
                    kept[#kept + 1] = string.char(#some[n]) .. some[n]
                end
            end
        end
    end
    if #kept == 0 then
        call('HDEL', BATCHES, batch)
        call('HDEL', BATCH_SIZES, batch)
        call('ZREM', TIMERS, batch .. 'b')
    else
        call('HSET', BATCHES, batch, table.concat(kept))
        call('HSET', BATCH_SIZES, batch, #kept)
        call('ZADD', TIMERS, first, batch .. 'b')
    end
    return first
end

local due = {}
while true do
    due = {}
    local batch
    local found = call('ZRANGEBYSCORE', TIMERS, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
    for n = 1, #found, 2 do
        if #found[n] == 9 then
            batch = found[n]:sub(1, 8)
            break
        end
        due[#due + 1] = { found[n], tonumber(found[n + 1]) }
    end
    if not batch or work >= WORK_MAX then break end
    look_into(batch)
end
for _, one in ipairs(due) do call('ZREM', TIMERS, one[1]) end

local next_at
while true do
    local first = call('ZRANGE', TIMERS, 0, 0, 'WITHSCORES')
    next_at = tonumber(first[2])
    -- A batch's timer may be earlier than its jobs': they have ended, or their leases were renewed.
    if not next_at or #first[1] ~= 9 or work >= 2 * WORK_MAX or look_into(first[1]:sub(1, 8)) == next_at then break end
end
local hidden = tonumber(call('ZRANGE', HIDDEN, 0, 0, 'WITHSCORES')[2])
if hidden and (not next_at or hidden < next_at) then next_at = hidden end

local ids = {}
for n, one in ipairs(due) do
    ids[n] = one[1]
    call('ZADD', HIDDEN, hide_until, pack('>I6', one[2]) .. one[1])
end
return { ids, next_at or -1 }
