-- A change of a user's memberships is over.
--
-- KEYS  about, changing
-- ARGV  token, 1 if he is a member now and was none before, or the other way round, else 0
--
-- Answers the version of his memberships. Counts once, however often it is called, and not for what
-- was counted because its deadline had passed.
local about, changing = KEYS[1], KEYS[2]
if call('ZSCORE', changing, ARGV[1]) then
  if ARGV[2] == '1' then call('HINCRBY', about, 'version', 1) end
  call('ZREM', changing, ARGV[1])
end
tidy(about, changing)
return version_of(about)
