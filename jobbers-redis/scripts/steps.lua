-- The steps of a run, beside step 0: how many have not ended, and which there are. A run without steps costs one call a script.
-- In STEPS, the field of a run is the number of its unended steps (4 bytes) and its chunks (4 bytes each, ascending); the field of a run
-- and a chunk (20 bytes) is the set of the chunk's 256 steps, one bit each.

local function chunks_of(value)
    local chunks = {}
    for at = 5, #value, 4 do chunks[#chunks + 1] = unpk('>I4', value, at) end
    return chunks
end

-- A set with these bits as well.
local function set_bits(set, bits)
    local bytes = { set:byte(1, 32) }
    for _, n in ipairs(bits) do
        local at, bit = math.floor(n / 8) + 1, 2 ^ (n % 8)
        if not bit_of(bytes[at], bit) then bytes[at] = bytes[at] + bit end
    end
    return string.char(unpack(bytes))
end

local function clear_bit(set, n)
    local at, bit = math.floor(n / 8) + 1, 2 ^ (n % 8)
    local byte = set:byte(at)
    if not bit_of(byte, bit) then return set end
    return set:sub(1, at - 1) .. string.char(byte - bit) .. set:sub(at + 1)
end

-- Reads what a commit needs of its run. If the run turns ended, or is no longer, by a commit that leaves step 0 alone, step 0's queue has
-- to be named: {2, queue}.
local function load_steps(commit, run, more)
    commit.run, commit.more, commit.added = run, more, {}
    commit.steps = field_of(STEPS, run)
    commit.unended_before = commit.steps and unpk('>I4', commit.steps) or 0
    commit.unended = commit.unended_before + more
    if not commit.top and (commit.unended == 0) ~= (commit.unended_before == 0) then
        local job = read(run)
        if job and is_end(job.state) then
            if not queue_at[job.queue] then return { 2, job.queue } end
            commit.turned = job
        end
    end
end

-- Notes a step that is new.
local function add_step(op, commit)
    if not op.lone then commit.added[#commit.added + 1] = unpk('>I4', op.id, 17) end
end

-- An ended run is found by its step 0 among the ended ones, any other step 0 among the places.
local function turn(commit)
    local job, run = commit.turned, commit.run
    local ended, places = queue_key(job.queue, 7), queue_key(job.queue, 6)
    local from, to = ended, places
    if commit.unended == 0 then from, to = places, ended end
    local order = call('ZSCORE', from, run)
    if order then
        call('ZREM', from, run)
        call('ZADD', to, order, run)
    end
end

local function save_steps(commit)
    if not commit.run then return end
    if commit.turned then turn(commit) end
    if commit.more == 0 and #commit.added == 0 then return end
    local value = pack('>I4', commit.unended) .. (commit.steps or ''):sub(5)
    local added, fresh = {}, false
    for _, step in ipairs(commit.added) do
        local chunk = math.floor(step / 256)
        local bits = added[chunk] or {}
        bits[#bits + 1], added[chunk] = step % 256, bits
    end
    local sets = {}
    for chunk, bits in pairs(added) do
        local set = commit.steps and call('HGET', STEPS, commit.run .. pack('>I4', chunk)) or nil
        if not set then
            set, fresh = ('\0'):rep(32), true
            value = value .. pack('>I4', chunk)
        end
        sets[chunk] = set_bits(set, bits)
    end
    if fresh then
        local chunks = chunks_of(value)
        table.sort(chunks)
        local sorted = { value:sub(1, 4) }
        for n, chunk in ipairs(chunks) do sorted[n + 1] = pack('>I4', chunk) end
        value = table.concat(sorted)
    end
    for chunk, set in pairs(sets) do call('HSET', STEPS, commit.run .. pack('>I4', chunk), set) end
    call('HSET', STEPS, commit.run, value)
    known[STEPS] = true
end
