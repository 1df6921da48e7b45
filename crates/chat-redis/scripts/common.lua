-- Put before every script: short names, the store's clock, the shape of a stored entry.
--
-- Ids and epochs are opaque strings of 8 bytes; they never become Lua numbers. Seqs and times are
-- numbers below 2^53. A stored entry is a stream entry SEQ-0 with the fields
--   e  the envelope: version and form byte, epoch, seq, id, prev, at (8 bytes each), tail
--   a  the author, only if it adds a message
--   t  the seq of the message that it changes, only if it changes the text of one
local call, try = redis.call, redis.pcall
local pack, unpack8 = struct.pack, struct.unpack

local function now_us()
  local time = call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Seq, id and time of the newest entry of a stream; nothing if it has none.
local function newest(log)
  local last = call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not last then return nil end
  local envelope = last[2][2]
  return tonumber(string.match(last[1], '^%d+')), string.sub(envelope, 19, 26),
    unpack8('>I8', envelope, 35)
end

-- The seq of the oldest entry of a stream; nothing if it has none.
local function oldest(log)
  local first = call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return first and tonumber(string.match(first[1], '^%d+'))
end
