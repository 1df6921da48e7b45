-- A node's first connection of a user joined a room. Idempotent; ends a grace.
--
-- KEYS  occ:NODE, users, more
-- ARGV  user, time to live (ms), channel, the envelope of his arrival in three pieces, between which
--       belong the time (ms) and the number of users (8 bytes each)
--
-- Answers 1 if he was nowhere in the room before, the number of users, the time (ms).
-- Promises: whoever is told as having come is told by this script, to all, exactly once. The first
-- write is one that maxmemory refuses.
local occ, users, more = KEYS[1], KEYS[2], KEYS[3]
local user, ttl = ARGV[1], ARGV[2]
local since = call('HGET', occ, user)
-- Somebody may have lost the room's users and left ours: then he is added once more.
if since and call('ZSCORE', users, user) then
  local graced = string.find(since, ':', 1, true)
  if graced then call('HSET', occ, user, sub(since, 1, graced - 1)) end
  return { 0, call('ZCARD', users), now_ms }
end
call('HSET', occ, user, format('%d', now_ms))
-- Unique in the room, so that pages can go on behind one.
local order = now_us
local last = call('ZRANGE', users, -1, -1, 'WITHSCORES')
if last[2] and tonumber(last[2]) >= order then order = tonumber(last[2]) + 1 end
local edge = call('ZADD', users, 'NX', format('%d', order), user)
local count = call('ZCARD', users)
if edge == 1 then
  call('PUBLISH', ARGV[3], ARGV[4] .. pack('>I8', now_ms) .. ARGV[5] .. pack('>I8', count) .. ARGV[6])
else
  local nodes = tonumber(call('HGET', more, user) or 1) + 1
  call('HSET', more, user, nodes)
  call('PEXPIRE', more, ttl)
end
call('PEXPIRE', occ, ttl)
call('PEXPIRE', users, ttl)
return { edge, count, now_ms }
