/**
 * Sees commands with a key through: sends them in order, again after a reconnect, a busy server or
 * a silence, and gives up only on a final answer or on age.
 */

import { ChatError } from "./errors.js";
import { KEY_WINDOW_MS, PUT_OFF_MS_MAX, RETRY_AFTER_MS } from "./limits.js";
import { Outgoing } from "./outgoing.js";

/** @typedef {import("./connection.js").Connection} Connection */

export class Sender {
  #outgoing = new Outgoing();
  #clock;
  /** @type {Connection | null} */
  #connection = null;
  #keyWindowMs = KEY_WINDOW_MS;
  /** @type {any} */
  #timer = null;

  /** @param {import("./connection.js").Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * @param {string} op
   * @param {string} room
   * @param {string} key
   * @param {Record<string, unknown>} fields
   * @returns {Promise<any>} the server's `ok`
   */
  async submit(op, room, key, fields) {
    const done = this.#outgoing.add(op, room, key, fields);
    this.#flush();
    return done;
  }

  /**
   * A connection is there: whatever waits goes out.
   *
   * @param {Connection} connection
   * @param {number} [keyWindowMs]
   */
  start(connection, keyWindowMs = KEY_WINDOW_MS) {
    this.#connection = connection;
    this.#keyWindowMs = keyWindowMs;
    this.#flush();
  }

  /** The connection is gone: whatever was under way waits for the next one. */
  stop() {
    this.#connection = null;
    this.#clock.clearTimeout(this.#timer);
    this.#outgoing.disconnected();
  }

  /** The server closed over a frame that is too large: that one is never sent again. */
  refuseLargest() {
    const command = this.#outgoing.largestInFlight;
    if (!command) return;
    this.#outgoing.settle(command);
    command.reject(new ChatError("too_large", "the server does not take a message of this size"));
  }

  /** @param {ChatError} error for all that waits */
  abandon(error) {
    this.#outgoing.drain().forEach((command) => command.reject(error));
  }

  #flush() {
    const connection = this.#connection;
    if (!connection) return;
    this.#clock.clearTimeout(this.#timer);
    const now = this.#clock.now();
    const { ready, expired } = this.#outgoing.take(now, this.#keyWindowMs);
    for (const command of expired) {
      command.reject(new ChatError("expired", "waited for so long that sending it again might double it"));
    }
    for (const command of ready) this.#transmit(connection, command);
    const nextAt = this.#outgoing.nextAt;
    if (nextAt !== null) this.#timer = this.#clock.setTimeout(() => this.#flush(), Math.max(0, nextAt - now));
  }

  /**
   * @param {Connection} connection
   * @param {import("./outgoing.js").Command} command
   */
  #transmit(connection, command) {
    const accepted = (/** @type {any} */ ok) => {
      this.#outgoing.settle(command);
      command.resolve(ok);
    };
    const refused = (/** @type {ChatError} */ error) => {
      if (error.code === "disconnected") return;
      const isLongOff = error.code === "rate_limited" && (error.retryAfterMs ?? 0) > PUT_OFF_MS_MAX;
      if ((error.isRetryable && !isLongOff) || error.code === "timeout") {
        this.#outgoing.defer(command, this.#clock.now() + (error.retryAfterMs ?? RETRY_AFTER_MS));
        return this.#flush();
      }
      this.#outgoing.settle(command);
      command.reject(error);
    };
    connection.ask(command.frame, accepted, refused);
  }
}
