-- Counts what a user has not read of a room, from the newest message on. Writes nothing.
--
-- KEYS  log, head, changed
-- ARGV  user, the seq up to which he has read, below which seq to look (empty: from the newest on),
--       most messages that still count, log_max, most bytes that are handed back, entries per step,
--       most entries that are looked at, 1 if a call before this one has found the newest message
--
-- Answers where to go on (a seq; empty if all is counted), how many messages are unread, the newest
-- message (as in overlay.lua; nothing if it was not found yet, or in a call before this one), and of
-- the unread ones those in which the user's name occurs: their envelope, state and newest text.
-- Whether he is mentioned in them is for the caller to say, who can read them.
-- Without a head: only 1 if there is a stream (then the head is to be set up again), else 0.
local log, head, changed = KEYS[1], KEYS[2], KEYS[3]
local user, read, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local log_max, bytes_max = tonumber(ARGV[5]), tonumber(ARGV[6])
local step, scan_max = tonumber(ARGV[7]), tonumber(ARGV[8])

local h = call('HMGET', head, 'seq', 'changed_from')
if not h[1] then return { call('EXISTS', log) } end
local last = tonumber(h[1])
local first = math.max(1, last - log_max + 1)
local newest = ARGV[9] == '1'
if ARGV[3] ~= '' then last = math.min(last, tonumber(ARGV[3]) - 1) end

local unread, newest_message, named, bytes, scanned = 0, false, {}, 0, 0

-- Counts a message. Answers whether older ones can still count: his own has been read, and all
-- before it.
local function count(at_seq, author, envelope)
  if at_seq <= read or author == user or unread >= max then return false end
  local state, text = h[2] and call('HGET', changed, at_seq) or '', ''
  -- Of another message that was at this seq before a rollback.
  if state ~= '' and sub(state, 1, 8) ~= sub(envelope, 19, 26) then state = '' end
  local flag = sub(state, 9, 9)
  if flag == 'd' then return true end
  unread = unread + 1
  if flag == 'e' then text = call('HGET', changed, at_seq .. 'e') or '' end
  if string.find(text == '' and envelope or text, user, 1, true) then
    named[#named + 1] = { envelope, state, text }
    bytes = bytes + #envelope + #text
  end
  return true
end

while first <= last do
  if newest and last <= read then break end
  if scanned >= scan_max or bytes >= bytes_max then
    return { last + 1, unread, newest_message, unpack(named) }
  end
  -- Most users have read nearly all.
  local wanted = math.max(4, math.min(step, last - read))
  local found = call('XREVRANGE', log, last .. '-0', first .. '-0', 'COUNT', wanted)
  if #found == 0 then break end
  scanned = scanned + #found
  for _, entry in ipairs(found) do
    local at_seq = tonumber(string.match(entry[1], '^%d+'))
    local fields = entry[2]
    if fields[3] == 'a' then
      if not newest then
        newest_message, newest = overlay(changed, h[2], at_seq, fields[2]), true
      end
      if not count(at_seq, fields[4], fields[2]) then
        return { '', unread, newest_message, unpack(named) }
      end
    end
    last = at_seq - 1
  end
end
return { '', unread, newest_message, unpack(named) }
