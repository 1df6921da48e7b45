-- Begins a room's log anew, at a seq, with nothing in it.
--
-- KEYS  log, head, changed, keys:cur, keys:prev
-- ARGV  seq, time (ms), a fresh epoch, a fresh id (at seq 0 the epoch), log_ttl (ms)
--
-- `renewed` is left out: whoever uses the log first renews it, for as long as that node keeps logs.
--
-- Answers epoch, seq, id, at, epoch_start.
local log, head, changed = KEYS[1], KEYS[2], KEYS[3]
local seq, fresh, id, log_ttl = tonumber(ARGV[1]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local start = format('%d', seq + 1)

call('UNLINK', log, changed, KEYS[4], KEYS[5])
call('DEL', head)
call('HSET', head, 'epoch', fresh, 'seq', ARGV[1], 'id', id, 'at', ARGV[2], 'start', start,
  'floor', ARGV[1])
call('PEXPIRE', head, format('%d', 2 * log_ttl))
return { fresh, ARGV[1], id, ARGV[2], start }
