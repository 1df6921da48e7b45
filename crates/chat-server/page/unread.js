/**
 * What the user has not read of one room, kept up by what the room's connection is told.
 *
 * The server counts; between two of its answers this follows the events: what others say above the
 * marker, and what is deleted or edited of it.
 */

/** @typedef {import("../client/types.js").Message} Message */
/** @typedef {import("../client/types.js").WireEvent} WireEvent */

export class Unread {
  /** Up to where the user has read, on any of his devices, as far as it is known here. */
  seq = 0;
  /** The newest that is known here: what nothing is unread of was read up to there. */
  #newest = 0;
  unread = 0;
  mentions = 0;

  /**
   * As a join result has it. A server that does not say (the user is no member) changes nothing.
   *
   * @param {import("../client/types.js").JoinResult} result
   */
  joined({ unread = this.unread, mentions = this.mentions, read_seq = this.seq, messages, entries }) {
    this.#newest = messages?.at(-1)?.seq ?? entries?.at(-1)?.seq ?? this.#newest;
    Object.assign(this, { seq: read_seq, unread, mentions });
  }

  /**
   * @param {WireEvent} event
   * @param {Message | undefined} before the message that it changes, as it was
   * @param {string} me
   * @returns {boolean} whether the counts may be others now
   */
  follow(event, before, me) {
    switch (event.event) {
      case "unread_count":
        Object.assign(this, { unread: event.unread, mentions: event.mentions });
        if (event.unread === 0) this.seq = Math.max(this.seq, this.#newest);
        return true;
      case "reset":
        // The seqs of a log that was lost are given again, to what nobody has read.
        if (event.reason === "lost") this.seq = this.#newest = 0;
        return false;
      case "message_added":
        this.#newest = Math.max(this.#newest, event.message.seq);
        if (event.message.from === me) this.readUpTo(event.message.seq);
        else this.#count(event.message, me, 1);
        return true;
      case "message_deleted":
        if (before) this.#count(before, me, -1);
        return before !== undefined;
      case "message_updated":
        if (!before) return false;
        this.#count(before, me, -1);
        this.#count({ ...before, mentions: event.mentions }, me, 1);
        return true;
      default:
        return false;
    }
  }

  /** @param {number} seq */
  readUpTo(seq) {
    this.seq = Math.max(this.seq, seq);
    this.unread = this.mentions = 0;
  }

  /**
   * @param {Message} message
   * @param {string} me
   * @param {1 | -1} by
   */
  #count(message, me, by) {
    if (message.from === me || message.seq <= this.seq || message.deleted) return;
    this.unread = Math.max(0, this.unread + by);
    if (message.mentions?.includes(me)) this.mentions = Math.max(0, this.mentions + by);
  }
}
