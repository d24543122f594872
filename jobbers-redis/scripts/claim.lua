-- Claims Ready jobs that nobody has touched since their submit, each at a revision of its own: what a worker does without the fast path.
-- KEYS  as in common.lua
-- ARGV  1 "1" if the store dispatches, else "0"; 2 number of queues; their names; number of groups; each group: queue, "1" if progress is
--       cleared, number of jobs; of each: id, nonce, record, what overlays it, its timer (none: no timer)
-- Returns of each job: 1 claimed · 0 something is unlike the rest: the general script has to look at it
-- Cost  3 fields read, 3 written, of each job; 2 more if it had a timer; 10 calls a group, and 2 for each bucket that it has records in
local call, unpack = redis.call, unpack
local LIVE, JOINS, PROGRESS, TIMERS, HIDDEN, COUNTS = KEYS[1], KEYS[2], KEYS[4], KEYS[7], KEYS[8], KEYS[11]
local READY_LOW, READY_HIGH = 2 * 281474976710656, 3 * 281474976710656 - 1
local at = 3 + tonumber(ARGV[2])
local function arg()
    at = at + 1
    return ARGV[at - 1]
end

local any_live, any_joins = call('EXISTS', LIVE) == 1, call('EXISTS', JOINS) == 1

-- Whether a record is Ready as it was submitted (version 1, no flags but a timer's), in this queue, at this revision.
local function is_fresh(record, name, nonce)
    if not record or #record < 22 then return false end
    local version, state, flags = record:byte(1, 3)
    if version ~= 1 or state ~= 2 or flags ~= 0 and flags ~= 8 or record:sub(4, 11) ~= nonce then return false end
    local from = flags == 8 and 25 or 19
    return record:byte(from) == #name and record:sub(from + 1, from + #name) == name
end

local answers = {}
for _ = 1, tonumber(arg()) do
    local queue, clears, jobs = tonumber(arg()), arg() == '1', tonumber(arg())
    local name, first, ids = ARGV[3 + queue], at, {}
    for n = 1, jobs do ids[n] = ARGV[first + 5 * n - 5] end
    local found = records_of(ids)
    local overlays = any_live and call('HMGET', LIVE, unpack(ids))
    local joins = any_joins and call('HMGET', JOINS, unpack(ids))
    local claimed, records, lives, timers, had, hidden = {}, {}, {}, {}, {}, {}
    for n = 1, jobs do
        local id, at_job, record = ids[n], first + 5 * n - 5, found[n]
        local alike = not (overlays and overlays[n]) and not (joins and joins[n]) and is_fresh(record, name, ARGV[at_job + 1])
        answers[#answers + 1] = alike and 1 or 0
        if alike then
            local key, live, timer = 15 + id:byte(16) % 16, ARGV[at_job + 3], ARGV[at_job + 4]
            local values = records[key] or {}
            local last, many = #values, #claimed
            values[last + 1], values[last + 2], records[key] = id, ARGV[at_job + 2], values
            claimed[many + 1], lives[2 * many + 1], lives[2 * many + 2] = id, id, live
            local before = record:byte(3) == 8 and record:sub(18, 23) or nil
            if before ~= live:sub(1, 6) then
                if before then had[#had + 1], hidden[#hidden + 1] = id, before .. id end
                if timer ~= '' then
                    local set = #timers
                    timers[set + 1], timers[set + 2] = timer, id
                end
            end
        end
    end
    at = first + 5 * jobs
    if #claimed > 0 then
        for key, values in pairs(records) do call('HSET', KEYS[key], unpack(values)) end
        call('HSET', LIVE, unpack(lives))
        any_live = true
        if clears and call('EXISTS', PROGRESS) == 1 then call('HDEL', PROGRESS, unpack(claimed)) end
        if #had > 0 and call('ZREM', TIMERS, unpack(had)) < #had then call('ZREM', HIDDEN, unpack(hidden)) end
        if #timers > 0 then call('ZADD', TIMERS, unpack(timers)) end
        local places = KEYS[30 + 8 * queue + 6]
        if ARGV[1] ~= '1' or call('ZCOUNT', places, READY_LOW, READY_HIGH) > 0 then call('ZREM', places, unpack(claimed)) end
        if call('HINCRBY', COUNTS, '2' .. name, -#claimed) <= 0 then call('HDEL', COUNTS, '2' .. name) end
        call('HINCRBY', COUNTS, '4' .. name, #claimed)
    end
end
return answers
