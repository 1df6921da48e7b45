-- Puts messages into a log that was started over, each above those that were put before it.
--
-- KEYS  log, head, changed
-- ARGV  log_max, log_ttl (ms), then for each message
--         seq, envelope, author, state (as in append.lua; empty if it was never changed), the seq of
--         the entry that deleted it (empty: none), newest text (likewise, empty: as added), how many
--         emoji, and these and their users in turn
--
-- The epoch in the envelope is zero: no entry of a log has that, and so it is known, head or no head,
-- that these are messages and no entries.
--
-- Answers how many of them are kept; nothing if there is no log. What was put before is not put again.
local log, head, changed = KEYS[1], KEYS[2], KEYS[3]
local log_max, log_ttl = tonumber(ARGV[1]), ARGV[2]
local h = call('HMGET', head, 'floor', 'changed_from')
if not h[1] then return false end
local floor, changed_from = tonumber(h[1]), h[2]
local last = newest(log) or 0

local function change(n)
  local number, fields = ARGV[n], { ARGV[n], ARGV[n + 3] }
  local function put(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  if ARGV[n + 4] ~= '' then put(ARGV[n + 4] .. 'x', number) end
  if ARGV[n + 5] ~= '' then put(number .. 'e', ARGV[n + 5]) end
  for k = 1, tonumber(ARGV[n + 6]) do
    put(number .. 'r' .. ARGV[n + 5 + 2 * k], ARGV[n + 6 + 2 * k])
  end
  call('HSET', changed, unpack(fields))
  if not changed_from then
    changed_from = number
    call('HSET', head, 'changed_from', number)
  end
end

local kept, n = 0, 3
while ARGV[n] do
  local seq = tonumber(ARGV[n])
  if seq > 0 and seq <= floor and seq > floor - log_max then
    if seq > last then
      call('XADD', log, ARGV[n] .. '-0', 'e', ARGV[n + 1], 'a', ARGV[n + 2])
      last = seq
    end
    if ARGV[n + 3] ~= '' then change(n) end
    kept = kept + 1
  end
  n = n + 7 + 2 * tonumber(ARGV[n + 6])
end
call('PEXPIRE', log, log_ttl)
call('PEXPIRE', changed, log_ttl)
return kept
