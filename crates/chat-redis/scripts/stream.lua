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
