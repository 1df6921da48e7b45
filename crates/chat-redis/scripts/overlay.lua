-- Put before the scripts that read messages as they stand now.

-- An added message and what has become of it, if any message of the room was ever changed: its
-- envelope, its state (as in append.lua; empty if it was never changed), its newest text (empty
-- likewise), and its reactions, emoji and users in turn.
local function overlay(changed, any, at_seq, envelope)
  local state = any and call('HGET', changed, at_seq)
  if not state then return { envelope, '', '', {} } end
  local text = sub(state, 9, 9) == 'e' and call('HGET', changed, at_seq .. 'e') or ''
  local reactions, i = {}, 18
  while i <= #state do
    local length = string.byte(state, i)
    local emoji = sub(state, i + 1, i + length)
    reactions[#reactions + 1] = emoji
    reactions[#reactions + 1] = call('HGET', changed, at_seq .. 'r' .. emoji) or ''
    i = i + 1 + length
  end
  return { envelope, state, text, reactions }
end
