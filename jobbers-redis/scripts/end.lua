-- Ends jobs that run: what most commits of a worker are, in few calls. A step of a run may release one job, which goes on waiting.
-- KEYS  as in common.lua
-- ARGV  2 number of queues; their names; number of groups; each group: queue, state, "1" if progress is cleared, run (none: lone jobs),
--       job that is released (none: no release), edges, outcome (1 succeeded, 2 failed, 3 skipped), number of jobs; of each:
--       id, guard (count, nonce, born), record, place
-- Returns of each job: 1 ended · 0 something is unlike the rest: the general script has to look at it
-- Cost  3 to 5 fields read, 3 written, of each job; 15 calls a group, and one for each bucket that it has records in
local call, unpack, unpk, byte, sub = redis.call, unpack, struct.unpack, string.byte, string.sub
local LIVE, JOINS, PROGRESS, TIMERS, HIDDEN, COUNTS, STEPS = KEYS[1], KEYS[2], KEYS[4], KEYS[7], KEYS[8], KEYS[11], KEYS[12]
local at = 3 + tonumber(ARGV[2])
local function arg()
    at = at + 1
    return ARGV[at - 1]
end

local answers, leaving, own, hidden = {}, {}, {}, {}
local any_joins, any_steps = call('EXISTS', JOINS) == 1, call('EXISTS', STEPS) == 1

-- The counters of a job that waits, when so many parents more have ended: nothing if it is none, or does not wait any longer then.
local function released(run, id, edges, outcome)
    local record, live, stored = call('HGET', KEYS[15 + run:byte(16) % 16], id), call('HGET', LIVE, id), call('HGET', JOINS, id)
    if not record or #record < 22 or record:byte(1) ~= 1 or not stored or #stored ~= 21 then return nil end
    local state = record:byte(2)
    if live then state = live:byte(8) end
    local n = { unpk('>I4I4I4I4BI4', stored) }
    if state ~= 0 or n[1] <= edges or n[1 + outcome] + edges > 4294967295 then return nil end
    n[1], n[1 + outcome] = n[1] - edges, n[1 + outcome] + edges
    local when, least = n[5], n[6]
    if when == 1 and n[2] + n[3] + n[4] >= least or when == 2 and n[2] >= least or when == 3 and n[3] >= least then return nil end
    return struct.pack('>I4I4I4I4', n[1], n[2], n[3], n[4]) .. stored:sub(17)
end

-- What stands of a run, and of what is released, when so many steps have ended: nothing if the run has to be looked at.
local function run_of(run, join, edges, outcome, many)
    local steps = any_steps and call('HGET', STEPS, run)
    if not steps or #steps < 4 then return nil end
    local left = unpk('>I4', steps) - many
    if left <= 0 then return nil end
    local counters = join ~= '' and released(run, join, many * edges, outcome)
    if join ~= '' and not counters then return nil end
    return { steps = struct.pack('>I4', left) .. steps:sub(5), counters = counters }
end

-- Those of a group's jobs that are as all expect: how many; their places in the group, their ids, places and ids for the list, records by
-- bucket, and what overlays them.
local function alike_of(name, run, first, ids)
    local lives = call('HMGET', LIVE, unpack(ids))
    local joins = any_joins and call('HMGET', JOINS, unpack(ids))
    local steps = run == '' and any_steps and call('HMGET', STEPS, unpack(ids))
    local many, found, ended, places, records, values = 0, {}, {}, {}, {}, {}
    for n = 1, #ids do
        -- Flags are not asked (1), not released (16), no part apart (32); the state is Running, in this queue; revision and birth are as said.
        local live, of_job, flags, running = lives[n], first + 4 * n, nil, nil
        if live then flags, running = byte(live, 7, 8) end
        if running == 4 and flags % 2 == 0 and flags < 16 and sub(live, 9, 28) == ARGV[of_job - 3] and sub(live, 61) == name
            and not (joins and joins[n]) and not (steps and steps[n]) then
            local id = ids[n]
            local key = 15 + byte(id, 16) % 16
            local of_bucket = records[key]
            if not of_bucket then
                of_bucket = {}
                records[key] = of_bucket
            end
            local last = #of_bucket
            of_bucket[last + 1], of_bucket[last + 2] = id, ARGV[of_job - 2]
            many = many + 1
            found[many], ended[many], values[many], places[2 * many - 1], places[2 * many] = n, id, live, ARGV[of_job - 1], id
        end
    end
    return many, found, ended, places, records, values
end

local function stop_timer(id, live)
    if byte(live, 7) % 4 >= 2 then
        local batch = sub(live, 13, 20)
        leaving[batch] = (leaving[batch] or 0) + 1
    else
        own[#own + 1], hidden[#hidden + 1] = id, sub(live, 1, 6) .. id
    end
end

for _ = 1, tonumber(arg()) do
    local queue, state, clears, run, join = tonumber(arg()), arg(), arg() == '1', arg(), arg()
    local edges, outcome, jobs = tonumber(arg()), tonumber(arg()), tonumber(arg())
    local name, first, before, ids = ARGV[3 + queue], at, #answers, {}
    for n = 1, jobs do ids[n], answers[before + n] = ARGV[first + 4 * n - 4], 0 end
    local many, found, ended, places, records, lives = alike_of(name, run, first, ids)
    local of_run = nil
    if run ~= '' and many > 0 then of_run = run_of(run, join, edges, outcome, many) end
    if many > 0 and (run == '' or of_run) then
        for k = 1, many do
            answers[before + found[k]] = 1
            stop_timer(ended[k], lives[k])
        end
        for key, values in pairs(records) do call('HSET', KEYS[key], unpack(values)) end
        call('HDEL', LIVE, unpack(ended))
        if clears and call('EXISTS', PROGRESS) == 1 then call('HDEL', PROGRESS, unpack(ended)) end
        call('ZADD', KEYS[30 + 8 * queue + (run == '' and 7 or 6)], unpack(places))
        if call('HINCRBY', COUNTS, '4' .. name, -many) <= 0 then call('HDEL', COUNTS, '4' .. name) end
        call('HINCRBY', COUNTS, state .. name, many)
        if of_run then
            call('HSET', STEPS, run, of_run.steps)
            if of_run.counters then call('HSET', JOINS, join, of_run.counters) end
        end
    end
    at = first + 4 * jobs
end

if #own > 0 and call('ZREM', TIMERS, unpack(own)) < #own then call('ZREM', HIDDEN, unpack(hidden)) end
for batch, many in pairs(leaving) do
    if call('HINCRBY', KEYS[10], batch, -many) <= 0 then
        call('HDEL', KEYS[10], batch)
        call('HDEL', KEYS[9], batch)
        call('ZREM', TIMERS, batch .. 'b')
    end
end
return answers
