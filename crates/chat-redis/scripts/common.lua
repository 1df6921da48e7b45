-- Put before every script: short names, the store's clock, the shape of a stored entry.
--
-- Ids and epochs are opaque strings of 8 bytes; they never become Lua numbers. Seqs and times are
-- numbers below 2^53. Numbers go to Redis as strings made by %d: its own conversion of a double
-- was measured to cost as much as a command. A stored entry is a stream entry SEQ-0 with the fields
--   e  the envelope: version and form byte, epoch, seq, id, prev, at (8 bytes each), tail
--   a  the author, only if it adds a message
--   t  the seq of the message that it changes, only if it changes the text of one
--   -  nothing, in any other entry
local call, try = redis.call, redis.pcall
local pack, unpack8, format, sub = struct.pack, struct.unpack, string.format, string.sub
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
