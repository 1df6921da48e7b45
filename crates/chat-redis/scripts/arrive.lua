-- Enters users who are online, behind everybody who is already; whoever is there keeps his place.
--
-- KEYS  online
-- ARGV  users
--
-- Answers 1.
local order = now_us
local last = call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] and tonumber(last[2]) >= order then order = tonumber(last[2]) + 1 end
for n = 1, #ARGV do
  -- Unique, so that pages can go on behind one.
  if call('ZADD', KEYS[1], 'NX', format('%d', order), ARGV[n]) == 1 then order = order + 1 end
end
return 1
