-- Ends holds and waits.
-- ARGV  holders
-- Returns the holders that hold by it now
-- Cost  about 10 calls a key of a hold, and for each of its keys at most 32 waiters, about 20 calls each
local WAITERS_MAX = 32
run_out()
local handed = {}
for at = 2, #ARGV do
    local holder, keys = ARGV[at], {}
    local hold = end_hold(holder)
    for _, one in ipairs(hold and hold.keys or {}) do keys[#keys + 1] = one[1] end
    local job = holder:sub(1, 20)
    local waits = wait_of(job)
    if waits and waits.nonce == holder:sub(21) then
        end_wait(job)
        keys[#keys + 1] = waits.on
    end
    for _, key in ipairs(keys) do hand_over(key, WAITERS_MAX, math.huge, handed) end
end
flush()
return handed
