-- Waits whose turn has come.
-- ARGV  2 most
-- Returns {holders, when the next comes or -1}
-- Cost  at most 32 more than the most that is asked for, about 30 calls each
local WAITERS_MAX = 32
local limit = tonumber(ARGV[2])
run_out()
local holders, looks = {}, limit + WAITERS_MAX
while #holders < limit and looks > 0 do
    local member = call('ZRANGEBYSCORE', LOOKS, '-inf', now, 'LIMIT', 0, 1)[1]
    if not member then break end
    local key = member:sub(9)
    local looked = hand_over(key, math.min(looks, WAITERS_MAX), limit, holders)
    looks = looks - math.max(looked, 1)
    refresh(key)
    look_later(key)
end
local next_at = tonumber(call('ZRANGE', LOOKS, 0, 0, 'WITHSCORES')[2])
if call('EXISTS', WAITS) == 1 or call('EXISTS', HANDED) == 1 then
    local first = tonumber(call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')[2])
    if first and (not next_at or first < next_at) then next_at = first end
end
flush()
return { holders, next_at and math.max(next_at, now) or -1 }
