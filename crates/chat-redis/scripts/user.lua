-- Put before the scripts about a user and his rooms.
--
-- A user's rooms are a sorted set without scores. Beside it, changing has a token for each change of
-- his memberships that is under way, until its deadline (ms): a room's script that is called for it
-- does nothing after that.

-- Changes whose deadline has passed may have happened, and nobody came back to say so: then the
-- version counts up for them. Nothing is forgotten before that is written.
local function tidy(about, changing)
  local late = '(' .. format('%d', now_ms)
  if call('ZCOUNT', changing, '-inf', late) == 0 then return end
  local counted = try('HINCRBY', about, 'version', 1)
  if type(counted) == 'number' then call('ZREMRANGEBYSCORE', changing, '-inf', late) end
end

local function version_of(about) return tonumber(call('HGET', about, 'version') or 0) end
