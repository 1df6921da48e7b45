-- Puts the facts of a room in place, whose members are there already.
--
-- KEYS  room
-- ARGV  kind, name and topic (each behind a letter; empty: none), slow mode (s), when it came into
--       being (ms), version, fingerprint (empty: nobody created it)
--
-- Answers an empty list; or T: there is the room, and nothing was done.
local room = KEYS[1]
if call('EXISTS', room) == 1 then return 'T' end
local fields = { 'kind', ARGV[1], 'slow_mode_s', ARGV[4], 'created_at', ARGV[5], 'version', ARGV[6] }
local function put(field, value, from)
  if value == '' then return end
  fields[#fields + 1] = field
  fields[#fields + 1] = sub(value, from)
end
put('name', ARGV[2], 2)
put('topic', ARGV[3], 2)
put('fingerprint', ARGV[7], 1)
call('HSET', room, unpack(fields))
return {}
