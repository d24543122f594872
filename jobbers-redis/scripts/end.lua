-- Ends lone jobs that run: what most commits of a worker are, in few calls.
-- KEYS  as in common.lua
-- ARGV  2 number of queues; their names; number of groups; each group: queue, state, "1" if progress is cleared, number of jobs; of each:
--       id, guard (count, nonce, born), record, place
-- Returns of each job: 1 ended · 0 something is unlike the rest: the general script has to look at it
-- Cost  2 writes and 1 read a job, 2 more if its timer is its own; 8 calls a group
local call, unpack = redis.call, unpack
local LIVE, JOINS, PROGRESS, TIMERS, HIDDEN = KEYS[1], KEYS[2], KEYS[4], KEYS[7], KEYS[8]
local at = 3 + tonumber(ARGV[2])
local function arg()
    at = at + 1
    return ARGV[at - 1]
end

local answers, leaving = {}, {}
local any_joins, any_steps = call('EXISTS', JOINS) == 1, call('EXISTS', KEYS[12]) == 1

for _ = 1, tonumber(arg()) do
    local queue, state, clears, jobs = tonumber(arg()), arg(), arg() == '1', tonumber(arg())
    local name, first = ARGV[3 + queue], at
    local ids = {}
    for n = 1, jobs do ids[n] = ARGV[first + 4 * n - 4] end
    local lives = call('HMGET', LIVE, unpack(ids))
    local joins = any_joins and call('HMGET', JOINS, unpack(ids))
    local steps = any_steps and call('HMGET', KEYS[12], unpack(ids))
    local ended, places, many = {}, {}, 0
    for n = 1, jobs do
        local at_job = first + 4 * n - 4
        local live = lives[n]
        -- Flags are not asked (1), not released (16), no part apart (32); the state is Running, in this queue; revision and birth are as said.
        local flags, running
        if live then flags, running = live:byte(7, 8) end
        local alike = running == 4 and flags % 2 == 0 and flags < 16 and live:sub(9, 28) == ARGV[at_job + 1] and live:sub(61) == name
            and not (joins and joins[n]) and not (steps and steps[n])
        if alike then
            local id = ids[n]
            call('HSET', KEYS[15 + id:byte(16) % 16], id, ARGV[at_job + 2])
            many = many + 1
            ended[many], places[2 * many - 1], places[2 * many] = id, ARGV[at_job + 3], id
            if flags % 4 >= 2 then
                local batch = live:sub(13, 20)
                leaving[batch] = (leaving[batch] or 0) + 1
            elseif call('ZREM', TIMERS, id) == 0 then
                call('ZREM', HIDDEN, live:sub(1, 6) .. id)
            end
            answers[#answers + 1] = 1
        else
            answers[#answers + 1] = 0
        end
    end
    at = first + 4 * jobs
    if many > 0 then
        call('HDEL', LIVE, unpack(ended))
        if clears and call('EXISTS', PROGRESS) == 1 then call('HDEL', PROGRESS, unpack(ended)) end
        call('ZADD', KEYS[30 + 8 * queue + 7], unpack(places))
        if call('HINCRBY', KEYS[11], '4' .. name, -many) <= 0 then call('HDEL', KEYS[11], '4' .. name) end
        call('HINCRBY', KEYS[11], state .. name, many)
    end
end

for batch, many in pairs(leaving) do
    if call('HINCRBY', KEYS[10], batch, -many) <= 0 then
        call('HDEL', KEYS[10], batch)
        call('HDEL', KEYS[9], batch)
        call('ZREM', TIMERS, batch .. 'b')
    end
end
return answers
