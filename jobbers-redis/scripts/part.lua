-- Writes parts of jobs that end, on a server whose memory is used up.
-- KEYS  1 parts
-- ARGV  of each: name, bytes
-- Cost  1 write a part
for at = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return 1
