-- Read markers of a room's members. Writes nothing.
--
-- KEYS  members, markers
-- ARGV  of how many members, from the first on
--
-- Answers users and markers in turn, of those who have one.
local found, answer = call('ZRANGE', KEYS[1], 0, ARGV[1] - 1), {}
for _, user in ipairs(found) do
  local marker = call('HGET', KEYS[2], user)
  if marker then
    answer[#answer + 1] = user
    answer[#answer + 1] = marker
  end
end
return answer
