-- Restores what is known of a user: of what is there and what is given, the greater.
--
-- KEYS  about
-- ARGV  version of his memberships, when he was last seen (ms; empty: never)
local function raise(field, value)
  local there = tonumber(call('HGET', KEYS[1], field) or -1)
  if value ~= '' and tonumber(value) > there then call('HSET', KEYS[1], field, value) end
end
raise('version', ARGV[1])
raise('seen', ARGV[2])
return 1
