-- KEYS  revoked
-- ARGV  names
--
-- Answers whether any of them is in force.
for _, name in ipairs(ARGV) do
  local until_ms = call('ZSCORE', KEYS[1], name)
  if until_ms and tonumber(until_ms) > now_ms then
    return 1
  end
end
return 0
