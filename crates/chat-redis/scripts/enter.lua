-- A user comes to a room: an unknown one comes into being as an open room, an open one takes him as
-- a member; of any other only what is known is answered.
--
-- KEYS  room, members
-- ARGV  deadline (ms), most members, user
--
-- Answers what the room is and his role, if he has one; or L: the deadline has passed, M: the room
-- has as many members as it may, and nothing was done. The first write is one that maxmemory refuses.
local room, members, user = KEYS[1], KEYS[2], ARGV[3]
if now_ms > tonumber(ARGV[1]) then return 'L' end
local kind = call('HGET', room, 'kind')
local role = kind and role_of(members, user)
if not role and (not kind or kind == 'open') then
  if call('ZCARD', members) >= tonumber(ARGV[2]) then return 'M' end
  if not kind then call('HSET', room, 'kind', 'open', 'created_at', format('%d', now_ms)) end
  call('HINCRBY', room, 'version', 1)
  role = 0
  put_member(members, user, role)
end
return { facts_of(room, members), role }
