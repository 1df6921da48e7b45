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
local arg, FIRST = ARGV, 9
local log_max, channel, fresh = tonumber(arg[2]), arg[5], arg[6]

-- Arguments of an entry, by its op.
local function size(op)
  if op == 'a' or op == 'o' then return 6 end
  return (op == 'r' or op == 'x') and 10 or 9
end

if now_us > tonumber(arg[1]) then return pack('>I8', now_us) .. 'L' end

local h = call('HMGET', head, 'epoch', 'seq', 'id', 'at', 'start', 'keys_start', 'keys_prev',
  'changed_from', 'renewed')
local epoch, seq, id, at, start = h[1], tonumber(h[2]), h[3], tonumber(h[4]), h[5]
local keys_start, changed_from, renewed = tonumber(h[6]), tonumber(h[8]), tonumber(h[9])
local new_epoch, wipe, create, floor = false, false, seq == 0, 0

-- Goes on from the newest entry of the stream; false if it has none.
local function resume_from_stream()
  local last_seq, last_id, last_at = newest(log)
  if not last_seq then return false end
  new_epoch, epoch, start = true, fresh, last_seq + 1
  seq, id, at = last_seq, last_id, math.max(last_at, now_ms)
  changed_from, floor = oldest(log), floor_of(log, last_seq)
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
    seq, id, at = 0, fresh, 0
    resume_from_head()
  end
end
if at < now_ms then at = now_ms end

-- Which keys are known, and where. Those of the window before last are not asked any more.
local window = tonumber(arg[4])
local windows = keys_start and math.floor((now_ms - keys_start) / window) or 0
local ask_prev = windows < 1 and (h[7] or not keys_start)
local known = {}
local function find_keys()
  local fields, n = {}, FIRST
  while arg[n] do
    if arg[n + 3] ~= '' then fields[#fields + 1] = arg[n + 3] end
    n = n + size(arg[n])
  end
  for _, hash in ipairs({ cur, ask_prev and prev_keys or nil }) do
    if not fields[1] then return end
    local missing, values = {}, call('HMGET', hash, unpack(fields))
    for k = 1, #fields do
      if values[k] then known[fields[k]] = values[k] else missing[#missing + 1] = fields[k] end
    end
    fields = missing
  end
end
if windows > 1 then
  -- None is.
elseif arg[FIRST + size(arg[FIRST])] then
  find_keys()
elseif arg[FIRST + 3] ~= '' then
  -- A message alone, as most are.
  local field = arg[FIRST + 3]
  known[field] = call('HGET', cur, field) or (ask_prev and call('HGET', prev_keys, field)) or nil
end

-- The first XADD of a call is the one that the store may refuse, answered as an error.
local dirty = false
local function xadd(entry_id, op, actor, target, tail)
  local number = format('%d-0', seq + 1)
  local envelope = pack('>BBc8I8c8c8I8c0', 1, 1, epoch, seq + 1, entry_id, id, at, tail)
  -- Every entry has a second field, so that the stream keeps their names once.
  local name, value = '-', ''
  if op == 'a' then name, value = 'a', actor elseif op == 'u' then name, value = 't', target end
  if dirty then
    return call('XADD', log, number, 'e', envelope, name, value), envelope
  elseif create then
    return try('XADD', log, number, 'e', envelope, name, value), envelope
  end
  return try('XADD', log, 'NOMKSTREAM', 'MAXLEN', '~', arg[2], number, 'e', envelope, name,
    value), envelope
end

-- Appends one stream entry; answers its envelope, and an error if the store refused.
local function add(entry_id, op, actor, target, tail)
  local added, envelope = xadd(entry_id, op, actor, target, tail)
  if not added then
    resume_from_head()
    added, envelope = xadd(entry_id, op, actor, target, tail)
  elseif added.err and string.find(added.err, 'equal or smaller', 1, true) then
    if resume_from_stream() then
      -- Its newest entries may have been deleted by hand; their ids would be refused for ever.
      call('XSETID', log, format('%d-0', seq))
    else
      call('UNLINK', log)
      resume_from_head()
    end
    added, envelope = xadd(entry_id, op, actor, target, tail)
  end
  if added.err then return nil, added end
  dirty = true
  if wipe then
    call('UNLINK', changed)
    wipe, changed_from = false, nil
  end
  return envelope
end

-- What becomes of messages. Made only for calls that change some.
--
-- The state of a message is: its id, a flag (d deleted, e edited, - neither), the seq of the last
-- change, and its emoji, each behind its length. The users of each, between blanks, are in a field
-- of their own; so is the newest text.
local function make_changes()
  local emoji_max, users_max = tonumber(arg[7]), tonumber(arg[8])
  local changes = {}

  local function emoji_of(state)
    local list, n = {}, 18
    while state and n <= #state do
      local length = string.byte(state, n)
      list[#list + 1] = sub(state, n + 1, n + length)
      n = n + 1 + length
    end
    return list
  end

  local function users_field(target, emoji) return target .. 'r' .. emoji end

  -- Author and state of a message; nothing if there is no such message.
  function changes.find(target, message)
    if tonumber(target) < seq - log_max + 1 then return nil end
    local found = call('XRANGE', log, target .. '-0', target .. '-0')[1]
    if not found or found[2][3] ~= 'a' or sub(found[2][2], 19, 26) ~= message then return nil end
    return found[2][4], call('HGET', changed, target)
  end

  function changes.is_deleted(state) return state and sub(state, 9, 9) == 'd' end

  -- Why a reaction does not fit.
  function changes.refuse_reaction(target, state, actor, emoji)
    local list = emoji_of(state)
    for _, have in ipairs(list) do
      if have == emoji then
        local users = call('HGET', changed, users_field(target, emoji)) or ' '
        if string.find(users, ' ' .. actor .. ' ', 1, true) then return nil end
        local _, blanks = string.gsub(users, ' ', ' ')
        return blanks > users_max and 'U' or nil
      end
    end
    return #list >= emoji_max and 'E' or nil
  end

  local function put_state(target, message, flag, list)
    local parts = { message, flag, pack('>I8', seq) }
    for _, emoji in ipairs(list) do parts[#parts + 1] = string.char(#emoji) .. emoji end
    call('HSET', changed, target, table.concat(parts))
  end

  function changes.drop_details(target, state)
    call('HDEL', changed, target .. 'e')
    for _, emoji in ipairs(emoji_of(state)) do call('HDEL', changed, users_field(target, emoji)) end
  end

  local function react(target, message, state, actor, emoji, removed)
    local list, field = emoji_of(state), users_field(target, emoji)
    local users = call('HGET', changed, field) or ' '
    local from, to = string.find(users, ' ' .. actor .. ' ', 1, true)
    if removed and from then
      users = sub(users, 1, from) .. sub(users, to + 1)
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
    put_state(target, message, state and sub(state, 9, 9) or '-', list)
  end

  -- Carries out what the entry that has just become number seq changes.
  function changes.apply(op, target, message, state, actor, emoji, tail)
    if changes.is_deleted(state) then return end
    local number = tonumber(target)
    if not changed_from or number < changed_from then changed_from = number end
    if op == 'u' then
      call('HSET', changed, target .. 'e', pack('>I8', at) .. tail)
      put_state(target, message, 'e', emoji_of(state))
    elseif op == 'd' then
      changes.drop_details(target, state)
      -- The tombstone is kept for as long as this entry: entries with the text may outlive the
      -- message's own.
      call('HSET', changed, format('%dx', seq), target)
      put_state(target, message, 'd', {})
    else
      react(target, message, state, actor, emoji, op == 'x')
    end
  end

  return changes
end
local changes

local records, envelopes, key_values = {}, {}, {}

-- One entry; answers its record, and an error of the store.
local function append(n)
  local op, entry_id, actor, field = arg[n], arg[n + 1], arg[n + 2], arg[n + 3]
  local content, tail = arg[n + 4], arg[n + 5]
  local first = field ~= '' and known[field]
  if first then
    if sub(first, 33) ~= content then return 'C' .. string.rep('\0', 40) end
    return 'D' .. sub(first, 1, 32) .. string.rep('\0', 8)
  end
  local target, message, author, state = arg[n + 6], arg[n + 7], nil, nil
  local changing = size(op) > 6
  if changing then
    changes = changes or make_changes()
    local check, refusal = arg[n + 8], nil
    author, state = changes.find(target, message)
    if check ~= '0' and (not author or changes.is_deleted(state)) then
      refusal = 'N'
    elseif check == '2' and author ~= actor then
      refusal = 'F'
    elseif op == 'r' and author then
      refusal = changes.refuse_reaction(target, state, actor, arg[n + 9])
    end
    if refusal then return refusal .. string.rep('\0', 40) end
  end
  local envelope, refused = add(entry_id, op, actor, target, tail)
  if refused then return nil, refused end
  local prev = id
  seq, id = seq + 1, entry_id
  local place = pack('>I8I8c8c8', seq, at, epoch, entry_id)
  if changing and author then
    changes.apply(op, target, message, state, actor, arg[n + 9], tail)
  end
  if field ~= '' then
    local value = place .. content
    known[field] = value
    key_values[#key_values + 1] = field
    key_values[#key_values + 1] = value
  end
  envelopes[#envelopes + 1] = envelope
  return 'A' .. place .. prev
end

local i = FIRST
while arg[i] do
  local record, refused = append(i)
  -- Refused before anything was written: certainly not appended.
  if refused then return refused end
  records[#records + 1] = record
  i = i + size(arg[i])
end

-- Forgets what has become of messages that no read reaches any more, a bounded piece per call.
local function trim_changed(min)
  local last = math.min(changed_from + 255, min - 1)
  local wanted = {}
  for n = changed_from, last do
    wanted[#wanted + 1] = format('%d', n)
    wanted[#wanted + 1] = format('%dx', n)
  end
  local values = call('HMGET', changed, unpack(wanted))
  changes = changes or make_changes()
  for n = 1, #wanted, 2 do
    local state, tombstone = values[n], values[n + 1]
    if state and (not changes.is_deleted(state) or unpack8('>I8', state, 10) < min) then
      changes.drop_details(wanted[n], state)
      call('HDEL', changed, wanted[n])
    end
    if tombstone then call('HDEL', changed, tombstone, wanted[n + 1]) end
  end
  changed_from = last + 1
  if call('EXISTS', changed) == 0 then changed_from = nil end
end

-- Keeps the keys of this call; begins a window where the last one ended, and answers its start.
local function begin_window()
  if windows > 0 then
    call('UNLINK', prev_keys)
    -- It may have expired by itself; then there is nothing to keep.
    if windows == 1 then try('RENAME', cur, prev_keys) else call('UNLINK', cur) end
  end
  local begun = keys_start and keys_start + windows * window or now_ms
  call('HSET', cur, unpack(key_values))
  call('PEXPIREAT', cur, format('%d', begun + 2 * window))
  return begun
end

-- What changes rarely in the head.
local function put_rare_fields(begin, renew, log_ttl)
  if new_epoch then call('HSET', head, 'epoch', epoch, 'start', format('%d', start)) end
  if floor > 0 then call('HSET', head, 'floor', format('%d', floor)) end
  if changed_from then
    call('HSET', head, 'changed_from', format('%d', changed_from))
  else
    call('HDEL', head, 'changed_from')
  end
  if begin then
    call('HSET', head, 'keys_start', format('%d', begin_window()))
    -- A head that was lost has not lost the keys of the window before its own.
    if windows > 0 or call('EXISTS', prev_keys) == 1 then call('HSET', head, 'keys_prev', '1') end
  end
  if renew then
    call('HSET', head, 'renewed', format('%d', now_ms))
    call('PEXPIRE', log, arg[3])
    call('PEXPIRE', head, format('%d', 2 * log_ttl))
  end
  if changed_from then call('PEXPIRE', changed, arg[3]) end
end

if dirty then
  local log_ttl, trimmed_from = tonumber(arg[3]), changed_from
  if changed_from and changed_from <= seq - log_max then trim_changed(seq - log_max + 1) end
  call('HSET', head, 'seq', format('%d', seq), 'id', id, 'at', format('%d', at))
  local begin = key_values[1] and (not keys_start or windows > 0)
  local renew = not renewed or create or now_ms - renewed > log_ttl / 4
  if new_epoch or begin or renew or changes or trimmed_from ~= changed_from then
    put_rare_fields(begin, renew, log_ttl)
  end
  if key_values[1] and not begin then call('HSET', cur, unpack(key_values)) end
  if channel ~= '' then
    for n = 1, #envelopes do call('PUBLISH', channel, envelopes[n]) end
  end
end
return pack('>I8', now_us) .. 'K' .. table.concat(records)
