-- Sets how far a user has read in a room, forward only.
--
-- KEYS  markers
-- ARGV  user, epoch (opaque), seq, the first seq for which markers of other epochs do not count
--
-- Answers the marker that is in force then: epoch and seq. The first write is one that maxmemory
-- refuses.
local markers, user, epoch = KEYS[1], ARGV[1], ARGV[2]
local seq, marker = tonumber(ARGV[3]), call('HGET', markers, user)
if marker then
  local before, read = string.match(marker, '^(.+):(%d+)$')
  read = tonumber(read) or 0
  if before ~= epoch then read = math.min(read, math.max(tonumber(ARGV[4]) - 1, 0)) end
  seq = math.max(seq, read)
end
local new = epoch .. ':' .. format('%d', seq)
if new ~= marker then call('HSET', markers, user, new) end
return new
