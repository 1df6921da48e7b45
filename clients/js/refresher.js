/**
 * Gives the server a new token before the old one ends, so that the connection outlives it. Where
 * that fails, the server ends the connection (close code 4002) and the client comes back with another.
 */

import { REFRESH_AHEAD_MS, REFRESH_LEAST_MS, TIMER_MS_MAX } from "./limits.js";

/** @typedef {import("./connection.js").Connection} Connection */

export class Refresher {
  #clock;
  #newToken;
  #renewed;
  /** @type {Connection | null} */
  #connection = null;
  /** How far the server's clock is ahead of the one here, which may be wrong. */
  #offsetMs = 0;
  /** @type {any} */
  #timer = null;

  /**
   * @param {import("./connection.js").Clock} clock
   * @param {() => Promise<string>} newToken
   * @param {(token: string) => void} renewed told which token the connection has now
   */
  constructor(clock, newToken, renewed) {
    this.#clock = clock;
    this.#newToken = newToken;
    this.#renewed = renewed;
  }

  /**
   * @param {Connection} connection
   * @param {number} expiresAtMs when its token ends, by the server's clock
   */
  start(connection, expiresAtMs) {
    this.#connection = connection;
    const told = (/** @type {any} */ { now_ms }) => {
      this.#offsetMs = now_ms - this.#clock.now();
      this.#plan(connection, expiresAtMs);
    };
    connection.ask({ op: "ping" }, told, () => {});
  }

  /** The connection is gone; the next one has a token of its own. */
  stop() {
    this.#connection = null;
    this.#clock.clearTimeout(this.#timer);
  }

  /**
   * @param {Connection} connection
   * @param {number} expiresAtMs
   */
  #plan(connection, expiresAtMs) {
    const leftMs = expiresAtMs - this.#offsetMs - this.#clock.now();
    if (connection !== this.#connection || leftMs < REFRESH_LEAST_MS) return;
    // Of a short time half: there is always some left for another attempt.
    const afterMs = Math.min(leftMs - Math.min(REFRESH_AHEAD_MS, leftMs / 2), TIMER_MS_MAX);
    this.#timer = this.#clock.setTimeout(() => void this.#refresh(connection, expiresAtMs), afterMs);
  }

  /**
   * @param {Connection} connection
   * @param {number} expiresAtMs
   */
  async #refresh(connection, expiresAtMs) {
    try {
      const token = await this.#newToken();
      if (connection !== this.#connection) return;
      const accepted = (/** @type {any} */ ok) => {
        this.#renewed(token);
        if (ok.expires_at_ms !== undefined) this.#plan(connection, ok.expires_at_ms);
      };
      connection.ask({ op: "refresh", token }, accepted, () => this.#plan(connection, expiresAtMs));
    } catch {
      // Whoever gives out tokens may be down; that passes.
      this.#plan(connection, expiresAtMs);
    }
  }
}
