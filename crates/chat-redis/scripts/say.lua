-- Replaces what a node says of a user: what his devices on it say, or nothing.
--
-- KEYS  a user's presence
-- ARGV  node, what it says (empty if he is not there any more), time to live (ms)
--
-- Answers the time (ms), what the node said before (empty if nothing), and what the other nodes say.
-- What is said is kept behind the time since when (8 bytes).
-- Promises: of all nodes exactly one finds nobody before it, and one nobody after it; what is said
-- again keeps its time. The first write is one that maxmemory refuses, unless it takes him off.
local key, node, said = KEYS[1], ARGV[1], ARGV[2]
local all = call('HGETALL', key)
local answer = { now_ms, '' }
for n = 1, #all, 2 do
  if all[n] == node then answer[2] = all[n + 1] else answer[#answer + 1] = all[n + 1] end
end
if said == '' then
  if answer[2] ~= '' then call('HDEL', key, node) end
  return answer
end
if sub(answer[2], 9) ~= said then call('HSET', key, node, pack('>I8', now_ms) .. said) end
call('PEXPIRE', key, ARGV[3])
return answer
