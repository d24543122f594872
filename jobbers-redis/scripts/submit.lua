-- Inserts lone Ready jobs that are due at once: what most submits are, in few calls. The store dispatches.
-- KEYS  as in common.lua
-- ARGV  2 number of queues; their names; number of groups; each group: queue, priority, number of jobs; of each: id, record
-- Returns 1, or of each job that is there already: its number in the call, record, live, joins, asked
-- Cost  1 write a job that is new, 6 calls a group
local call, unpack = redis.call, unpack
local at = 3 + tonumber(ARGV[2])
local function arg()
    at = at + 1
    return ARGV[at - 1]
end

local refused, number = {}, 0
local function refuse(key, id)
    local n = #refused
    refused[n + 1], refused[n + 2] = number, call('HGET', key, id)
    refused[n + 3] = call('HGET', KEYS[1], id) or ''
    refused[n + 4] = call('HGET', KEYS[2], id) or ''
    refused[n + 5] = call('HGET', KEYS[3], id) or ''
end

for _ = 1, tonumber(arg()) do
    local queue, priority, jobs = tonumber(arg()), tonumber(arg()), tonumber(arg())
    local ids, many = {}, 0
    for n = at, at + 2 * jobs - 2, 2 do
        local id = ARGV[n]
        local key = KEYS[15 + id:byte(16) % 16]
        if call('HSETNX', key, id, ARGV[n + 1]) == 1 then
            many = many + 1
            ids[many] = id
        else
            refuse(key, id)
        end
        number = number + 1
    end
    at = at + 2 * jobs
    if many > 0 then
        local base = 30 + 8 * queue
        call('RPUSH', KEYS[base + priority + 1], unpack(ids))
        call('HINCRBY', KEYS[11], '2' .. ARGV[3 + queue], many)
        if call('LLEN', KEYS[base + 8]) == 0 then call('RPUSH', KEYS[base + 8], 1) end
    end
end
return number > 0 and #refused > 0 and refused or 1
