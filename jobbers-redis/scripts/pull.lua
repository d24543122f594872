-- Takes deliveries, and hides them until they are acked or their time comes.
-- ARGV  now, back_at, most in all; most of each queue, in the order of the queues
-- Returns {more, receipts}
-- Cost  9 calls a queue, 2 a call, 1 field written a delivery; 300 more that come back
local now, back_at, max = unpack(ARGV, next_arg, next_arg + 2)
max = tonumber(max)
local no = bring_back(now)
if no then return no end
local pulled, more = {}, 0
for n = 1, QUEUES do
    local queue, of_queue, found = ARGV[2 + n], 0, {}
    -- A queue without a number was named only for what comes back.
    local most = tonumber(ARGV[next_arg + 2 + n]) or 0
    local function room() return math.min(most - of_queue, max - #pulled - #found) end
    local looked = look(queue, room, function(ids, priority, places, at)
        for i, id in ipairs(ids) do
            -- What is no id was not pushed by us: it is taken out, and that is all.
            if #id == 16 or #id == 20 then
                found[#found + 1] = { id, priority, places and places[i] or at + i - 1, queue, not places }
            end
        end
        of_queue = of_queue + #ids
    end)
    local first = take_out(queue, looked)
    for _, one in ipairs(found) do
        if one[5] then one[3] = one[3] + first[one[2]] end
        pulled[#pulled + 1] = one
    end
    if most > 0 and waits(queue) then
        more = 1
        ring(queue)
    end
end
return { more, hide(pulled, back_at) }
