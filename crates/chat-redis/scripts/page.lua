-- Reads messages as they stand now. Writes nothing.
--
-- KEYS  log, head, changed
-- ARGV  direction (b: newest first below the seq; a: oldest first above it; m: the one at it), seq,
--       most messages, log_max, most bytes (but at least one message), entries per step, most entries
--       that are looked at (a long one counts for one more per KiB), how many messages a call before this one has already found
--
-- Answers where to go on (a seq; empty if the end of the log or a limit was reached), 1 if there are
-- more behind a limit else 0, the bytes taken, and for each message: its envelope, its state (as in
-- append.lua; empty if it was never changed), its newest text (empty likewise), and its reactions,
-- emoji and users in turn.
-- Without a head: only 1 if there is a stream (then the head is to be set up again), else 0.
local log, head, changed = KEYS[1], KEYS[2], KEYS[3]
local direction, seq, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local log_max, bytes_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local step, scan_max, have_already = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local h = call('HMGET', head, 'seq', 'changed_from')
if not h[1] then return { call('EXISTS', log) } end
local last = tonumber(h[1])
local first = math.max(1, last - log_max + 1)
if direction == 'b' then
  last = math.min(last, seq - 1)
elseif direction == 'a' then
  first = math.max(first, seq + 1)
else
  first, last = math.max(first, seq), math.min(last, seq)
end

local function fetch()
  if direction == 'b' then
    return call('XREVRANGE', log, last .. '-0', first .. '-0', 'COUNT', step)
  end
  return call('XRANGE', log, first .. '-0', last .. '-0', 'COUNT', step)
end

local messages, bytes, scanned = {}, 0, 0
while first <= last do
  if scanned >= scan_max then
    return { direction == 'b' and last + 1 or first - 1, 0, bytes, unpack(messages) }
  end
  local found = fetch()
  if #found == 0 then break end
  for _, entry in ipairs(found) do
    local at_seq = tonumber(string.match(entry[1], '^%d+'))
    scanned = scanned + 1 + #entry[2][2] / 1024
    if entry[2][3] == 'a' then
      local message = overlay(changed, h[2], at_seq, entry[2][2])
      bytes = bytes + #message[1] + #message[3]
      for n = 2, #message[4], 2 do bytes = bytes + #message[4][n] end
      local have = #messages + have_already
      if have == max or (bytes > bytes_max and have > 0) then
        return { '', 1, bytes, unpack(messages) }
      end
      messages[#messages + 1] = message
    end
    if direction == 'b' then last = at_seq - 1 else first = at_seq + 1 end
  end
end
return { '', 0, bytes, unpack(messages) }
