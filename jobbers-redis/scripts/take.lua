-- Pulls, and claims what it can: the fast path.
-- ARGV  now, back_at, most in all, claim's now, wake, owner, nonce, most deliveries to look at, number of claimable tasks; those tasks; most
--       of each queue, in the order of the queues
-- Returns {more, fresh, others, pulled}: of each fresh claimed job id, record; of each other number, id, record, live, joins, asked; of each
--       pulled one its receipt
-- Cost  12 calls a queue; 3 fields read and 1 written of each job, 2 calls more if it had a timer; 16 a look for its records; 12 a call
local byte, sub = string.byte, string.sub
local now, back_at, max, claim_now, wake, owner, nonce, looks, tasks = unpack(ARGV, next_arg, next_arg + 8)
max, looks, claim_now, wake, tasks = tonumber(max), tonumber(looks), tonumber(claim_now), tonumber(wake), tonumber(tasks)
local claimable = {}
for n = 1, tasks do claimable[ARGV[next_arg + 8 + n]] = true end
local most_at = next_arg + 8 + tasks

local no = bring_back(now)
if no then return no end

local pulled, seen, unnamed = {}, {}, nil
-- Claims, in their order: ids and overlays, ids alone. Then what is answered, and what has to be cleaned up.
local claims, lives, ids, all_lone, fresh_ones, others, of_queue, had_timer = 0, {}, {}, true, {}, {}, {}, {}

-- What the overlay of a job that nobody has touched starts with; its birth, submit and queue come between and behind.
local OWNED_UNPARKED_BATCH = 14
local FRESH = pack('>I6BBI4c8', wake, OWNED_UNPARKED_BATCH, RUNNING, 2, nonce)
local BEHIND = pack('>I4I6c16', 1, claim_now, owner)

local function claim(id, live, queue)
    claims = claims + 1
    seen[id] = true
    lives[2 * claims - 1], lives[2 * claims], ids[claims] = id, live, id
    all_lone = all_lone and #id == 16
    of_queue[queue] = (of_queue[queue] or 0) + 1
    if not queue_at[queue] then unnamed = queue end
end

-- Priority, queue and task of the last record that was claimed like this, where they end, the queue, and the end of an overlay: a queue's jobs
-- are much alike, and what is known need not be read again.
local known_bytes, known_to, known_queue, known_behind

-- Claims a job that nobody has touched since its submit, if it may be: the parts of its record are where they always are.
local function claim_fresh(id, record)
    if not known_bytes or sub(record, 18, known_to) ~= known_bytes then
        local ok, _, queue, task, behind = pcall(unpk, '>BBc0Bc0', record, 18)
        if not ok or not claimable[task] then return false end
        known_to, known_queue, known_behind = behind - 1, queue, BEHIND .. queue
        known_bytes = sub(record, 18, known_to)
    end
    local at = #fresh_ones
    fresh_ones[at + 1], fresh_ones[at + 2] = id, record
    claim(id, FRESH .. sub(record, 4, 17) .. known_behind, known_queue)
    return true
end

-- The ids as a batch keeps them, each behind its length.
local function batch_of_claims()
    if all_lone then return '\16' .. table.concat(ids, '\16') end
    local some = {}
    for n, id in ipairs(ids) do some[n] = string.char(#id) .. id end
    return table.concat(some)
end

local most_count = 4294967295
local function claim_other(id, job, joins)
    if not claimable[job.task] or job.limits or job.wake <= claim_now then return false end
    local flags = OWNED_UNPARKED_BATCH + (job.asked and 1 or 0) + (job.big and 32 or 0)
    local live = pack(LIVE_FORMAT, wake, flags, RUNNING, math.min(job.count + 1, most_count), nonce, job.born, job.created,
        math.min(job.attempt + 1, most_count), claim_now, owner) .. job.queue
    local at = #others
    others[at + 1], others[at + 2], others[at + 3], others[at + 4], others[at + 5] = claims, id, job.record, live, joins or ''
    others[at + 6] = job.asked and call('HGET', ASKED, id) or ''
    if job.wake ~= NONE then had_timer[#had_timer + 1] = { id, job } end
    claim(id, live, job.queue)
    return true
end

-- Sorts what was looked at: claims, jobs for the long way, and what is dropped. Returns how many of them count.
local function sort_out(queue, found, priority, places, at)
    if #found == 0 then return 0 end
    local records = records_of(found)
    local overlays = any(LIVE) and call('HMGET', LIVE, unpack(found)) or {}
    local joins = any(JOINS) and call('HMGET', JOINS, unpack(found)) or {}
    local counted = 0
    for n = 1, #found do
        local id = found[n]
        local record = not seen[id] and records[n]
        if record then
            local live, ready, claimed = overlays[n] or nil, true, false
            local version, state, flags = byte(record, 1, 3)
            if not live and not joins[n] and version == 1 and state == READY and flags == 0 and #record > 22 then
                claimed = claim_fresh(id, record)
            else
                -- One that can not be read is handed over: whoever loads it says what is wrong with it.
                local ok, job = pcall(standing, record, live)
                ready = not ok or job.state == READY
                claimed = ok and ready and claim_other(id, job, joins[n])
            end
            if ready then
                counted = counted + 1
                if not claimed then pulled[#pulled + 1] = { id, priority, places and places[n] or at + n - 1, queue, not places } end
            end
        end
    end
    return counted
end

local looked = {}
for n = 1, QUEUES do
    local queue, of_queue = ARGV[2 + n], 0
    local most = tonumber(ARGV[most_at + n])
    if most then
        looked[n] = look(queue, function() return math.min(most - of_queue, max - claims - #pulled, looks) end,
            function(ids, priority, places, at)
                of_queue = of_queue + sort_out(queue, ids, priority, places, at)
                looks = looks - #ids
            end)
    end
end
if unnamed then return { 2, unnamed } end

if claims > 0 then
    for _, one in ipairs(had_timer) do set_timer(one[1], one[2], NONE) end
    for queue, many in pairs(of_queue) do
        count(READY, queue, -many)
        count(RUNNING, queue, many)
        if not OWN or has_lost(queue) then call('ZREM', queue_key(queue, 6), unpack(ids)) end
    end
    call('HSET', LIVE, unpack(lives))
    if any(PROGRESS) then call('HDEL', PROGRESS, unpack(ids)) end
    local known_batch = call('HGET', BATCHES, nonce) or ''
    call('HSET', BATCHES, nonce, known_batch .. batch_of_claims())
    call('HINCRBY', BATCH_SIZES, nonce, claims)
    call('ZADD', TIMERS, 'LT', wake, nonce .. 'b')
end

local more, firsts = 0, {}
for n = 1, QUEUES do
    local queue = ARGV[2 + n]
    if looked[n] then
        firsts[queue] = take_out(queue, looked[n])
        if waits(queue) then
            more = 1
            ring(queue)
        end
    end
end
for _, one in ipairs(pulled) do
    if one[5] then one[3] = one[3] + firsts[one[4]][one[2]] end
end
local receipts = hide(pulled, back_at)
flush()
return { more, fresh_ones, others, receipts }
