-- Creates a room.
--
-- KEYS  room, members
-- ARGV  deadline (ms), most members, fingerprint, kind, name and topic (each behind a letter; empty:
--       none), slow mode (s), then for each member his name and role
--
-- Answers what the room is and 1 if an earlier attempt had created it; or L: the deadline has
-- passed, T: another room has its id, M: too many members, and nothing was done. The first write is
-- one that maxmemory refuses.
local room, members = KEYS[1], KEYS[2]
if now_ms > tonumber(ARGV[1]) then return 'L' end
if call('EXISTS', room) == 1 then
  if call('HGET', room, 'fingerprint') ~= ARGV[3] then return 'T' end
  return { facts_of(room, members), 1 }
end
if (#ARGV - 7) / 2 > tonumber(ARGV[2]) then return 'M' end
call('HSET', room, 'kind', ARGV[4], 'fingerprint', ARGV[3], 'slow_mode_s', ARGV[7],
  'created_at', format('%d', now_ms), 'version', '1')
if ARGV[5] ~= '' then call('HSET', room, 'name', sub(ARGV[5], 2)) end
if ARGV[6] ~= '' then call('HSET', room, 'topic', sub(ARGV[6], 2)) end
for n = 8, #ARGV, 2 do put_member(members, ARGV[n], tonumber(ARGV[n + 1])) end
return { facts_of(room, members), 0 }
