-- Deliveries: how they are found, hidden and brought back. A pulled delivery is a member of PULLED: a number (8 bytes), priority, place,
-- queue and id; what came back, and what was pushed to the front, is a member of its queue's front: priority, place and id.

local RETURNED_MAX = 300

-- Brings back what was pulled and not acked in time. Returns {2, queue} if a queue has to be named.
local function bring_back(now)
    local members = call('ZRANGEBYSCORE', PULLED, '-inf', now, 'LIMIT', 0, RETURNED_MAX)
    local seen = {}
    for n, member in ipairs(members) do
        local priority, place, queue, at = unpk('>BI6Bc0', member, 9)
        if not queue_at[queue] then return { 2, queue } end
        seen[n] = { priority, place, queue, member:sub(at) }
    end
    for n, one in ipairs(seen) do
        local priority, place, queue, id = unpack(one)
        call('ZADD', queue_key(queue, 5), priority * STATE_UNIT + place, pack('>BI6', priority, place) .. id)
        call('ZREM', PULLED, members[n])
        known[queue_key(queue, 5)] = true
    end
    return nil
end

-- Looks at a queue's deliveries in order: `each(ids, priority, places, at)` at a time, while `room()` is left. In the front each has its
-- place; in a list the first of them stands at `at`. Nothing is taken: what was looked at is returned, for `take_out`.
local function look(queue, room, each)
    local looked = {}
    for priority = 0, 3 do
        local front, from = queue_key(queue, 5), 0
        local low, high = priority * STATE_UNIT, priority * STATE_UNIT + NONE
        while room() > 0 and any(front) do
            local most = room()
            local members = call('ZRANGEBYSCORE', front, low, high, 'LIMIT', from, most)
            local ids, places = {}, {}
            for n, member in ipairs(members) do
                looked[#looked + 1] = { front, member }
                ids[n], places[n] = member:sub(8), unpk('>I6', member, 2)
            end
            each(ids, priority, places)
            from = from + #members
            if #members < most then break end
        end
        local list, at = queue_key(queue, priority + 1), 0
        while room() > 0 do
            local most = room()
            local ids = call('LRANGE', list, at, at + most - 1)
            each(ids, priority, nil, at)
            at = at + #ids
            if #ids < most then break end
        end
        if at > 0 then looked[#looked + 1] = { list, at, priority } end
    end
    return looked
end

-- Takes what was looked at out of a queue. Returns the place of each list's first one, by priority.
local function take_out(queue, looked)
    local first = {}
    for _, one in ipairs(looked) do
        local key, what, priority = unpack(one)
        if priority then
            call('LPOP', key, what)
            first[priority] = call('HINCRBY', PLACES, priority .. queue, what) - what + PLACE_BIAS
        else
            call('ZREM', key, what)
        end
    end
    return first
end

-- Hides deliveries until they are acked or `back_at` comes; returns their receipts. Each is {id, priority, place, queue}; there are at most
-- as many as one call takes.
local function hide(some, back_at)
    local receipts, scored = {}, {}
    if #some == 0 then return receipts end
    local last = call('HINCRBY', PLACES, 'r', #some) - #some
    for n, one in ipairs(some) do
        local id, priority, place, queue = unpack(one)
        local member = pack('>I8BI6B', last + n, priority, place, #queue) .. queue .. id
        receipts[n], scored[2 * n - 1], scored[2 * n] = member, back_at, member
    end
    call('ZADD', PULLED, unpack(scored))
    return receipts
end

-- Whether a queue has deliveries that wait.
local function waits(queue)
    for n = 1, 5 do
        if call('EXISTS', queue_key(queue, n)) == 1 then return true end
    end
    return false
end
