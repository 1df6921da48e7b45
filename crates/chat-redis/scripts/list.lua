-- A page of the rooms of which a user may be a member: whether he is, their members know.
--
-- KEYS  his rooms, about, changing
-- ARGV  the room behind which to go on (empty: from the first on), most rooms
--
-- Answers the version of his memberships, and the rooms in the order of their ids.
local rooms, about, changing = KEYS[1], KEYS[2], KEYS[3]
tidy(about, changing)
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
return { version_of(about), call('ZRANGEBYLEX', rooms, from, '+', 'LIMIT', 0, ARGV[2]) }
