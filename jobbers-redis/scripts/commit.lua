-- Applies commits, each whole or not at all.
-- ARGV  number of commits; each: number of operations, nonce; each operation:
--       head (kind, flags, bucket's queue, priority, state, place, wake, order), id, then
--       I, U: record, joins, asked, progress, guard, live, staged parts · A: asked, guard · R: edges and outcome, claim ·
--       F (new Ready steps of one queue and level, none with anything beside its record; the id is the first's): number of them; of each:
--       id, record
-- Returns one a commit: 1 applied · {1, ready, claimed} · {0, operation, record, live, joins, asked} refused · {2, queue} to be named ·
--       {3} a staged part is gone · {4, operation, born} born of another commit · {5} behind one of these three: they keep their order ·
--       {9, error}
-- Cost  at most 4 reads and 12 writes an operation (for all steps of an F: 1 and 3), 8 a commit, 3 a queue; never by what is stored
local next_op = next_arg
local function arg()
    next_op = next_op + 1
    return ARGV[next_op - 1]
end

local NO_JOINS = pack('>I4I4I4I4BI4', 0, 0, 0, 0, 0, 0)

local function may_fire(joins)
    local remaining, succeeded, failed, skipped, when, n = unpk('>I4I4I4I4BI4', joins)
    return remaining == 0 or when == 1 and succeeded + failed + skipped >= n or when == 2 and succeeded >= n or when == 3 and failed >= n
end

local function read_ops()
    local commit = { nonce = nil, ops = {} }
    local many, before = tonumber(arg()), 0
    commit.nonce = arg()
    for n = 1, many do
        local head, id = arg(), arg()
        local op = { id = id, n = before, run = id:sub(1, 16), lone = #id == 16 }
        before = before + 1
        local queue
        op.kind, op.flags, queue, op.priority, op.state, op.place, op.wake, op.order = unpk('>c1BBBBBI6I6', head)
        op.queue = ARGV[3 + queue]
        if op.kind == 'I' or op.kind == 'U' then
            op.record, op.joins, op.asked, op.progress, op.guard, op.live, op.staged = unpack(ARGV, next_op, next_op + 6)
            next_op = next_op + 7
        elseif op.kind == 'F' then
            local steps = tonumber(arg())
            op.values = { unpack(ARGV, next_op, next_op + 2 * steps - 1) }
            op.ids = {}
            for k = 1, steps do op.ids[k] = op.values[2 * k - 1] end
            next_op, before = next_op + 2 * steps, before + steps - 1
        elseif op.kind == 'A' then
            op.asked, op.guard = arg(), arg()
        else
            op.core, op.claim = arg(), arg()
        end
        commit.ops[n] = op
    end
    return commit
end

local function refused(op, job)
    if not job then return { 0, op.n } end
    return { 0, op.n, job.record, job.live or '', field_of(JOINS, op.id) or '', job.asked and call('HGET', ASKED, op.id) or '' }
end

-- Whether a part that was written before is still there; a sweep forgets those of commits that never came.
local function staged_is_gone(op)
    local size = #op.id + 9
    for at = 1, #op.staged, size do
        if not call('ZSCORE', STAGED, op.staged:sub(at, at + size - 1)) then return true end
    end
    return false
end

local check = {}

function check.I(op)
    local job = read(op.id)
    op.old = job
    if op.guard == '' then
        if job then return refused(op, job) end
    else
        local over_count, over_nonce = unpk('>I4c8', op.guard)
        local fits = job and job.count == over_count and job.nonce == over_nonce and is_end(job.state) and op.lone
        if not fits then return refused(op, job) end
    end
end

function check.U(op)
    local job = read(op.id)
    op.old = job
    if not job then return refused(op) end
    local expect_count, expect_nonce, lapsed = unpk('>I4c8I6', op.guard)
    local fits = job.count == expect_count and job.nonce == expect_nonce
    if fits and bit_of(op.flags, 2) and job.wake ~= NONE and job.wake > lapsed then fits = false end
    if fits and op.state ~= SUCCEEDED and not is_end(job.state) then
        fits = (job.asked and call('HGET', ASKED, op.id) or '') == op.asked
    end
    if not fits then return refused(op, job) end
    local born = op.record:sub(1, 8)
    if born ~= job.born then return { 4, op.n, job.born } end
    op.record = op.record:sub(9)
    local stored = field_of(JOINS, op.id) or NO_JOINS
    if not (is_end(job.state) and op.state == WAITING) then op.joins = stored:sub(1, 16) .. op.joins:sub(17) end
    op.joined = op.joins ~= stored
    if op.state == WAITING and may_fire(op.joins) then
        op.state = READY
        op.record = op.record:sub(1, 1) .. string.char(READY) .. op.record:sub(3)
    end
end

function check.F(op)
    for k, record in ipairs(call('HMGET', bucket(op.id), unpack(op.ids))) do
        if record then return refused({ n = op.n + k - 1, id = op.ids[k] }, read(op.ids[k])) end
    end
end

function check.A(op)
    local job = read(op.id)
    op.old = job
    local expect_count, expect_nonce = unpk('>I4c8', op.guard)
    if not (job and job.state == RUNNING and job.count == expect_count and job.nonce == expect_nonce) then return refused(op, job) end
    op.queue = job.queue
end

function check.R(op, nonce)
    local job = read(op.id)
    if not job or is_end(job.state) then
        op.missing = not job
        return
    end
    op.old, op.queue = job, job.queue
    local edges, outcome = unpk('>I4B', op.core)
    local stored = field_of(JOINS, op.id) or NO_JOINS
    local n = { unpk('>I4I4I4I4BI4', stored) }
    local most = 4294967295
    if outcome == 0 then
        n[1] = math.min(n[1] + edges, most)
    else
        n[1 + outcome] = math.min(n[1 + outcome] + edges, most)
        n[1] = math.max(n[1] - edges, 0)
    end
    op.joins = pack('>I4I4I4I4BI4', n[1], n[2], n[3], n[4], n[5], n[6])
    op.joined = op.joins ~= stored
    op.state = job.state
    if job.state ~= WAITING or not may_fire(op.joins) then return end
    if op.claim ~= '' and not job.limits then
        local claim_nonce, owner, now, wake = unpk('>c8c16I6I6', op.claim)
        op.state, op.wake = RUNNING, wake
        op.live = pack(LIVE_FORMAT, wake, 12 + (job.asked and 1 or 0) + (job.big and 32 or 0), RUNNING, math.min(job.count + 1, most),
            claim_nonce, job.born, job.created, math.min(job.attempt + 1, most), now, owner) .. job.queue
    else
        op.state, op.priority = READY, job.priority
        if job.wake ~= NONE and job.wake < op.wake then op.wake = job.wake end
        op.live = pack(LIVE_FORMAT, op.wake, 16, READY, math.min(job.count + 1, most), nonce, job.born, job.created, 0, NONE,
            ('\0'):rep(16)) .. job.queue
    end
end

-- Checks a whole commit: what it answers if it can not be applied.
local function checked(commit)
    local more, first = 0, commit.ops[1]
    for _, op in ipairs(commit.ops) do
        local no = check[op.kind](op, commit.nonce)
        if no then return no end
        if op.old or op.kind ~= 'R' then
            if not queue_at[op.queue] then return { 2, op.queue } end
            if op.old and not queue_at[op.old.queue] then return { 2, op.old.queue } end
            if op.staged and op.staged ~= '' and staged_is_gone(op) then return { 3 } end
            if op.ids then
                more = more + #op.ids
            elseif not op.lone then
                local was, is = op.old and not is_end(op.old.state), not is_end(op.state)
                more = more + ((is and 1 or 0) - (was and 1 or 0))
            else
                commit.top = op
            end
        end
    end
    if not first.lone or #commit.ops > 1 or is_end(first.state) or first.old and is_end(first.old.state) then
        return load_steps(commit, first.run, more)
    end
end

-- One record's place among those of its state: the key, and the order there.
local function place_of(op, state, queue, ended)
    if state == RUNNING or state == READY and OWN then return nil end
    return queue_key(queue, (is_end(state) and op.lone and ended) and 7 or 6)
end

local function move(op, commit)
    local old = op.old
    local to = place_of(op, op.state, op.queue, commit.unended == 0)
    if old then
        count(old.state, old.queue, -1)
        local from = place_of(op, old.state, old.queue, commit.unended_before == 0)
        if from and from ~= to then call('ZREM', from, op.id) end
        if OWN and old.state == READY and has_lost(old.queue) then call('ZREM', queue_key(old.queue, 6), op.id) end
    end
    count(op.state, op.queue, 1)
    if to then call('ZADD', to, op.state * STATE_UNIT + op.order, op.id) end
end

local function write_asked(op)
    if op.asked ~= '' then
        call('HSET', ASKED, op.id, op.asked)
    elseif op.old and op.old.asked then
        call('HDEL', ASKED, op.id)
    end
end

local function write_joins(op)
    if op.joins == NO_JOINS then
        if op.old then call('HDEL', JOINS, op.id) end
    else
        call('HSET', JOINS, op.id, op.joins)
        known[JOINS] = true
    end
end

local function write_parts(op)
    local size = #op.id + 9
    local kept = {}
    if op.old and op.old.big then
        for _, name in ipairs(parts_of(op.id, standing(op.record))) do kept[name] = true end
        for _, name in ipairs(parts_of(op.id, op.old)) do
            if not kept[name] then call('HDEL', PARTS, name) end
        end
    end
    for at = 1, #op.staged, size do call('ZREM', STAGED, op.staged:sub(at, at + size - 1)) end
end

local function write_record(op, commit)
    local old = op.old
    call('HSET', bucket(op.id), op.id, op.record)
    if op.live ~= '' then
        call('HSET', LIVE, op.id, op.live)
    elseif old and old.live then
        call('HDEL', LIVE, op.id)
    end
    if op.progress ~= '' then
        call('HSET', PROGRESS, op.id, op.progress)
        known[PROGRESS] = true
    elseif bit_of(op.flags, 1) and old and any(PROGRESS) then
        call('HDEL', PROGRESS, op.id)
    end
    if op.kind == 'U' and op.joined or op.kind == 'I' and (old or op.joins ~= NO_JOINS) then write_joins(op) end
    write_asked(op)
    if op.staged ~= '' or old and old.big then write_parts(op) end
    set_timer(op.id, old, is_end(op.state) and NONE or op.wake)
    move(op, commit)
    if not old then add_step(op, commit) end
    if op.state == READY then
        commit.ready[#commit.ready + 1] = op
        if OWN then push(op.id, op.queue, op.priority, op.place == 1) end
    end
end

local function write_steps(op, commit)
    call('HSET', bucket(op.id), unpack(op.values))
    count(READY, op.queue, #op.ids)
    for _, id in ipairs(op.ids) do
        add_step({ id = id }, commit)
        push(id, op.queue, op.priority, false)
    end
end

local function write_release(op, commit)
    local old = op.old
    if not old then
        if op.missing then commit.missing = commit.missing + 1 end
        return
    end
    if op.joined then write_joins(op) end
    if op.state == old.state then return end
    call('HSET', LIVE, op.id, op.live)
    set_timer(op.id, old, op.wake)
    op.order = old.created
    move(op, commit)
    if op.state == READY then
        commit.ready[#commit.ready + 1] = op
        if OWN then push(op.id, op.queue, op.priority, false) end
    else
        if any(PROGRESS) then call('HDEL', PROGRESS, op.id) end
        local claimed = commit.claimed
        local asked = old.asked and call('HGET', ASKED, op.id) or ''
        for _, value in ipairs({ op.n, old.record, op.live, op.joins, asked }) do claimed[#claimed + 1] = value end
    end
end

local function write(commit)
    commit.ready, commit.claimed, commit.missing = {}, {}, 0
    for _, op in ipairs(commit.ops) do
        if op.kind == 'R' then
            write_release(op, commit)
        elseif op.kind == 'F' then
            write_steps(op, commit)
        elseif op.kind == 'A' then
            local old = op.old
            call('HSET', ASKED, op.id, op.asked)
            if not old.asked then call('HSET', LIVE, op.id, old.live:sub(1, 6) .. string.char(old.over + 1) .. old.live:sub(8)) end
        else
            write_record(op, commit)
        end
    end
    save_steps(commit)
    local ready = {}
    if not OWN then
        for _, op in ipairs(commit.ready) do
            ready[#ready + 1] = op.n
            ready[#ready + 1] = op.priority
            ready[#ready + 1] = op.queue
        end
    end
    if #ready == 0 and #commit.claimed == 0 and commit.missing == 0 then return 1 end
    return { 1, ready, commit.claimed, commit.missing }
end

-- Parts that were written for a commit that is refused are forgotten, unless what stands there names them.
local function unstage(commit)
    for _, op in ipairs(commit.ops) do
        if op.staged and op.staged ~= '' then
            local job, size, used = read(op.id), #op.id + 9, {}
            if job then
                for _, name in ipairs(parts_of(op.id, job)) do used[name] = true end
            end
            for at = 1, #op.staged, size do
                local name = op.staged:sub(at, at + size - 1)
                if not used[name] then call('HDEL', PARTS, name) end
                call('ZREM', STAGED, name)
            end
        end
    end
end

local function one(commit)
    local no = checked(commit)
    if not no then return write(commit) end
    if no[1] == 0 then unstage(commit) end
    return no
end

local answers, halted = {}, false
for n = 1, tonumber(arg()) do
    if halted then
        answers[n] = { 5 }
    else
        local ok, answer = pcall(one, read_ops())
        if not ok then answer = { 9, type(answer) == 'table' and answer.err or tostring(answer) } end
        answers[n] = answer
        halted = answer ~= 1 and answer[1] >= 2 and answer[1] <= 4
    end
end
flush()
return answers
