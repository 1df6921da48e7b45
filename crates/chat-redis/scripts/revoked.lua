-- KEYS  revoked
--
-- Answers the names that are in force.
return call('ZRANGEBYSCORE', KEYS[1], '(' .. format('%d', now_ms), '+inf')
