-- Enters a room that is about to come into being in the list of all rooms.
--
-- KEYS  rooms
-- ARGV  room, most rooms
--
-- Answers 1, or 0 if there are as many rooms as there may be.
local rooms = KEYS[1]
if call('ZSCORE', rooms, ARGV[1]) then return 1 end
if call('ZCARD', rooms) >= tonumber(ARGV[2]) then return 0 end
return call('ZADD', rooms, 0, ARGV[1])
