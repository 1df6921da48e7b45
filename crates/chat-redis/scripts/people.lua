-- Put before the scripts about a room and its members.
--
-- A room is a hash. Its members are a sorted set whose scores are 4 * order + role: role 0 member,
-- 1 admin, 2 owner; order the time (ms) of coming, unique in the room, so that a page can go on
-- behind one, whoever is promoted meanwhile.

local function role_of(members, user)
  local score = call('ZSCORE', members, user)
  return score and tonumber(score) % 4
end

-- What the room is, and how many members it has; nothing if there is none.
local function facts_of(room, members)
  local facts = call('HMGET', room, 'kind', 'name', 'topic', 'slow_mode_s', 'created_at', 'version')
  if not facts[1] then return false end
  facts[7] = call('ZCARD', members)
  return facts
end

-- Gives a role to a member, who keeps his place, or to somebody new, who gets the last one. He came
-- now, unless another time is given.
local function put_member(members, user, role, since)
  local score, order = call('ZSCORE', members, user), since or now_ms
  if score then
    order = math.floor(tonumber(score) / 4)
  else
    local last = call('ZRANGE', members, -1, -1, 'WITHSCORES')[2]
    if last then order = math.max(order, math.floor(tonumber(last) / 4) + 1) end
  end
  call('ZADD', members, format('%d', 4 * order + role), user)
end
