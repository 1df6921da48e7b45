-- Counts users out of a room for a node: his last connections left, or the node died.
--
-- KEYS  occ:NODE, users, more
-- ARGV  channel, then for each user his name and the envelope of his departure in three pieces, as
--       in join.lua
--
-- Answers how many users the node still has in the room, the time (ms), then for each user 1 if he
-- is nowhere in the room now, and the number of users after him.
-- Promises: only whoever is taken out of occ is counted, so that nobody is counted twice however
-- often it is called, and by however many sweepers; the script that takes the last one tells it.
local occ, users, more = KEYS[1], KEYS[2], KEYS[3]
local answer = { 0, now_ms }
for n = 2, #ARGV, 4 do
  local user, edge = ARGV[n], 0
  if call('HDEL', occ, user) == 1 then
    local nodes = tonumber(call('HGET', more, user) or 1) - 1
    if nodes > 1 then
      call('HSET', more, user, nodes)
    else
      call('HDEL', more, user)
    end
    if nodes < 1 then edge = call('ZREM', users, user) end
  end
  local count = call('ZCARD', users)
  if edge == 1 then
    call('PUBLISH', ARGV[1], ARGV[n + 1] .. pack('>I8', now_ms) .. ARGV[n + 2] .. pack('>I8', count)
      .. ARGV[n + 3])
  end
  answer[#answer + 1] = edge
  answer[#answer + 1] = count
end
answer[1] = call('HLEN', occ)
return answer
