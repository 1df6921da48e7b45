-- Puts members of a room in place before the room itself, so that it is whole or is not there.
--
-- KEYS  room, members
-- ARGV  deadline (ms), 1 if these are the first ones (then what an earlier attempt left goes), then
--       for each member his name, role, and when he came (ms)
--
-- Answers an empty list; or L: the deadline has passed, T: there is the room, and nothing was done.
local room, members = KEYS[1], KEYS[2]
if now_ms > tonumber(ARGV[1]) then return 'L' end
if call('EXISTS', room) == 1 then return 'T' end
if ARGV[2] == '1' then call('UNLINK', members) end
for n = 3, #ARGV, 3 do
  put_member(members, ARGV[n], tonumber(ARGV[n + 1]), tonumber(ARGV[n + 2]))
end
return {}
