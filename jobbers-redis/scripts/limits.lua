-- The limiter's state, as every script over it sees it: one key's bounds, permits, rate and line of waiters, and who holds.
-- KEYS  1 definitions, 2 lines, 3 names of lines, 4 waiters, 5 waits, 6 holds, 7 ends, 8 looks, 9 idle, 10 handed
-- ARGV  1 now; then each script's own
-- Cost  at most 300 holds that ran out and 300 lines that say nothing any more are cleared in one call
-- Jobs have 20 bytes, holders 8 more of a nonce. A line's key is its limit, a blank, a value.
local DEFINITIONS, LINES, NAMES, WAITERS, WAITS, HOLDS, ENDS, LOOKS, IDLE, HANDED = unpack(KEYS)
local call, unpack, pack, unpk = redis.call, unpack, struct.pack, struct.unpack
local NONE, MAX, FRACTION = 281474976710655, 253402300799999, 4294967296
local HAND_OVER_MILLIS, CLEARED_MAX = 5000, 300
local CLAIMED, HANDED_OVER, SPENT = 0, 1, 2
local ALL, PERMITS, RATE = 0, 1, 2
local now = tonumber(ARGV[1])

local function next_number() return call('HINCRBY', DEFINITIONS, '', 1) end

-- Bounds of a limit: version, and where there are bounds, concurrency and rate.
local bounds_of = {}
local function definition(limit)
    local found = bounds_of[limit]
    if found == nil then
        local value = call('HGET', DEFINITIONS, limit)
        found = false
        if value then
            local version, bounded, has_most, most, has_rate, one_ms, one_fr, burst, slack = unpk('>c8BBI4BI8I4I4I8', value)
            found = { version = version, bounded = bounded == 1 }
            if bounded == 1 and has_most == 1 then found.most = most end
            if bounded == 1 and has_rate == 1 then found.rate = { ms = one_ms, fr = one_fr, burst = burst, slack = slack } end
        end
        bounds_of[limit] = found
    end
    return found
end

local function limit_of(key) return key:match('^([^ ]*) ') end

local NO_BOUNDS = {}
local function bounds(key) return definition(limit_of(key)) or NO_BOUNDS end

-- Lines, read once and written back at the end.
local lines = {}
local function known_line(key)
    local line = lines[key]
    if line == nil then
        local value = call('HGET', LINES, key)
        line = false
        if value then
            line = {}
            line.closed, line.ms, line.fr, line.used, line.look, line.seq, line.idle = unpk('>I6I8I4I8I6I8I6', value)
        end
        lines[key] = line
    end
    return line
end

local function line_of(key)
    local line = known_line(key)
    if not line then
        line = { closed = NONE, ms = 0, fr = 0, used = 0, look = NONE, seq = 0, idle = NONE, new = true }
        lines[key] = line
    end
    line.dirty = true
    return line
end

local function flush()
    for key, line in pairs(lines) do
        if line and line.dirty then
            local value = pack('>I6I8I4I8I6I8I6', line.closed, line.ms, line.fr, line.used, line.look, line.seq, line.idle)
            call('HSET', LINES, key, value)
            if line.new then call('ZADD', NAMES, 0, key) end
        end
    end
end

local function waiters_prefix(key) return pack('>I2', #key) .. key end

-- The first who waits on a key.
local function first_waiter(key)
    local prefix = waiters_prefix(key)
    local found = call('ZRANGEBYLEX', WAITERS, '[' .. prefix, '[' .. prefix .. ('\255'):rep(29), 'LIMIT', 0, 1)[1]
    return found and found:sub(#prefix + 9)
end

local function waiter(key, place, job) return waiters_prefix(key) .. place .. job end

-- A rate's state: a theoretical arrival time, in whole milliseconds and 2^-32 of one. `one` is what a permit takes.
local function span(rate, permits)
    local high, low = math.floor(permits / 65536), permits % 65536
    local x = rate.fr * high
    local fr = (x % 65536) * 65536 + rate.fr * low
    return rate.ms * permits + math.floor(x / 65536) + math.floor(fr / FRACTION), fr % FRACTION
end

local function plus(ms, fr, by_ms, by_fr)
    fr = fr + by_fr
    if fr >= FRACTION then return ms + by_ms + 1, fr - FRACTION end
    return ms + by_ms, fr
end

local function later(ms, fr, than_ms, than_fr) return ms > than_ms or ms == than_ms and fr > than_fr end

local function whole(ms, fr) return math.min(fr > 0 and ms + 1 or ms, MAX) end

-- The arrival time after `cost` more, or when that will conform.
local function after(line, rate, cost)
    local most_ms, most_fr = plus(now, 0, span(rate, rate.burst))
    local ms, fr = line.ms, line.fr
    -- A clock that is ahead no longer: whoever comes first is let in, and leaves a burst that is used up.
    if later(ms, fr, most_ms + rate.slack, most_fr) then return most_ms, most_fr end
    if not later(ms, fr, now, 0) then ms, fr = now, 0 end
    ms, fr = plus(ms, fr, span(rate, math.max(1, math.min(cost, rate.burst))))
    if not later(ms, fr, most_ms, most_fr) then return ms, fr end
    local over_ms, over_fr = ms - (most_ms - now), fr - most_fr
    if over_fr < 0 then over_ms, over_fr = over_ms - 1, over_fr + FRACTION end
    return nil, whole(over_ms, over_fr)
end

local function permits_of(bound, cost) return math.max(1, math.min(cost, math.max(1, bound.most or 4294967295))) end

local EMPTY = { closed = NONE, ms = 0, fr = 0, used = 0 }

-- Whether `cost` fits a key, waiters left aside: true, or false and when it may; nil: when somebody gives back.
local function fits(key, cost, ask)
    local bound, line = bounds(key), known_line(key) or EMPTY
    if line.closed ~= NONE and line.closed > now then return false, line.closed < MAX and line.closed or nil end
    if ask ~= RATE and bound.most and line.used + permits_of(bound, cost) > bound.most then return false, nil end
    if bound.rate and ask ~= PERMITS then
        local ms, at = after(line, bound.rate, cost)
        if not ms then return false, at end
    end
    return true
end

-- What is asked for, or held: a list of {key, cost, permits}.
local function read_costs(value, at)
    local costs = {}
    while at <= #value do
        local key, cost, permits
        key, at = unpk('>I2', value, at)
        key, at = value:sub(at, at + key - 1), at + key
        cost, permits, at = unpk('>I4I4', value, at)
        costs[#costs + 1] = { key, cost, permits }
    end
    return costs
end

local function write_costs(costs)
    local out = {}
    for n, one in ipairs(costs) do out[n] = pack('>I2', #one[1]) .. one[1] .. pack('>I4I4', one[2], one[3] or 0) end
    return table.concat(out)
end

local function wait_of(job)
    local value = call('HGET', WAITS, job)
    if not value then return nil end
    local nonce, place, on, at = unpk('>c8c8I2', value)
    return { nonce = nonce, place = place, on = value:sub(at, at + on - 1), keys = read_costs(value, at + on) }
end

local function cost_of(keys, key)
    for _, one in ipairs(keys) do
        if one[1] == key then return one[2] end
    end
    return 1
end

-- Finds anew when a line is to be looked at, or may be forgotten: after each change of it.
local function refresh(key)
    local line = known_line(key)
    if not line then return end
    local look, idle, job = NONE, NONE, first_waiter(key)
    if job then
        local ok, at = fits(key, cost_of(wait_of(job).keys, key), ALL)
        look = ok and 0 or at or NONE
    elseif line.used == 0 then
        idle = math.max(line.closed ~= NONE and line.closed or 0, whole(line.ms, line.fr))
        if idle >= MAX then idle = NONE end
    end
    line = line_of(key)
    if line.look ~= look then
        if line.look ~= NONE then call('ZREM', LOOKS, pack('>I8', line.seq) .. key) end
        if look ~= NONE then
            line.seq = next_number()
            call('ZADD', LOOKS, look, pack('>I8', line.seq) .. key)
        end
        line.look = look
    end
    if line.idle ~= idle then
        if line.idle ~= NONE then call('ZREM', IDLE, key) end
        if idle ~= NONE then call('ZADD', IDLE, idle, key) end
        line.idle = idle
    end
end

-- Puts a line behind those that are to be looked at as well.
local function look_later(key)
    local line = known_line(key)
    if not line or line.look == NONE then return end
    line = line_of(key)
    call('ZREM', LOOKS, pack('>I8', line.seq) .. key)
    line.seq = next_number()
    call('ZADD', LOOKS, line.look, pack('>I8', line.seq) .. key)
end

local function take_permits(keys)
    local held = {}
    for n, one in ipairs(keys) do
        local permits = permits_of(bounds(one[1]), one[2])
        local line = line_of(one[1])
        line.used = line.used + permits
        refresh(one[1])
        held[n] = { one[1], one[2], permits }
    end
    return held
end

-- Spends the rates of keys that were found to fit.
local function spend_rates(keys)
    for _, one in ipairs(keys) do
        local rate = bounds(one[1]).rate
        if rate then
            local line = line_of(one[1])
            line.ms, line.fr = after(line, rate, one[2])
            refresh(one[1])
        end
    end
end

local function hold_of(holder)
    local value = call('HGET', HOLDS, holder)
    if not value then return nil end
    local till, kind, at = unpk('>I6B', value)
    return { till = till, kind = kind, keys = read_costs(value, at) }
end

-- Ends a hold, if there is one, frees its permits, and returns it.
local function end_hold(holder)
    local hold = hold_of(holder)
    if not hold then return nil end
    call('HDEL', HOLDS, holder)
    call('ZREM', ENDS, holder)
    if hold.kind == HANDED_OVER then call('HDEL', HANDED, holder:sub(1, 20)) end
    for _, one in ipairs(hold.keys) do
        local line = line_of(one[1])
        line.used = math.max(0, line.used - one[3])
        refresh(one[1])
    end
    return hold
end

-- Enters a hold whose permits were taken; it replaces one of the same name.
local function keep(holder, keys, millis, kind)
    end_hold(holder)
    local till = math.min(now + millis, MAX)
    call('ZADD', ENDS, till, holder)
    if kind == HANDED_OVER then call('HSET', HANDED, holder:sub(1, 20), holder:sub(21)) end
    call('HSET', HOLDS, holder, pack('>I6B', till, kind) .. write_costs(keys))
end

-- Ends a job's wait, if there is one, and returns it.
local function end_wait(job)
    local wait = wait_of(job)
    if not wait then return nil end
    call('HDEL', WAITS, job)
    call('ZREM', WAITERS, waiter(wait.on, wait.place, job))
    line_of(wait.on)
    refresh(wait.on)
    return wait
end

-- Puts a job into the line of a key, at the back unless it stands there already; renames its wait.
local function wait(holder, keys, on)
    local job, nonce = holder:sub(1, 20), holder:sub(21)
    local known = wait_of(job)
    local place
    if known and known.on == on then
        place = known.place
    else
        end_wait(job)
        place = pack('>I8', next_number())
    end
    call('HSET', WAITS, job, nonce .. place .. pack('>I2', #on) .. on .. write_costs(keys))
    call('ZADD', WAITERS, 0, waiter(on, place, job))
    line_of(on)
    refresh(on)
end

-- Frees what has run out; a hand-over that nobody used waits again, at the back of its first key. Forgets lines that say nothing any more.
local function run_out()
    for _ = 1, CLEARED_MAX do
        local holder = call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 1)[1]
        if not holder then break end
        local hold = end_hold(holder)
        if not hold then
            call('ZREM', ENDS, holder)
        elseif hold.kind == HANDED_OVER and hold.keys[1] then
            wait(holder, hold.keys, hold.keys[1][1])
        end
    end
    for _, key in ipairs(call('ZRANGEBYSCORE', IDLE, '-inf', now, 'LIMIT', 0, CLEARED_MAX)) do
        call('ZREM', IDLE, key)
        call('HDEL', LINES, key)
        call('ZREM', NAMES, key)
        lines[key] = nil
    end
end

-- Gives what is free of a key to those who wait for it, the longest first; returns how many were looked at.
local function hand_over(key, looks, limit, handed)
    local looked = 0
    while looked < looks and #handed < limit do
        local job = first_waiter(key)
        if not job then break end
        local waits, lacked = wait_of(job), nil
        if not fits(key, cost_of(waits.keys, key), ALL) then break end -- Nobody passes the first: a large cost would wait for ever.
        for _, one in ipairs(waits.keys) do
            if not fits(one[1], one[2], ALL) then
                lacked = one[1]
                break
            end
        end
        local holder = job .. waits.nonce
        if lacked then
            wait(holder, waits.keys, lacked)
        else
            end_wait(job)
            spend_rates(waits.keys)
            keep(holder, take_permits(waits.keys), HAND_OVER_MILLIS, HANDED_OVER)
            handed[#handed + 1] = holder
        end
        looked = looked + 1
    end
    return looked
end
