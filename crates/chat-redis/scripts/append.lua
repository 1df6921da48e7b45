-- Appends entries to one room's log, in their order, in one atomic step.
--
-- KEYS  log, head, changed, keys:cur, keys:prev
-- ARGV  deadline (us of the store's clock), log_max, log_ttl (ms), key_window (ms),
--       channel to announce on (empty: do not), a fresh epoch, most emoji per message,
--       most users per emoji; then for each entry
--         op, id, actor, key field (empty: no key), content hash, tail
--       op a adds a message, o is any other entry without a target; the following have three
--       arguments more (seq and id of the message, check: 0 none, 1 exists, 2 and is the actor's)
--         u changes its text, d deletes it, r reacts, x takes a reaction back
--       and r and x a fourth, the emoji.
--
-- Answers one string: the store's time (us, 8 bytes), a verdict and one record per entry.
-- Verdict L: the deadline has passed, nothing was done, no records. K: done.
-- A record is a code and 40 bytes: seq, at, epoch, id, prev. Codes: A appended; D the key was used
-- before for the same, prev is zero; and without meaning of the 40 bytes C conflict, N not found,
-- F forbidden, E too many emoji, U too many users.
--
-- Promises: validates first; the first write is an XADD, which maxmemory refuses, so that nothing
-- is half done; announces last, after head, changed and keys. A head that is lost or behind the
-- stream, and a stream that is lost, begin a new epoch whose seq goes on from what is left.
local log, head, changed, cur, prev_keys = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local log_max, log_ttl, window = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local channel, fresh = ARGV[5], ARGV[6]
local FIRST, ZERO = 9, string.rep('\0', 8)
local EXTRA = { a = 0, o = 0, u = 3, d = 3, r = 4, x = 4 }

local now = now_us()
if now > tonumber(ARGV[1]) then return pack('>I8', now) .. 'L' end
local now_ms = math.floor(now / 1000)

local h = call('HMGET', head, 'epoch', 'seq', 'id', 'at', 'start', 'keys_start', 'keys_prev',
  'changed_from', 'renewed')
local epoch, seq, id, at, start = h[1], tonumber(h[2]), h[3], tonumber(h[4]), h[5]
local keys_start, keys_prev = tonumber(h[6]), h[7]
local changed_from, renewed = tonumber(h[8]), tonumber(h[9])
local new_epoch, wipe, create = false, false, false

-- Goes on from the newest entry of the stream; false if it has none.
local function resume_from_stream()
  local last_seq, last_id, last_at = newest(log)
  if not last_seq then return false end
  new_epoch, epoch, start = true, fresh, last_seq + 1
  seq, id, at = last_seq, last_id, last_at
  changed_from = oldest(log)
  return true
end

-- The stream is lost: goes on from the head, and forgets the messages.
local function resume_from_head()
  new_epoch, epoch, start = true, fresh, seq + 1
  wipe, create = true, true
end

if not epoch then
  keys_start, renewed = nil, nil
  if not resume_from_stream() then
    -- Both are gone, or the room is new.
    new_epoch, epoch, start = true, fresh, 1
    seq, id, at = 0, fresh, 0
    wipe, create = true, true
  end
elseif seq == 0 then
  create = true
end
at = math.max(at, now_ms)

-- Which keys are known. Those of the window before last are not asked any more.
local windows = keys_start and math.floor((now_ms - keys_start) / window) or 0
local known = {}
do
  local fields, i = {}, FIRST
  while ARGV[i] do
    if ARGV[i + 3] ~= '' then fields[#fields + 1] = ARGV[i + 3] end
    i = i + 6 + EXTRA[ARGV[i]]
  end
  local function look(hash)
    local missing = {}
    local values = call('HMGET', hash, unpack(fields))
    for n = 1, #fields do
      if values[n] then known[fields[n]] = values[n] else missing[#missing + 1] = fields[n] end
    end
    fields = missing
  end
  if #fields > 0 and windows < 2 then look(cur) end
  if #fields > 0 and windows < 1 and (keys_prev or not keys_start) then look(prev_keys) end
end

-- The author of a message and what has become of it; nothing if there is no such message.
local function message(at_seq, message_id)
  if at_seq < seq - log_max + 1 then return nil end
  local found = call('XRANGE', log, at_seq .. '-0', at_seq .. '-0')[1]
  if not found or found[2][3] ~= 'a' or string.sub(found[2][2], 19, 26) ~= message_id then
    return nil
  end
  return found[2][4], call('HGET', changed, at_seq)
end

-- What has become of a message is: its id, a flag (d deleted, e edited, - neither), the seq of the
-- last change, and its emoji, each behind its length. The users of each, between blanks, are in a
-- field of their own; so is the newest text.
local function emoji_of(state)
  local list, i = {}, 18
  while i <= #state do
    local length = string.byte(state, i)
    list[#list + 1] = string.sub(state, i + 1, i + length)
    i = i + 1 + length
  end
  return list
end

local function users_field(at_seq, emoji) return at_seq .. 'r' .. emoji end

local function check_reaction(at_seq, state, actor, emoji)
  local list = state and emoji_of(state) or {}
  for _, have in ipairs(list) do
    if have == emoji then
      local users = call('HGET', changed, users_field(at_seq, emoji)) or ' '
      if string.find(users, ' ' .. actor .. ' ', 1, true) then return nil end
      local _, blanks = string.gsub(users, ' ', ' ')
      return blanks > tonumber(ARGV[8]) and 'U' or nil
    end
  end
  return #list >= tonumber(ARGV[7]) and 'E' or nil
end

local overlay_written = false

local function put_state(at_seq, message_id, flag, list)
  local parts = { message_id, flag, pack('>I8', seq) }
  for _, emoji in ipairs(list) do
    parts[#parts + 1] = string.char(#emoji) .. emoji
  end
  call('HSET', changed, at_seq, table.concat(parts))
end

local function react(at_seq, message_id, state, actor, emoji, removed)
  local list = state and emoji_of(state) or {}
  local field = users_field(at_seq, emoji)
  local users = call('HGET', changed, field) or ' '
  local from, to = string.find(users, ' ' .. actor .. ' ', 1, true)
  if removed and from then
    users = string.sub(users, 1, from) .. string.sub(users, to + 1)
  elseif not removed and not from then
    if users == ' ' then list[#list + 1] = emoji end
    users = users .. actor .. ' '
  end
  if users == ' ' then
    call('HDEL', changed, field)
    for n = #list, 1, -1 do
      if list[n] == emoji then table.remove(list, n) end
    end
  else
    call('HSET', changed, field, users)
  end
  put_state(at_seq, message_id, state and string.sub(state, 9, 9) or '-', list)
end

-- Forgets what hangs on a message beside its state.
local function drop_details(at_seq, state)
  call('HDEL', changed, at_seq .. 'e')
  for _, emoji in ipairs(emoji_of(state)) do call('HDEL', changed, users_field(at_seq, emoji)) end
end

-- Carries out what an entry that has just become number seq changes in its message.
local function change(op, at_seq, message_id, state, actor, emoji, tail)
  if state and string.sub(state, 9, 9) == 'd' then return end
  overlay_written = true
  if not changed_from or at_seq < changed_from then changed_from = at_seq end
  if op == 'u' then
    call('HSET', changed, at_seq .. 'e', pack('>I8', at) .. tail)
    put_state(at_seq, message_id, 'e', state and emoji_of(state) or {})
  elseif op == 'd' then
    if state then drop_details(at_seq, state) end
    -- The tombstone is kept for as long as this entry: entries with the text may outlive the
    -- message's own.
    call('HSET', changed, seq .. 'x', at_seq)
    put_state(at_seq, message_id, 'd', {})
  else
    react(at_seq, message_id, state, actor, emoji, op == 'x')
  end
end

-- Appends one stream entry; answers an error if the store refused the first of the call.
local dirty = false
local function add(entry_id, op, actor, target, tail)
  local function xadd()
    local envelope = '\1\1' .. epoch .. pack('>I8', seq + 1) .. entry_id .. id .. pack('>I8', at)
      .. tail
    local args = { 'XADD', log }
    if not dirty then
      if not create then args[3] = 'NOMKSTREAM' end
      args[#args + 1] = 'MAXLEN'
      args[#args + 1] = '~'
      args[#args + 1] = log_max
    end
    local n = #args
    args[n + 1], args[n + 2], args[n + 3] = (seq + 1) .. '-0', 'e', envelope
    if op == 'a' then
      args[n + 4], args[n + 5] = 'a', actor
    elseif op == 'u' then
      args[n + 4], args[n + 5] = 't', target
    end
    return dirty and call(unpack(args)) or try(unpack(args)), envelope
  end
  local added, envelope = xadd()
  if not added then
    resume_from_head()
    added, envelope = xadd()
  elseif added.err and string.find(added.err, 'equal or smaller', 1, true) then
    if resume_from_stream() then
      -- Its newest entries may have been deleted by hand; their ids would be refused for ever.
      call('XSETID', log, seq .. '-0')
    else
      call('UNLINK', log)
      resume_from_head()
    end
    at = math.max(at, now_ms)
    added, envelope = xadd()
  end
  if added.err then return added end
  dirty = true
  if wipe then
    call('UNLINK', changed)
    wipe, changed_from = false, nil
  end
  return nil, envelope
end

local records, envelopes, key_values = {}, {}, {}

-- One entry; answers its record, or an error of the store.
local function append(i)
  local op, entry_id, actor, field = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local content, tail = ARGV[i + 4], ARGV[i + 5]
  local first = field ~= '' and known[field]
  if first then
    if string.sub(first, 33) ~= content then return 'C' .. string.rep(ZERO, 5) end
    return 'D' .. string.sub(first, 1, 32) .. ZERO
  end
  local target, message_id, author, state, refusal
  if EXTRA[op] > 0 then
    target, message_id = tonumber(ARGV[i + 6]), ARGV[i + 7]
    local check = ARGV[i + 8]
    author, state = message(target, message_id)
    if check ~= '0' then
      if not author or (state and string.sub(state, 9, 9) == 'd') then
        refusal = 'N'
      elseif check == '2' and author ~= actor then
        refusal = 'F'
      end
    end
    if op == 'r' and author and not refusal then
      refusal = check_reaction(target, state, actor, ARGV[i + 9])
    end
  end
  if refusal then return refusal .. string.rep(ZERO, 5) end
  local failed, envelope = add(entry_id, op, actor, target, tail)
  if failed then return failed end
  local place = pack('>I8', seq + 1) .. pack('>I8', at) .. epoch .. entry_id
  local record = 'A' .. place .. id
  seq, id = seq + 1, entry_id
  if author then change(op, target, message_id, state, actor, ARGV[i + 9], tail) end
  if field ~= '' then
    known[field] = place .. content
    key_values[#key_values + 1] = field
    key_values[#key_values + 1] = known[field]
  end
  envelopes[#envelopes + 1] = envelope
  return record
end

local i = FIRST
while ARGV[i] do
  local record = append(i)
  if type(record) == 'table' then
    -- Refused before anything was written: certainly not appended.
    return record
  end
  records[#records + 1] = record
  i = i + 6 + EXTRA[ARGV[i]]
end

-- Forgets what has become of messages that no read reaches any more, a bounded piece per call.
local function trim_changed()
  local min = seq - log_max + 1
  if not changed_from or changed_from >= min then return end
  local last = math.min(changed_from + 255, min - 1)
  local fields = {}
  for n = changed_from, last do
    fields[#fields + 1] = n
    fields[#fields + 1] = n .. 'x'
  end
  local values = call('HMGET', changed, unpack(fields))
  for n = changed_from, last do
    local state, tombstone = values[(n - changed_from) * 2 + 1], values[(n - changed_from) * 2 + 2]
    if state and (string.sub(state, 9, 9) ~= 'd' or unpack8('>I8', state, 10) < min) then
      drop_details(n, state)
      call('HDEL', changed, n)
    end
    if tombstone then call('HDEL', changed, tombstone, n .. 'x') end
  end
  changed_from = last + 1
  if call('EXISTS', changed) == 0 then changed_from = nil end
  return true
end

if dirty then
  local trimmed = trim_changed()
  local fields = { 'seq', seq, 'id', id, 'at', at }
  local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  if new_epoch then
    set('epoch', epoch)
    set('start', start)
  end
  if overlay_written or trimmed or new_epoch then
    if changed_from then set('changed_from', changed_from) else call('HDEL', head, 'changed_from') end
  end
  if #key_values > 0 then
    local begun = not keys_start or windows > 0
    if windows > 0 then
      call('UNLINK', prev_keys)
      -- It may have expired by itself; then there is nothing to keep.
      if windows == 1 then try('RENAME', cur, prev_keys) else call('UNLINK', cur) end
      set('keys_prev', 1)
    end
    keys_start = keys_start and keys_start + windows * window or now_ms
    if begun then set('keys_start', keys_start) end
    call('HSET', cur, unpack(key_values))
    if begun then call('PEXPIREAT', cur, keys_start + 2 * window) end
  end
  local renew = not renewed or create or now_ms - renewed > log_ttl / 4
  if renew then set('renewed', now_ms) end
  call('HSET', head, unpack(fields))
  if renew then
    call('PEXPIRE', log, log_ttl)
    call('PEXPIRE', head, 2 * log_ttl)
  end
  if overlay_written or (renew and changed_from) then call('PEXPIRE', changed, log_ttl) end
  if channel ~= '' then
    for n = 1, #envelopes do call('PUBLISH', channel, envelopes[n]) end
  end
end
return pack('>I8', now) .. 'K' .. table.concat(records)
