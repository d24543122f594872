-- Adds deliveries.
-- ARGV  of each delivery: head (queue, priority, place), id
-- Cost  2 writes a delivery at the front, 1 for each 1,000 at the back; 2 calls a queue
for at = next_arg, #ARGV, 2 do
    local queue, priority, place = unpk('BBB', ARGV[at])
    push(ARGV[at + 1], ARGV[3 + queue], priority, place == 1)
end
flush_pushes()
return 1
