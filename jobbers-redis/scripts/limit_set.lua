-- Sets bounds, or closes a key until a time; and looks at lines of a limit whose bounds changed, some at a time.
-- ARGV  2 "d" define, "c" close, "r" look at lines; then d: limit, definition · c: key, until · r: limit, last name seen or ""
-- Returns d: 1 if it changed · c: 1 · r: the last name that was looked at, or ""
-- Cost  100 lines a call
local LINES_MAX = 100
local what, name, value = ARGV[2], ARGV[3], ARGV[4]
run_out()

local function older(stored, version)
    local high, low = unpk('>I4I4', stored)
    local new_high, new_low = unpk('>I4I4', version)
    return high < new_high or high == new_high and low < new_low
end

local answer = 1
if what == 'd' then
    local stored = definition(name)
    if stored and not older(stored.version, value:sub(1, 8)) then
        answer = 0
    else
        call('HSET', DEFINITIONS, name, value)
    end
elseif what == 'c' then
    local till = tonumber(value)
    line_of(name).closed = till > now and till or NONE
    refresh(name)
else
    local from = value == '' and '[' .. name .. ' ' or '(' .. value
    local keys = call('ZRANGEBYLEX', NAMES, from, '(' .. name .. '!', 'LIMIT', 0, LINES_MAX)
    local bound = definition(name)
    for _, key in ipairs(keys) do
        if bound and bound.rate then
            local line = line_of(key)
            local most_ms, most_fr = plus(now, 0, span(bound.rate, bound.rate.burst))
            if later(line.ms, line.fr, most_ms, most_fr) then line.ms, line.fr = most_ms, most_fr end
        end
        refresh(key)
    end
    answer = #keys == LINES_MAX and keys[#keys] or ''
end
flush()
return answer
