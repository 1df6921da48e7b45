-- What a user may know of a room. Writes nothing.
--
-- KEYS  room, members, markers
-- ARGV  user
--
-- Answers what the room is (nothing if there is none), his role and his read marker if he has one.
local room, members, markers = KEYS[1], KEYS[2], KEYS[3]
local facts = facts_of(room, members)
if not facts then return { false, false, false } end
return { facts, role_of(members, ARGV[1]), call('HGET', markers, ARGV[1]) }
