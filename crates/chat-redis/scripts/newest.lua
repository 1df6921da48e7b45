-- A page of the users in a room, or online, newest first.
--
-- KEYS  users
-- ARGV  the order number before which to go on, most users
--
-- Answers the number of users, then users and order numbers in turn. Writes nothing.
local page = call('ZREVRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return { call('ZCARD', KEYS[1]), unpack(page) }
