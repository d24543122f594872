-- Renews leases.
-- ARGV  number of beats; each: id, guard (count, nonce, 1 if there is news), new timer, progress
-- Returns one a beat: 1 renewed · {1, asked} · {0, record, live, joins, asked} refused
-- Cost  2 calls; a beat with news 1 more, with a timer of its own 2 more, a refused one 4
local function refuse(id)
    local ok, job = pcall(read, id)
    if not ok then return { 9, type(job) == 'table' and job.err or tostring(job) } end
    if not job then return { 0 } end
    return { 0, job.record, job.live or '', field_of(JOINS, id) or '', job.asked and call('HGET', ASKED, id) or '' }
end

local numbers = {}
local function number_of(time)
    local number = numbers[time]
    if not number then
        number = unpk('>I6', time)
        numbers[time] = number
    end
    return number
end

-- The timer of a batch comes no later than any of its jobs': one that comes earlier leaves it.
local function move_timer(id, live, flags, from, to)
    if flags % 4 < 2 then
        if number_of(from) ~= NONE and call('ZREM', TIMERS, id) == 0 then call('ZREM', HIDDEN, from .. id) end
        if number_of(to) ~= NONE then call('ZADD', TIMERS, number_of(to), id) end
    elseif number_of(to) < number_of(from) then
        local batch = live:sub(13, 20)
        leaving[batch] = (leaving[batch] or 0) + 1
        call('ZADD', TIMERS, number_of(to), id)
        return flags - 2
    end
    return flags
end

local many, ids = tonumber(ARGV[next_arg]), {}
for n = 1, many do ids[n] = ARGV[next_arg + 4 * n - 3] end
local lives, answers, renewed, at = call('HMGET', LIVE, unpack(ids)), {}, {}, next_arg
for n = 1, many do
    local id, live, guard, to = ids[n], lives[n], ARGV[at + 2], ARGV[at + 3]
    local flags, state
    if live then flags, state = live:byte(7, 8) end
    if state ~= RUNNING or live:sub(9, 20) ~= guard:sub(1, 12) then
        answers[n] = refuse(id)
    else
        local from = live:sub(1, 6)
        if from ~= to then
            local now = move_timer(id, live, flags, from, to)
            local behind = now == flags and live:sub(7) or string.char(now) .. live:sub(8)
            renewed[#renewed + 1] = id
            renewed[#renewed + 1] = to .. behind
        end
        local news = guard:byte(13)
        if news == 1 then
            local progress = ARGV[at + 4]
            if progress ~= '' then call('HSET', PROGRESS, id, progress) else call('HDEL', PROGRESS, id) end
        end
        answers[n] = flags % 2 == 1 and { 1, call('HGET', ASKED, id) or '' } or 1
    end
    at = at + 4
end
if #renewed > 0 then call('HSET', LIVE, unpack(renewed)) end
flush()
return answers
