-- How many records of runs have not ended.
-- ARGV  runs
-- Returns a number for each
-- Cost  3 reads a run
local numbers = {}
for at = next_arg, #ARGV do
    local run = ARGV[at]
    local steps = field_of(STEPS, run)
    -- A step 0 that can not be read has not ended for all that one knows.
    local ok, job = pcall(read, run)
    local unended = not ok or job and not is_end(job.state)
    numbers[#numbers + 1] = (steps and unpk('>I4', steps) or 0) + (unended and 1 or 0)
end
return numbers
