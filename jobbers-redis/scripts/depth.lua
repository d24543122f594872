-- Deliveries that wait in each queue.
-- Returns a number for each queue, in the order of the queues
-- Cost  5 reads a queue
local numbers = {}
for n = 1, QUEUES do
    local queue = ARGV[2 + n]
    local all = call('ZCARD', queue_key(queue, 5))
    for list = 1, 4 do all = all + call('LLEN', queue_key(queue, list)) end
    numbers[n] = all
end
return numbers
