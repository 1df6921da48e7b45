/**
 * What can go wrong, as one type. `code` is either one of the server's (docs/protocol.md, "Errors")
 * or one of the client's own: `offline`, `disconnected`, `timeout`, `expired`, `too_many`, `left`, `closed`.
 */

/** As the server has it. What it answers `internal` to once it would answer so for ever. */
const RETRYABLE = new Set(["rate_limited", "unavailable"]);

export class ChatError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} [retryAfterMs]
   */
  constructor(code, message, retryAfterMs) {
    super(message);
    this.name = "ChatError";
    /** @type {string} */
    this.code = code;
    /** @type {number | undefined} */
    this.retryAfterMs = retryAfterMs;
  }

  /** The same command with the same key may succeed later. */
  get isRetryable() {
    return RETRYABLE.has(this.code);
  }

  /**
   * It may be over by itself: rooms and connections are asked for again, because the fault of a
   * moment must not cost anybody what he is in.
   */
  get isPassing() {
    return this.isRetryable || this.code === "timeout" || this.code === "internal";
  }

  /**
   * @param {unknown} error the `error` object of a frame
   * @returns {ChatError}
   */
  static fromWire(error) {
    const e = /** @type {any} */ (error) ?? {};
    const retryAfter = Number.isFinite(e.retry_after_ms) ? Math.max(0, e.retry_after_ms) : undefined;
    return new ChatError(String(e.code ?? "internal"), String(e.message ?? "the server gave no reason"), retryAfter);
  }
}
