/**
 * The rooms that a client wants to be in, and how far it has come in each.
 *
 * Invariant: a position moves only by a join result or by an event of a room that is joined.
 *
 * @typedef {object} WantedRoom
 * @property {string} room
 * @property {string | null} position
 * @property {number | undefined} history how many messages the first page should have
 * @property {boolean} joined on the present connection
 * @property {boolean} asked a join is under way on the present connection
 * @property {string | null} owed a page: where a `reset` put the room, until what is there has come
 * @property {{resolve: () => void, reject: (error: Error) => void}[]} waiters
 */

import { HELLO_ROOMS_BYTES_MAX } from "./limits.js";

export class Rooms {
  /** @type {Map<string, WantedRoom>} */
  #wanted = new Map();

  /** @param {string} room */
  find(room) {
    return this.#wanted.get(room);
  }

  all() {
    return [...this.#wanted.values()];
  }

  /**
   * @param {string} room
   * @param {{position?: string | null, history?: number}} options
   * @returns {WantedRoom}
   */
  want(room, { position = null, history } = {}) {
    let wanted = this.#wanted.get(room);
    if (!wanted) {
      wanted = { room, position, history, joined: false, asked: false, owed: null, waiters: [] };
      this.#wanted.set(room, wanted);
    }
    return wanted;
  }

  /**
   * @param {string} room
   * @param {Error} reason for those who wait for the room
   */
  drop(room, reason) {
    const wanted = this.#wanted.get(room);
    this.#wanted.delete(room);
    wanted?.waiters.splice(0).forEach((waiter) => waiter.reject(reason));
  }

  /**
   * The `rooms` of a `hello`: as many as surely fit in a frame. The others join afterwards.
   *
   * @returns {Record<string, string | null>}
   */
  forHello() {
    /** @type {[string, string | null][]} */
    const rooms = [];
    let bytes = 0;
    for (const wanted of this.#wanted.values()) {
      const position = resumable(wanted);
      bytes += wanted.room.length + (position?.length ?? 4) + 8;
      // A `hello` cannot carry the size of a page, so such a room asks for itself.
      const ownPage = position === null && wanted.history !== undefined;
      if (ownPage || bytes > HELLO_ROOMS_BYTES_MAX) continue;
      wanted.asked = true;
      rooms.push([wanted.room, position]);
    }
    // Entries rather than assignments: a room may be called `__proto__`.
    return Object.fromEntries(rooms);
  }

  /**
   * @param {{event?: string, room?: unknown, position?: unknown}} event
   * @returns {boolean} whether it counts: an entry of a room that is not joined comes again with the
   *   join, which would leave a hole behind a position that had moved past it
   */
  observe(event) {
    if (typeof event.position !== "string" || typeof event.room !== "string") return true;
    const wanted = this.#wanted.get(event.room);
    if (!wanted?.joined) return false;
    wanted.position = event.position;
    if (event.event === "reset") wanted.owed = event.position;
    return true;
  }

  /** The next connection starts with nothing joined. */
  disconnected() {
    for (const wanted of this.#wanted.values()) {
      wanted.joined = false;
      wanted.asked = false;
    }
  }

  /** The next join brings a fresh page instead of what was missed. */
  forgetPositions() {
    for (const wanted of this.#wanted.values()) wanted.position = null;
  }
}

/**
 * Where a join goes on; null if what is before it has to come as a page.
 *
 * @param {WantedRoom} wanted
 */
export function resumable({ owed, position }) {
  return owed === null ? position : null;
}
