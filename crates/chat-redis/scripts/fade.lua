-- A node's last connection of a user was lost: marks since when, if he is there and not marked yet.
--
-- KEYS  occ:NODE
-- ARGV  user
--
-- Answers 1.
local since = call('HGET', KEYS[1], ARGV[1])
if since and not string.find(since, ':', 1, true) then
  call('HSET', KEYS[1], ARGV[1], since .. ':' .. format('%d', now_ms))
end
return 1
