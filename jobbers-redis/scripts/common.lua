-- What every script over records starts with: names of keys, readers of packed values, and writes that are gathered until the end.
-- KEYS  1..14 fixed keys (see below), 15..30 the buckets of records, then 8 for each queue that the call names:
--       4 ready lists by priority, front, places, ended, token
-- ARGV  1 "1" if the store dispatches, else "0"; 2 number of queues; their names; then each script's own
-- Returns {2, queue} if a queue has to be named that is not; nothing was written then
-- Cost  a fixed number of calls, and what each script says of itself
local LIVE, JOINS, ASKED, PROGRESS, PARTS, STAGED, TIMERS, HIDDEN, BATCHES, BATCH_SIZES, COUNTS, STEPS, PULLED, PLACES = unpack(KEYS, 1, 14)
local call, unpack, pack, unpk = redis.call, unpack, struct.pack, struct.unpack
local NONE = 281474976710655 -- 2^48 - 1: no time
local STATE_UNIT = 281474976710656 -- 2^48: a place is the state, then its order
local PLACE_BIAS = 70368744177664 -- 2^46: places are negative at the front
local WAITING, SCHEDULED, READY, PARKED, RUNNING, SUCCEEDED = 0, 1, 2, 3, 4, 5
local OWN = ARGV[1] == '1'
local QUEUES = tonumber(ARGV[2])
local next_arg = 3 + QUEUES
local queue_at = {}
for i = 1, QUEUES do queue_at[ARGV[2 + i]] = 30 + 8 * (i - 1) end

-- The key of a queue: 1..4 its ready lists, 5 front, 6 places, 7 ended, 8 token.
local function queue_key(queue, n) return KEYS[queue_at[queue] + n] end

local function bucket(id) return KEYS[15 + id:byte(16) % 16] end

local function bit_of(flags, bit) return flags % (bit + bit) >= bit end

-- A packed record's head: state, flags, nonce, created, count, born, attempt, wake, priority, queue, task, position behind it.
-- nil if it is none that this version writes.
local function read_record(record)
    if not record or #record < 22 or record:byte(1) ~= 1 then return nil end
    local state, flags, nonce, created, at = unpk('>BBc8I6', record, 2)
    local count, born, attempt, wake = 1, nonce, 0, NONE
    if flags % 16 > 0 then
        if bit_of(flags, 1) then count, at = unpk('>I4', record, at) end
        if bit_of(flags, 2) then born, at = unpk('c8', record, at) end
        if bit_of(flags, 4) then attempt, at = unpk('>I4', record, at) end
        if bit_of(flags, 8) then wake, at = unpk('>I6', record, at) end
    end
    local priority, queue, task
    priority, queue, task, at = unpk('>BBc0Bc0', record, at)
    return state, flags, nonce, created, count, born, attempt, wake, priority, queue, task, at
end

-- What overlays a record: timer, flags, state, count, nonce, born, created, attempt, started, owner; the queue's name behind them.
local LIVE_FORMAT = '>I6BBI4c8c8I6I4I6c16'

-- What stands of a job in state, revision, timer and indexes, from its packed record and what overlays it.
local function standing(record, live)
    if not record then return nil end
    local state, flags, nonce, created, count, born, attempt, wake, priority, queue, task, at = read_record(record)
    if not state then error({ err = 'JOBBERSDAMAGED a record is of no version that this one reads' }) end
    local now = {
        state = state, nonce = nonce, count = count, born = born, attempt = attempt, wake = wake, created = created, priority = priority,
        queue = queue, task = task, asked = bit_of(flags, 16), limits = bit_of(flags, 32), big = bit_of(flags, 128), at = at,
        record = record, live = live, batch = false, ext = bit_of(flags, 64),
    }
    if live then
        local over_wake, over, over_state, over_count, over_nonce, _, _, over_attempt = unpk('>I6BBI4c8c8I6I4', live)
        now.state, now.count, now.nonce, now.wake, now.over = over_state, over_count, over_nonce, over_wake, over
        if not bit_of(over, 16) then now.attempt, now.asked, now.batch = over_attempt, bit_of(over, 1), bit_of(over, 2) end
    end
    return now
end

local function read(id) return standing(call('HGET', bucket(id), id) or nil, call('HGET', LIVE, id) or nil) end

-- Whether a hash has anything at all: what nobody uses costs one call a script.
local known = {}
local function any(key)
    if known[key] == nil then known[key] = call('EXISTS', key) == 1 end
    return known[key]
end

-- The field of a key that may not be there at all.
local function field_of(key, field) return any(key) and call('HGET', key, field) or nil end

-- Names of the parts that lie apart, as fields of PARTS.
local function parts_of(id, job)
    local names = {}
    if not job.big then return names end
    local at = job.at
    if job.ext then at = at + 2 + unpk('>I2', job.record, at) end
    local present = job.record:byte(at)
    at = at + 1
    for part = 0, 2 do
        if bit_of(present, 2 ^ part) then
            if bit_of(present, 2 ^ (part + 4)) then
                names[#names + 1] = id .. string.char(part) .. job.record:sub(at + 4, at + 11)
                at = at + 12
            else
                at = at + 2 + unpk('>I2', job.record, at)
            end
        end
    end
    return names
end

-- Counts of (state, queue), written once at the end.
local counts = {}
local function count(state, queue, by)
    local field = state .. queue
    counts[field] = (counts[field] or 0) + by
end

local function flush_counts()
    for field, by in pairs(counts) do
        if by ~= 0 and call('HINCRBY', COUNTS, field, by) <= 0 then call('HDEL', COUNTS, field) end
    end
end

-- Jobs that leave a batch of timers, by batch: counted, and the batch forgotten with its last one.
local leaving = {}
local function flush_batches()
    for batch, many in pairs(leaving) do
        if call('HINCRBY', BATCH_SIZES, batch, -many) <= 0 then
            call('HDEL', BATCH_SIZES, batch)
            call('HDEL', BATCHES, batch)
            call('ZREM', TIMERS, batch .. 'b')
        end
    end
end

local function is_end(state) return state >= SUCCEEDED end

-- Moves a job's timer. `to` is NONE where there is none.
local function set_timer(id, job, to)
    local from = job and not is_end(job.state) and job.wake or NONE
    if job and job.batch then
        leaving[job.nonce] = (leaving[job.nonce] or 0) + 1
    elseif from == to then
        return
    elseif from ~= NONE and call('ZREM', TIMERS, id) == 0 then
        call('ZREM', HIDDEN, pack('>I6', from) .. id)
    end
    if to ~= NONE then call('ZADD', TIMERS, to, id) end
end

-- Whether jobs are Ready in this queue without a delivery: only then one that leaves the state has to be looked for there.
local lost = {}
local function has_lost(queue)
    if lost[queue] == nil then
        lost[queue] = call('ZCOUNT', queue_key(queue, 6), READY * STATE_UNIT, READY * STATE_UNIT + NONE) > 0
    end
    return lost[queue]
end

-- Deliveries, pushed at the end of the script.
local pushes, rung = {}, {}
local function push(id, queue, priority, front)
    rung[queue] = true
    if front then
        local place = call('HINCRBY', PLACES, 'f' .. queue, -1)
        call('ZADD', queue_key(queue, 5), priority * STATE_UNIT + place + PLACE_BIAS, pack('>BI6', priority, place + PLACE_BIAS) .. id)
        return
    end
    local key = queue_key(queue, priority + 1)
    local list = pushes[key]
    if not list then
        list = {}
        pushes[key] = list
    end
    list[#list + 1] = id
end

-- A token for whoever listens, where none is.
local function ring(queue)
    local key = queue_key(queue, 8)
    if call('LLEN', key) == 0 then call('RPUSH', key, 1) end
end

local function flush_pushes()
    for key, list in pairs(pushes) do
        for from = 1, #list, 1000 do call('RPUSH', key, unpack(list, from, math.min(from + 999, #list))) end
    end
    for queue in pairs(rung) do ring(queue) end
end

local function flush()
    flush_counts()
    flush_batches()
    flush_pushes()
end
