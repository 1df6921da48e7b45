-- Reads the entries above a seq, and says what the log has at it. Of a log that was restored (see
-- put.lua) there are entries above its floor alone. Writes nothing.
--
-- KEYS  log, head, changed
-- ARGV  seq, most entries, log_max, most bytes (but at least one entry), entries per step
--
-- Answers epoch, seq, id, at, epoch_start of the head; the id of the entry at the asked seq (empty
-- if it is not kept); one byte per entry, 1 if its text was deleted; the envelopes.
-- Without a head: only 1 if there is a stream (then the head is to be set up again), else 0.
local log, head, changed = KEYS[1], KEYS[2], KEYS[3]
local seq, max, log_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes_max, step = tonumber(ARGV[4]), tonumber(ARGV[5])

local h = call('HMGET', head, 'epoch', 'seq', 'id', 'at', 'start', 'changed_from', 'floor')
if not h[1] then return { call('EXISTS', log) } end
local last = tonumber(h[2])
local from = math.max(seq, 1, last - log_max + 1, tonumber(h[7] or 0) + 1)

local anchor, envelopes, subjects, bytes = '', {}, {}, 0
local full = false
while from <= last and not full do
  local found = call('XRANGE', log, from .. '-0', last .. '-0', 'COUNT', step)
  if #found == 0 then break end
  for _, entry in ipairs(found) do
    local at_seq = tonumber(string.match(entry[1], '^%d+'))
    local fields = entry[2]
    local envelope = fields[2]
    if at_seq == seq then
      anchor = sub(envelope, 19, 26)
    else
      bytes = bytes + #envelope
      if #envelopes == max or (bytes > bytes_max and #envelopes > 0) then
        full = true
        break
      end
      envelopes[#envelopes + 1] = envelope
      -- The message whose deletion takes this entry's text away; -1 is none.
      subjects[#subjects + 1] = (fields[3] == 'a' and at_seq) or (fields[3] == 't' and fields[4]) or -1
    end
    from = at_seq + 1
  end
end

local erased = string.rep('0', #envelopes)
if h[6] and #envelopes > 0 then
  local flags = {}
  for n, state in ipairs(call('HMGET', changed, unpack(subjects))) do
    flags[n] = (state and sub(state, 9, 9) == 'd') and '1' or '0'
  end
  erased = table.concat(flags)
end
return { h[1], h[2], h[3], h[4], h[5], anchor, erased, unpack(envelopes) }
