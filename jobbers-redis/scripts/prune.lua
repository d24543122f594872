-- Forgets records of ended runs, the oldest first, step 0 of each last.
-- ARGV  state, order that is too young, most records
-- Returns how many; {2, queue} if a step's queue has to be named (what was forgotten before stays so)
-- Cost  3 reads and 9 writes a record
local queue = ARGV[3]
local state, young, most = tonumber(ARGV[next_arg]), tonumber(ARGV[next_arg + 1]), tonumber(ARGV[next_arg + 2])
local ended, pruned = queue_key(queue, 7), 0

local function forget(id, job)
    call('HDEL', bucket(id), id)
    if job.live then call('HDEL', LIVE, id) end
    if any(JOINS) then call('HDEL', JOINS, id) end
    if any(PROGRESS) then call('HDEL', PROGRESS, id) end
    if job.asked then call('HDEL', ASKED, id) end
    for _, name in ipairs(parts_of(id, job)) do call('HDEL', PARTS, name) end
    count(job.state, job.queue, -1)
    call('ZREM', queue_key(job.queue, 6), id)
    pruned = pruned + 1
end

-- Up to `room` steps of a run, the highest first, with what is left of the run's field afterwards.
local function steps_of(run, value, room)
    local ids, sets = {}, {}
    local chunks = chunks_of(value)
    while #chunks > 0 and #ids < room do
        local chunk = chunks[#chunks]
        local name = run .. pack('>I4', chunk)
        local set, empty = call('HGET', STEPS, name) or ('\0'):rep(32), true
        for n = 255, 0, -1 do
            if bit_of(set:byte(math.floor(n / 8) + 1), 2 ^ (n % 8)) then
                if #ids >= room then
                    empty = false
                    break
                end
                ids[#ids + 1] = run .. pack('>I4', chunk * 256 + n)
                set = clear_bit(set, n)
            end
        end
        sets[#sets + 1] = { name, set, empty }
        if not empty then break end
        chunks[#chunks] = nil
    end
    return ids, sets, #chunks
end

-- Forgets steps of a run. Returns whether none is left, and what to answer if nothing could be done.
local function prune_steps(run)
    local value = field_of(STEPS, run)
    if not value then return true end
    local ids, sets, chunks = steps_of(run, value, most - pruned)
    local jobs = {}
    for n, id in ipairs(ids) do
        jobs[n] = read(id)
        if jobs[n] and not queue_at[jobs[n].queue] then return false, { 2, jobs[n].queue } end
    end
    for n, id in ipairs(ids) do
        if jobs[n] then forget(id, jobs[n]) end
    end
    for _, one in ipairs(sets) do
        if one[3] then call('HDEL', STEPS, one[1]) else call('HSET', STEPS, one[1], one[2]) end
    end
    if chunks == 0 then
        call('HDEL', STEPS, run)
        return true
    end
    call('HSET', STEPS, run, value:sub(1, 4 + 4 * chunks))
    return false
end

local low, high = state * STATE_UNIT + young, state * STATE_UNIT + NONE
local no
while pruned < most and not no do
    local oldest = call('ZREVRANGEBYSCORE', ended, high, low, 'WITHSCORES', 'LIMIT', 0, 1)
    if #oldest == 0 then break end
    -- Of runs that ended at one time, the one with the lowest id.
    local run = call('ZRANGEBYSCORE', ended, oldest[2], oldest[2], 'LIMIT', 0, 1)[1]
    local ok, done
    ok, done, no = pcall(prune_steps, run)
    if not ok or not pcall(read, run) then
        -- A record that can not be read is kept, and stands in nobody's way.
        no = nil
        call('ZREM', ended, run)
    elseif done and pruned < most then
        local job = read(run)
        if job then forget(run, job) end
        call('ZREM', ended, run)
    end
end
flush()
if no and pruned == 0 then return no end
return pruned
