-- Renews what a node has in a room.
--
-- KEYS  occ:NODE, users, more
-- ARGV  time to live (ms)
--
-- Answers how many users the node has in the room. Needs no memory: maxmemory does not stop it.
call('PEXPIRE', KEYS[1], ARGV[1])
call('PEXPIRE', KEYS[2], ARGV[1])
call('PEXPIRE', KEYS[3], ARGV[1])
return call('HLEN', KEYS[1])
