/**
 * What one room looks like: its messages in seq order, who is there, who types.
 *
 * No socket, no clock, no page: fed with the client's `page`, `joined` and `event`, it answers with
 * what changed, so that whoever draws it touches nothing else.
 *
 * Invariant: `messages` is sorted by seq, and holds each id once.
 *
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").WireEvent} WireEvent
 *
 * @typedef {object} Change
 * @property {boolean} all everything is new: draw again
 * @property {Set<string>} messages ids that are new or changed
 * @property {boolean} occupants
 * @property {boolean} typing
 */

import { OCCUPANTS_MAX, REACTION_USERS_MAX, TYPING_MS } from "./limits.js";

export class RoomState {
  /** @type {Map<string, Message>} */
  #byId = new Map();
  /** @type {Map<string, number>} user → when it ends */
  #typing = new Map();

  /** @param {string} room */
  constructor(room) {
    this.room = room;
    /** @type {Message[]} */
    this.messages = [];
    /** Whether there may be older messages than these. */
    this.hasOlder = false;
    /** @type {string[]} the occupants known by name, sorted */
    this.occupants = [];
    this.occupantCount = 0;
  }

  /** @param {string} id */
  message(id) {
    return this.#byId.get(id);
  }

  /** Who types, in the order in which they began. */
  get typists() {
    return [...this.#typing.keys()];
  }

  /**
   * A fresh page takes the place of all that was there: what lies between is not known.
   *
   * @param {{messages: Message[], more?: boolean, merge?: boolean}} page
   * @returns {Change}
   */
  applyPage({ messages, more, merge = false }) {
    if (!merge) this.#clear();
    for (const message of messages) this.#put(message);
    // Only `history` says so for sure; seq 1 is the first entry of any room.
    this.hasOlder = more ?? (this.messages[0]?.seq ?? 1) > 1;
    return { ...nothing(), all: true };
  }

  /**
   * Older messages, as `history` with `before` answers them.
   *
   * @param {{messages: Message[], more: boolean}} page
   * @param {number} [before] what was asked for: if the room was trimmed, or begun afresh, while the
   *   answer was on its way, the page would leave a hole behind it, and is not taken
   * @returns {Change}
   */
  applyOlder({ messages, more }, before = this.messages[0]?.seq) {
    const change = nothing();
    if (before !== this.messages[0]?.seq) return change;
    for (const message of messages) if (this.#put(message)) change.messages.add(message.id);
    this.hasOlder = more;
    return change;
  }

  /**
   * Who is there, as a join result says it.
   *
   * @param {import("./types.js").JoinResult} result
   * @returns {Change}
   */
  applyJoined(result) {
    // Typing is not replayed, so what was known of it is stale.
    this.#typing.clear();
    this.#setOccupants(result.occupants?.count, result.occupants?.occupants);
    return { ...nothing(), occupants: true, typing: true };
  }

  /**
   * @param {WireEvent} event
   * @param {number} now
   * @returns {Change}
   */
  apply(event, now) {
    const change = nothing();
    if (event.room !== this.room) return change;
    switch (event.event) {
      case "message_added":
        if (this.#put(event.message)) change.messages.add(event.message.id);
        change.typing = this.#typing.delete(event.message.from);
        break;
      case "message_updated":
      case "message_deleted":
      case "message_reacted":
        if (this.#changeMessage(event)) change.messages.add(event.message_id);
        break;
      case "user_joined":
      case "user_left":
        change.occupants = this.#move(event.user, event.event === "user_joined");
        if (event.event === "user_left") change.typing = this.#typing.delete(event.user);
        break;
      case "occupancy":
        this.#setOccupants(event.count, event.occupants);
        change.occupants = true;
        break;
      case "reset":
        this.#clear();
        this.hasOlder = true;
        change.all = true;
        break;
      case "typing":
        change.typing = this.#type(event.user, event.active, now);
        break;
    }
    return change;
  }

  /**
   * Ends typing that was not renewed.
   *
   * @param {number} now
   * @returns {boolean} whether somebody stopped
   */
  expire(now) {
    const before = this.#typing.size;
    for (const [user, until] of this.#typing) if (until <= now) this.#typing.delete(user);
    return this.#typing.size !== before;
  }

  /**
   * Forgets the oldest messages, which `history` has.
   *
   * @param {number} max
   * @returns {string[]} ids of those that are gone
   */
  trim(max) {
    const gone = this.messages.splice(0, Math.max(0, this.messages.length - max));
    gone.forEach((message) => this.#byId.delete(message.id));
    if (gone.length > 0) this.hasOlder = true;
    return gone.map((message) => message.id);
  }

  #clear() {
    this.messages = [];
    this.#byId.clear();
  }

  /**
   * @param {Message} message
   * @returns {boolean} whether it says anything new
   */
  #put(message) {
    const known = this.#byId.get(message.id);
    if (known && changedSeq(known) >= changedSeq(message)) return false;
    this.#byId.set(message.id, message);
    const at = indexOfSeq(this.messages, message.seq);
    this.messages.splice(at, known ? 1 : 0, message);
    return true;
  }

  /** @param {WireEvent} event */
  #changeMessage(event) {
    const message = this.#byId.get(event.message_id);
    const seq = /** @type {number} */ (event.seq);
    // A page may hold this change already, and a message that is gone has nothing left to change.
    if (!message || seq <= changedSeq(message) || isDeleted(message)) return false;
    const changed = { ...(applied(message, event)), changed_seq: seq };
    this.#byId.set(message.id, changed);
    this.messages[indexOfSeq(this.messages, message.seq)] = changed;
    return true;
  }

  /**
   * @param {unknown} count
   * @param {unknown} occupants absent where the room is too large to name them
   */
  #setOccupants(count, occupants) {
    const names = Array.isArray(occupants) ? occupants.map((occupant) => occupant.user) : [];
    this.occupants = names.slice(0, OCCUPANTS_MAX).sort();
    this.occupantCount = typeof count === "number" ? count : names.length;
  }

  /**
   * @param {string} user
   * @param {boolean} isHere
   */
  #move(user, isHere) {
    const known = this.occupants.includes(user);
    if (isHere && known) return false;
    if (isHere && this.occupants.length < OCCUPANTS_MAX) this.occupants = [...this.occupants, user].sort();
    if (!isHere) this.occupants = this.occupants.filter((other) => other !== user);
    this.occupantCount = Math.max(this.occupants.length, this.occupantCount + (isHere ? 1 : -1));
    return true;
  }

  /**
   * @param {string} user
   * @param {boolean} active
   * @param {number} now
   */
  #type(user, active, now) {
    if (!active) return this.#typing.delete(user);
    const isNew = !this.#typing.has(user);
    this.#typing.set(user, now + TYPING_MS);
    return isNew;
  }
}

/**
 * @param {Message} message
 * @returns {boolean}
 */
export function isDeleted(message) {
  return message.deleted === true || message.text === undefined || message.text === null;
}

/** @returns {Change} */
function nothing() {
  return { all: false, messages: new Set(), occupants: false, typing: false };
}

/** @param {Message} message */
function changedSeq(message) {
  return message.changed_seq ?? message.seq;
}

/**
 * @param {Message} message
 * @param {WireEvent} event
 * @returns {Message}
 */
function applied(message, event) {
  switch (event.event) {
    case "message_updated":
      // An edit of a message that was deleted meanwhile comes without its text.
      if (typeof event.text !== "string") return erased(message);
      return { ...message, text: event.text, mentions: event.mentions, edited_at_ms: event.edited_at_ms };
    case "message_deleted":
      return erased(message);
    default:
      return { ...message, reactions: reacted(message.reactions ?? {}, event) };
  }
}

/**
 * @param {Message} message
 * @returns {Message}
 */
function erased({ id, room, seq, from, sent_at_ms }) {
  return { id, room, seq, from, sent_at_ms, deleted: true };
}

/**
 * @param {Record<string, import("./types.js").Reaction>} reactions
 * @param {WireEvent} event
 */
function reacted(reactions, { emoji, user, removed }) {
  const { [emoji]: known, ...others } = reactions;
  // An emoji is any short text, also the name of something that every object has.
  const old = Object.hasOwn(reactions, emoji) ? known : { count: 0, users: [] };
  const isNamed = old.users.includes(user);
  if (removed) {
    // Somebody who is not named may still be counted, but only if not all are named.
    const isCounted = isNamed || old.count > old.users.length;
    const count = old.count - (isCounted ? 1 : 0);
    if (count <= 0) return others;
    return { ...others, [emoji]: { count, users: old.users.filter((other) => other !== user) } };
  }
  if (isNamed) return reactions;
  const users = old.users.length < REACTION_USERS_MAX ? [...old.users, user] : old.users;
  return { ...others, [emoji]: { count: old.count + 1, users } };
}

/**
 * @param {Message[]} messages in seq order
 * @param {number} seq
 * @returns {number} where a message with this seq is, or belongs
 */
function indexOfSeq(messages, seq) {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (messages[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
