-- Takes names off a set or a sorted set.
--
-- KEYS  the set
-- ARGV  SREM or ZREM, then the names
--
-- Answers how many were in it. Whoever was entered again after this was given up stays.
return call(ARGV[1], KEYS[1], unpack(ARGV, 2))
