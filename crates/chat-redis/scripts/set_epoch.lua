-- Starts a new epoch if the log still has the known one. Seq and id stay.
--
-- KEYS  head
-- ARGV  the known epoch, the new one, the first seq that readers of the old one cannot have seen
--
-- Answers epoch, seq, id, at, epoch_start as they are then; nothing if there is no head.
local head = KEYS[1]
local h = call('HMGET', head, 'epoch', 'seq', 'id', 'at', 'start')
if not h[1] then return false end
if h[1] == ARGV[1] then
  call('HSET', head, 'epoch', ARGV[2], 'start', ARGV[3])
  h[1], h[5] = ARGV[2], ARGV[3]
end
return h
