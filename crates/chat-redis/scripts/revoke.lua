-- Revokes a user or a token. What has ended makes place; the later of two ends counts.
--
-- KEYS  revoked
-- ARGV  name, for how many milliseconds, how many may be in force
--
-- Answers until when, or nothing if too many are in force.
local revoked, name = KEYS[1], ARGV[1]
call('ZREMRANGEBYSCORE', revoked, '-inf', format('%d', now_ms))
local known = call('ZSCORE', revoked, name)
if not known and call('ZCARD', revoked) >= tonumber(ARGV[3]) then
  return false
end
-- No later than the numbers go that Redis keeps exactly.
local until_ms = math.min(now_ms + tonumber(ARGV[2]), 9007199254740991)
if known and tonumber(known) > until_ms then
  until_ms = tonumber(known)
end
call('ZADD', revoked, format('%d', until_ms), name)
return until_ms
