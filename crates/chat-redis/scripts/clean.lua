-- Takes a room out of a user's list, of which he was seen to be no member.
--
-- KEYS  his rooms, about, changing
-- ARGV  room, the version of his memberships before he was looked for among the members
--
-- Answers 1 if it did. Does so only if nothing has changed since then and nothing is under way:
-- otherwise he may be a member by now.
local rooms, about, changing = KEYS[1], KEYS[2], KEYS[3]
if call('ZCARD', changing) > 0 or version_of(about) ~= tonumber(ARGV[2]) then return 0 end
return call('ZREM', rooms, ARGV[1])
