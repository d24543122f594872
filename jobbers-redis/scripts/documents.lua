-- Changes documents by compare-and-set.
-- KEYS  1 documents, 2 their names in order
-- ARGV  of each write: field (kind and name), expected version or "", "1" if there is a body, body with its expiry in front
-- Returns one a write: {1, version} · {0, document or ""}
-- Cost  at most 4 calls a write
local DOCUMENTS, NAMES = KEYS[1], KEYS[2]
local answers = {}
for at = 1, #ARGV, 4 do
    local field, expect, is_body, body = unpack(ARGV, at, at + 3)
    local found = redis.call('HGET', DOCUMENTS, field) or ''
    if found:sub(1, 8) ~= expect then
        answers[#answers + 1] = { 0, found }
    elseif is_body == '1' then
        -- One counter over all of them: a document that is made anew never has a version that its name had before.
        local version = struct.pack('>I8', redis.call('HINCRBY', DOCUMENTS, 'v', 1))
        redis.call('HSET', DOCUMENTS, field, version .. body)
        redis.call('ZADD', NAMES, 0, field)
        answers[#answers + 1] = { 1, version }
    else
        redis.call('HDEL', DOCUMENTS, field)
        redis.call('ZREM', NAMES, field)
        answers[#answers + 1] = { 1, expect }
    end
end
return answers
