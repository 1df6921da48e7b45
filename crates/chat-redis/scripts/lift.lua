-- Takes a revocation back.
--
-- KEYS  revoked
-- ARGV  name
--
-- Answers whether it was in force.
local ended = call('ZSCORE', KEYS[1], ARGV[1])
call('ZREM', KEYS[1], ARGV[1])
return ended and tonumber(ended) > now_ms and 1 or 0
