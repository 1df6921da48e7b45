-- A change of a user's memberships begins: before the room's members are changed, his list of rooms
-- names the room, and that something is under way is written down.
--
-- KEYS  his rooms, about, changing
-- ARGV  token, how long it may take (ms), room (empty: none is added), most rooms of a user, how long
--       it is kept if nobody ever settles it (ms)
--
-- Answers the deadline (ms), or 0 if he has as many rooms as he may, and nothing was done. The first
-- write is one that maxmemory refuses.
local rooms, about, changing = KEYS[1], KEYS[2], KEYS[3]
local room, deadline = ARGV[3], now_ms + tonumber(ARGV[2])
local new = room ~= '' and not call('ZSCORE', rooms, room)
if new and call('ZCARD', rooms) >= tonumber(ARGV[4]) then return 0 end
tidy(about, changing)
call('ZADD', changing, format('%d', deadline), ARGV[1])
call('PEXPIRE', changing, ARGV[5])
if new then call('ZADD', rooms, 0, room) end
return deadline
