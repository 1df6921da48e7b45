-- The version of a user's memberships.
--
-- KEYS  about, changing
tidy(KEYS[1], KEYS[2])
return version_of(KEYS[1])
