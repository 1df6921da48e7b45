-- A user was seen at a time (ms): the latest one is kept.
--
-- KEYS  about
-- ARGV  time
local seen = call('HGET', KEYS[1], 'seen')
if not seen or tonumber(seen) < tonumber(ARGV[1]) then call('HSET', KEYS[1], 'seen', ARGV[1]) end
return 1
