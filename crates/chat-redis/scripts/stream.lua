-- Seq, id and time of the newest entry of a stream; nothing if it has none.
local function newest(log)
  local last = call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not last then return nil end
  local envelope = last[2][2]
  return tonumber(string.match(last[1], '^%d+')), sub(envelope, 19, 26),
    (unpack8('>I8', envelope, 35))
end

-- The seq of the oldest entry of a stream; nothing if it has none.
local function oldest(log)
  local first = call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return first and tonumber(string.match(first[1], '^%d+'))
end

-- Up to where a stream is not read as entries, because its oldest ones are messages that were put (see
-- put.lua): nobody can say any more where entries began, so all that is there. 0 if it has none.
local function floor_of(log, last_seq)
  local first = call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  local put = first and sub(first[2][2], 3, 10) == string.rep('\0', 8)
  return put and last_seq or 0
end
