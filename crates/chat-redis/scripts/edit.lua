-- Changes a room or its members.
--
-- KEYS  room, members
-- ARGV  deadline (ms), most members, actor, the least role that he must have (-1: none), 1 if he may
--       touch members above him, name and topic (each behind a letter; empty: stays), slow mode (s;
--       empty: stays), how many are removed, these, then for each who is added his name and role
--       (-1: what he is, or a plain member)
--
-- Answers what the room is; 1 each if name, topic and slow mode are different; who was removed; who
-- was added; whose role is different, with the role in turn (of those who were added only if they
-- are more than members). Or L: the deadline has passed, N: there is no such room, F: the actor may
-- not, M: too many members, and nothing was done. The first write is one that maxmemory refuses.
-- An edit that changes nothing leaves the version as it was.
local room, members, actor = KEYS[1], KEYS[2], ARGV[3]
if now_ms > tonumber(ARGV[1]) then return 'L' end
if call('EXISTS', room) == 0 then return 'N' end
local least, above, removals = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[9])
local first_added = 10 + removals

local has_facts = ARGV[6] ~= '' or ARGV[7] ~= '' or ARGV[8] ~= ''
local parts = not has_facts and removals == 1 and #ARGV == 10 and ARGV[10] == actor
local own = role_of(members, actor) or -1
if not parts and own < least then return 'F' end

local removed, added, roles, put = {}, {}, {}, {}
for n = 10, first_added - 1 do
  local role = role_of(members, ARGV[n])
  if role then
    if role > own and not above then return 'F' end
    removed[#removed + 1] = ARGV[n]
  end
end
for n = first_added, #ARGV, 2 do
  local user, given, role = ARGV[n], tonumber(ARGV[n + 1]), role_of(members, ARGV[n])
  if given >= 0 or not role then
    if given < 0 then given = 0 end
    if (given > own or (role or -1) > own) and not above then return 'F' end
    if not role then added[#added + 1] = user end
    if (role or 0) ~= given then
      roles[#roles + 1] = user
      roles[#roles + 1] = given
    end
    put[#put + 1] = user
    put[#put + 1] = given
  end
end
local count = call('ZCARD', members) - #removed + #added
if #added > 0 and count > tonumber(ARGV[2]) then return 'M' end

local facts = call('HMGET', room, 'name', 'topic', 'slow_mode_s')
local named = ARGV[6] ~= '' and sub(ARGV[6], 2) ~= facts[1]
local about = ARGV[7] ~= '' and sub(ARGV[7], 2) ~= facts[2]
local slowed = ARGV[8] ~= '' and ARGV[8] ~= (facts[3] or '0')
if named or about or slowed or #removed + #added + #roles > 0 then
  call('HINCRBY', room, 'version', 1)
  if named then call('HSET', room, 'name', sub(ARGV[6], 2)) end
  if about then call('HSET', room, 'topic', sub(ARGV[7], 2)) end
  if slowed then call('HSET', room, 'slow_mode_s', ARGV[8]) end
  for n = 1, #removed do call('ZREM', members, removed[n]) end
  for n = 1, #put, 2 do put_member(members, put[n], put[n + 1]) end
end
return { facts_of(room, members), { named and 1 or 0, about and 1 or 0, slowed and 1 or 0 },
  removed, added, roles }
