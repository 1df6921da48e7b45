-- A user comes to a room: an unknown one comes into being as an open room, an open one takes him as
-- a member; of any other only what is known is answered.
--
-- KEYS  room, members
-- ARGV  user
--
-- Answers what the room is (field and value in turn), and his standing in it if he has one.
local room, members = KEYS[1], KEYS[2]
if call('EXISTS', room) == 0 then
  call('HSET', room, 'kind', 'open', 'created_at', format('%d', now_ms), 'version', '1')
end
local standing = call('HGET', members, ARGV[1])
if not standing and call('HGET', room, 'kind') == 'open' then
  standing = 'member:' .. format('%d', now_ms)
  call('HSET', members, ARGV[1], standing)
end
return { call('HGETALL', room), standing }
