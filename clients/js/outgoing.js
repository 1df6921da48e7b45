/**
 * Commands with a key that wait for their outcome: sends, edits, deletes, reactions.
 *
 * Owns their order and their age; knows no socket and no clock. Invariant: a command keeps its key
 * and its first attempt for as long as it is here, so a retry can never become a second message.
 *
 * @typedef {object} Command
 * @property {string} key
 * @property {string} room
 * @property {Record<string, unknown>} frame what goes over the wire, without an id
 * @property {number | null} firstAttemptAt null while it has never been sent
 * @property {boolean} inFlight
 * @property {number} notBefore
 * @property {(ok: any) => void} resolve
 * @property {(error: Error) => void} reject
 */

import { ChatError } from "./errors.js";
import { PENDING_MAX } from "./limits.js";

export class Outgoing {
  /** @type {Map<string, Command>} in the order in which they were asked for */
  #commands = new Map();

  get size() {
    return this.#commands.size;
  }

  /**
   * @param {string} op
   * @param {string} room
   * @param {string} key
   * @param {Record<string, unknown>} fields
   * @returns {Promise<any>} the server's `ok`
   * @throws {ChatError} `too_many`, or `conflict` if the key is waiting already
   */
  add(op, room, key, fields) {
    if (this.#commands.has(key)) throw new ChatError("conflict", "a command with this key is waiting already");
    if (this.#commands.size >= PENDING_MAX) {
      throw new ChatError("too_many", `${PENDING_MAX} commands are waiting already`);
    }
    return new Promise((resolve, reject) => {
      const frame = { op, room, key, ...fields };
      this.#commands.set(key, { key, room, frame, firstAttemptAt: null, inFlight: false, notBefore: 0, resolve, reject });
    });
  }

  /**
   * Takes what may go out now, in order, and what is too old to be retried unasked. A command that
   * waits for its turn holds back the later ones of its room, which would otherwise overtake it.
   *
   * @param {number} now
   * @param {number} keyWindowMs
   * @returns {{ready: Command[], expired: Command[]}}
   */
  take(now, keyWindowMs) {
    const ready = [];
    const expired = [];
    const held = new Set();
    for (const command of this.#commands.values()) {
      if (command.inFlight) continue;
      if (command.firstAttemptAt !== null && now - command.firstAttemptAt >= keyWindowMs) {
        expired.push(command);
        this.#commands.delete(command.key);
      } else if (held.has(command.room) || command.notBefore > now) {
        held.add(command.room);
      } else {
        command.inFlight = true;
        command.firstAttemptAt ??= now;
        ready.push(command);
      }
    }
    return { ready, expired };
  }

  /**
   * When `take` may have more, or null if nothing waits for a time. Of each room its first command
   * counts: the time of one that is held back may be over, and there is still nothing to take.
   */
  get nextAt() {
    const first = new Map();
    for (const { inFlight, room, notBefore } of this.#commands.values()) {
      if (!inFlight && !first.has(room)) first.set(room, notBefore);
    }
    return first.size > 0 ? Math.min(...first.values()) : null;
  }

  /**
   * The outcome is known.
   *
   * @param {Command} command
   */
  settle(command) {
    if (this.#commands.get(command.key) === command) this.#commands.delete(command.key);
  }

  /**
   * Try again, not before a time.
   *
   * @param {Command} command
   * @param {number} notBefore
   */
  defer(command, notBefore) {
    command.inFlight = false;
    command.notBefore = notBefore;
  }

  /** The connection is gone: whatever was under way has an unknown outcome and goes out again. */
  disconnected() {
    for (const command of this.#commands.values()) {
      command.inFlight = false;
      command.notBefore = 0;
    }
  }

  /** The largest command under way: what a server means by "frame too large". */
  get largestInFlight() {
    const size = (/** @type {Command} */ command) => JSON.stringify(command.frame).length;
    const inFlight = [...this.#commands.values()].filter((command) => command.inFlight);
    return inFlight.reduce((/** @type {Command | null} */ a, b) => (a && size(a) >= size(b) ? a : b), null);
  }

  /** Takes all commands out, for a client that closes. */
  drain() {
    const all = [...this.#commands.values()];
    this.#commands.clear();
    return all;
  }
}
