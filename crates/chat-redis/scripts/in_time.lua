-- Put before the scripts that do nothing after their deadline: what was given up, and maybe taken again
-- or taken back since, must not act any more.
--
-- ARGV  deadline (us of the store's clock), then those of the script
--
-- Answers an error with the store's time (us) instead.
if now_us > tonumber(table.remove(ARGV, 1)) then
  return redis.error_reply('LATE ' .. format('%d', now_us))
end
