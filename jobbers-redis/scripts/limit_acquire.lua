-- Asks for permits.
-- ARGV  of each request: holder, mode (0 claim, 1 extend, 2 spend), milliseconds to hold, keys with costs
-- Returns one a request: 1 granted · {0, key, when or -1} denied · {2, limit} undefined
-- Cost  about 20 calls a key of a request
run_out()

local function undefined(keys)
    for _, one in ipairs(keys) do
        local line = known_line(one[1])
        local closed = line and line.closed ~= NONE and line.closed > now
        local known = definition(limit_of(one[1]))
        if not known and not closed then return limit_of(one[1]) end
    end
end

local function denied(key, at) return { 0, key, at or -1 } end

local function claim(holder, keys, millis)
    local job = holder:sub(1, 20)
    local nonce = call('HGET', HANDED, job)
    local handed = nonce and end_hold(job .. nonce)
    local function has(asked)
        for _, held in ipairs(handed and handed.keys or {}) do
            if held[1] == asked[1] and held[2] >= asked[2] then return true end
        end
        return false
    end
    -- Why a key denies the job, if it does: it does not fit, or somebody else waits before it.
    local function blocked(asked)
        if has(asked) then return false end
        local ok, at = fits(asked[1], asked[2], ALL)
        if not ok then return true, at end
        local first = first_waiter(asked[1])
        return first ~= nil and first ~= job, nil
    end
    local waits = wait_of(job)
    local order = {}
    -- Where it waits already comes first: so its place is kept.
    for _, one in ipairs(keys) do
        if waits and one[1] == waits.on then order[#order + 1] = one end
    end
    for _, one in ipairs(keys) do order[#order + 1] = one end
    for _, one in ipairs(order) do
        local no, at = blocked(one)
        if no then
            wait(holder, keys, one[1])
            return denied(one[1], at)
        end
    end
    end_wait(job)
    local spent = {}
    for _, one in ipairs(keys) do
        if not has(one) then spent[#spent + 1] = one end
    end
    spend_rates(spent)
    keep(holder, take_permits(keys), millis, CLAIMED)
    return 1
end

-- An attempt that is not known here (any more) goes on holding, where it fits.
local function enter(holder, keys, millis)
    for _, one in ipairs(keys) do
        local ok, at = fits(one[1], one[2], PERMITS)
        if not ok then return denied(one[1], at) end
    end
    keep(holder, take_permits(keys), millis, CLAIMED)
    return 1
end

local function spend(holder, keys, millis)
    for _, one in ipairs(keys) do
        local ok, at = fits(one[1], one[2], RATE)
        if not ok then return denied(one[1], at) end
        if first_waiter(one[1]) then return denied(one[1], nil) end
    end
    spend_rates(keys)
    if millis > 0 then keep(holder, {}, millis, SPENT) end
    return 1
end

local function one_request(holder, mode, millis, costs)
    local kind = mode == 2 and SPENT or CLAIMED
    local hold = hold_of(holder)
    if hold and hold.kind == kind then
        local till = math.min(now + millis, MAX)
        call('ZADD', ENDS, till, holder)
        call('HSET', HOLDS, holder, pack('>I6B', till, kind) .. write_costs(hold.keys))
        return 1
    end
    local keys = read_costs(costs, 1)
    local limit = undefined(keys)
    if limit then return { 2, limit } end
    if mode == 0 then return claim(holder, keys, millis) end
    if mode == 1 then return enter(holder, keys, millis) end
    return spend(holder, keys, millis)
end

local answers = {}
for at = 2, #ARGV, 4 do
    answers[#answers + 1] = one_request(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3])
end
flush()
return answers
