-- A page of the users in a room, in the order in which they came.
--
-- KEYS  users
-- ARGV  the order number behind which to go on, most users
--
-- Answers the number of users, then users and order numbers in turn. Writes nothing.
local page = call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return { call('ZCARD', KEYS[1]), unpack(page) }
