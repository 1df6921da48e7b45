-- Where a room's log stands. Sets a lost head up again from the stream, in a new epoch.
--
-- KEYS  log, head, changed
-- ARGV  log_ttl (ms), a fresh epoch, use: 1 if the room is about to be used (then an empty log is
--       created where there is none, and its time to live is renewed when a quarter has passed),
--       0 if somebody only asks
--
-- Answers epoch, seq, id, at, epoch_start; nothing if there is no log.
local log, head, changed = KEYS[1], KEYS[2], KEYS[3]
local log_ttl, fresh, use = tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'

local function renew()
  -- PEXPIRE first: maxmemory must not refuse to renew what is there already.
  call('PEXPIRE', head, 2 * log_ttl)
  call('PEXPIRE', log, log_ttl)
  call('PEXPIRE', changed, log_ttl)
  call('HSET', head, 'renewed', now_ms)
end

local h = call('HMGET', head, 'epoch', 'seq', 'id', 'at', 'start', 'renewed')
if h[1] then
  if use and now_ms - (tonumber(h[6]) or 0) > log_ttl / 4 then renew() end
  return { h[1], h[2], h[3], h[4], h[5] }
end

local seq, id, at = newest(log)
if not seq then
  if not use then return false end
  seq, id, at = 0, fresh, now_ms
end
local fields = { 'epoch', fresh, 'seq', seq, 'id', id, 'at', at, 'start', seq + 1 }
if seq > 0 then
  fields[#fields + 1] = 'changed_from'
  fields[#fields + 1] = oldest(log)
  fields[#fields + 1] = 'floor'
  fields[#fields + 1] = floor_of(log, seq)
end
call('HSET', head, unpack(fields))
renew()
return { fresh, tostring(seq), id, tostring(at), tostring(seq + 1) }
