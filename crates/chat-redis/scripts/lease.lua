-- Counts what a node used of a limit, and grants it what is left of what it wants.
--
-- KEYS  rate:KEY
-- ARGV  max, span, slot (both ms), spent, wanted
--
-- Answers what is granted, what is left then, and how long until more is (ms). The key is a hash:
-- end of a slot of time -> what was used in it; there are not many slots in a span. A count leaves a
-- span after its slot's end. Nothing is left of the key when all have.
local key = KEYS[1]
local max, span, slot = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local spent, wanted = tonumber(ARGV[4]), tonumber(ARGV[5])
local fields = call('HGETALL', key)
local slots, gone, used, last = {}, {}, spent, 0
for i = 1, #fields, 2 do
  local ends, count = tonumber(fields[i]), tonumber(fields[i + 1])
  if ends + span <= now_ms then
    gone[#gone + 1] = fields[i]
  else
    slots[#slots + 1] = { ends, count }
    used, last = used + count, math.max(last, ends)
  end
end
local granted = math.min(wanted, math.max(max - used, 0))
local added = spent + granted
used = used + granted
if added > 0 then
  -- A fail-over may set the clock back: what is new still leaves last.
  local ends = math.max((math.floor(now_ms / slot) + 1) * slot, last)
  call('HINCRBY', key, format('%d', ends), format('%d', added))
  call('PEXPIRE', key, format('%d', ends + span - now_ms))
  slots[#slots + 1] = { ends, added }
end
if #gone > 0 then call('HDEL', key, unpack(gone)) end
table.sort(slots, function(a, b) return a[1] < b[1] end)
-- What was used beyond the limit leaves first, and nobody gains by it.
local beyond, reset = math.max(used - max, 0), 0
for _, counted in ipairs(slots) do
  if counted[2] > beyond then
    reset = math.max(counted[1] + span - now_ms, 0)
    break
  end
  beyond = beyond - counted[2]
end
return { granted, math.max(max - used, 0), reset }
