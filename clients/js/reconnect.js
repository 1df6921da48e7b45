/**
 * When and how to come back after a connection ended. Pure: told the time and the dice, it answers
 * with a plan, following the close codes of docs/protocol.md.
 *
 * @typedef {object} Ending
 * @property {number} code close code, 1006 where the connection broke without one
 * @property {boolean} wasOnline the server had answered `hello`
 * @property {number} onlineMs for how long, 0 if never
 * @property {number | null} goawayUntilMs when a draining node asked the client to come back
 * @property {number} [retryAfterMs] least wait that a refused `hello` named
 *
 * @typedef {object} Plan
 * @property {"retry" | "stop"} action
 * @property {number} afterMs
 * @property {boolean} fresh join without positions
 * @property {boolean} newToken a token other than the last one is needed
 */

import { ChatError } from "./errors.js";
import {
  BACKOFF_BASE_MS,
  BACKOFF_CAP_MS,
  CROWDED_BASE_MS,
  SLOW_WAIT_MS,
  SLOW_WINDOW_MS,
  STABLE_MS,
} from "./limits.js";

/** The close code of a connection that broke without one. */
export const ABNORMAL = 1006;
export const TOO_LARGE = 1009;
export const LEAVING = 1012;
const PROTOCOL = 4000;
export const NOT_AUTHENTICATED = 4001;
const DISCONNECTED = 4003;

const CLOSED_BECAUSE = /** @type {Record<number, string>} */ ({
  4000: "the server says that this client broke the protocol",
  4001: "the server did not accept who you are",
  4002: "the token has expired",
  4003: "an operator ended this connection",
});

/** Codes after which only a person, or a new token, helps. */
const FINAL = new Set([PROTOCOL, DISCONNECTED]);
const TOKEN = new Set([NOT_AUTHENTICATED, 4002]);
/** A draining node's connection may also just break. */
const GOING = new Set([1001, ABNORMAL, LEAVING]);

/**
 * Full jitter: anything from nothing to the step, so that a thousand clients spread out.
 *
 * @param {number} attempt 0 for the first
 * @param {number} random in [0, 1)
 * @param {number} [base]
 */
export function fullJitter(attempt, random, base = BACKOFF_BASE_MS) {
  return Math.round(random * Math.min(BACKOFF_CAP_MS, base * 2 ** Math.min(attempt, 16)));
}

export class ReconnectPolicy {
  #attempt = 0;
  /** @type {number[]} when a live connection was last lost for slowness, or for no stated reason */
  #slow = [];

  /**
   * @param {Ending} ending
   * @param {number} now
   * @param {number} random in [0, 1)
   * @returns {Plan}
   */
  plan(ending, now, random) {
    const plan = { action: /** @type {const} */ ("retry"), afterMs: 0, fresh: false, newToken: false };
    if (FINAL.has(ending.code)) return { ...plan, action: "stop" };
    if (ending.onlineMs >= STABLE_MS) this.#attempt = 0;
    const attempt = this.#attempt++;

    if (ending.goawayUntilMs !== null && GOING.has(ending.code)) {
      // The node spread its clients over time; adding jitter of our own would only delay them.
      return { ...plan, afterMs: Math.max(0, ending.goawayUntilMs - now) };
    }
    if (this.#tooSlowAgain(ending, now)) return { ...plan, afterMs: SLOW_WAIT_MS, fresh: true };
    const base = ending.code === 4009 ? CROWDED_BASE_MS : BACKOFF_BASE_MS;
    const wait = fullJitter(attempt, random, base);
    return { ...plan, afterMs: Math.max(wait, ending.retryAfterMs ?? 0), newToken: TOKEN.has(ending.code) };
  }

  /**
   * A connection that was cut for slowness may look like any broken one, so both count; one that
   * never was online does not, or a server that is down would cost everybody their position.
   *
   * @param {Ending} ending
   * @param {number} now
   */
  #tooSlowAgain(ending, now) {
    if (!ending.wasOnline || (ending.code !== 4008 && ending.code !== ABNORMAL)) return false;
    this.#slow = this.#slow.filter((at) => now - at < SLOW_WINDOW_MS);
    this.#slow.push(now);
    if (this.#slow.length < 2) return false;
    this.#slow = [];
    return true;
  }
}

/**
 * What a refused `hello` means, as the close code that says the same.
 *
 * @param {ChatError} error
 */
export function closeCodeOf(error) {
  if (error.code === "unauthorized") return NOT_AUTHENTICATED;
  // Revoked: no other token is to be tried without a person.
  if (error.code === "forbidden") return DISCONNECTED;
  return error.isPassing ? ABNORMAL : PROTOCOL;
}

/**
 * @param {number} code
 * @param {string} reason
 */
export function closedBecause(code, reason) {
  const why = CLOSED_BECAUSE[code] ?? "the server closed the connection";
  return new ChatError("closed", reason ? `${why} (${reason})` : why);
}
