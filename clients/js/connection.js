/**
 * One WebSocket, from opening to its end: numbers commands, matches answers, and notices a server
 * that is silent. Knows nothing of rooms, keys or reconnecting.
 *
 * Invariant: `onClose` is called once, after every unanswered command was rejected, and nothing
 * else is called after it.
 *
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(callback: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 *
 * @typedef {object} Handlers
 * @property {() => void} onOpen
 * @property {(event: Record<string, any>) => void} onEvent
 * @property {(error: ChatError) => void} onProblem an error that answers no command
 * @property {(code: number, reason: string) => void} onClose
 */

import { ChatError } from "./errors.js";
import { ANSWER_WAIT_MS, CONNECT_WAIT_MS, FRAME_BYTES_MAX, HEARTBEAT_MS, PONG_WAIT_MS } from "./limits.js";
import { ABNORMAL } from "./reconnect.js";

export class Connection {
  #socket;
  #clock;
  #handlers;
  #nextId = 1;
  /** @type {Map<number, {onOk: (ok: any) => void, onError: (error: ChatError) => void, timer: any}>} */
  #unanswered = new Map();
  #ended = false;
  #heardAt = 0;
  #watchdog;

  /**
   * @param {string} url
   * @param {any} WebSocket constructor
   * @param {Clock} clock
   * @param {Handlers} handlers
   */
  constructor(url, WebSocket, clock, handlers) {
    this.#clock = clock;
    this.#handlers = handlers;
    this.#socket = new WebSocket(url, ["chat.v1.json"]);
    this.#socket.onopen = () => handlers.onOpen();
    this.#socket.onmessage = (/** @type {{data: unknown}} */ message) => this.#receive(message.data);
    this.#socket.onclose = (/** @type {{code: number, reason: string}} */ close) => this.#end(close.code, close.reason);
    // A `close` always follows and says more.
    this.#socket.onerror = () => {};
    this.#watchdog = clock.setTimeout(() => this.#end(ABNORMAL, "no answer while connecting"), CONNECT_WAIT_MS);
  }

  /**
   * The server has answered `hello`: from here on silence is suspicious.
   *
   * @param {number} [heartbeatMs]
   */
  established(heartbeatMs = HEARTBEAT_MS) {
    this.#watch(heartbeatMs);
  }

  /**
   * Sends a command. The answer is handed over at once, before any frame behind it: a promise would
   * let an event overtake the join result that it follows.
   *
   * @param {Record<string, unknown>} frame
   * @param {(ok: any) => void} onOk
   * @param {(error: ChatError) => void} onError
   * @param {number} [waitMs]
   */
  ask(frame, onOk, onError, waitMs = ANSWER_WAIT_MS) {
    if (this.#ended) return onError(new ChatError("disconnected", "the connection is gone"));
    const id = this.#nextId++;
    const text = JSON.stringify({ id, ...frame });
    // Refused here, because the server would close the connection for it.
    if (new TextEncoder().encode(text).length > FRAME_BYTES_MAX) {
      return onError(new ChatError("too_large", `a command may have ${FRAME_BYTES_MAX} bytes`));
    }
    const timer = this.#clock.setTimeout(() => this.#timeOut(id), waitMs);
    this.#unanswered.set(id, { onOk, onError, timer });
    this.#socket.send(text);
  }

  /**
   * A command that wants no answer.
   *
   * @param {Record<string, unknown>} frame
   */
  tell(frame) {
    if (!this.#ended) this.#socket.send(JSON.stringify(frame));
  }

  /** Asks now whether the server is there, and ends the connection if it does not say so in time. */
  probe() {
    const silent = (/** @type {ChatError} */ error) => {
      if (error.code === "timeout") this.#end(ABNORMAL, "the server is silent");
    };
    this.ask({ op: "ping" }, () => {}, silent, PONG_WAIT_MS);
  }

  /**
   * Ends the connection without waiting for the other side, which may be gone.
   *
   * @param {number} [code] what `onClose` is told
   */
  close(code = 1000) {
    this.#end(code, "");
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#ended) return;
    this.#heardAt = this.#clock.now();
    const frame = parse(data);
    if (!frame) return this.#handlers.onProblem(new ChatError("bad_request", "the server sent a frame that is not JSON"));
    if (typeof frame.event === "string") return this.#handlers.onEvent(frame);
    const waiting = this.#unanswered.get(frame.id);
    if (waiting) {
      this.#unanswered.delete(frame.id);
      this.#clock.clearTimeout(waiting.timer);
      if (frame.error) waiting.onError(ChatError.fromWire(frame.error));
      else waiting.onOk(frame.ok ?? {});
    } else if (frame.error) {
      this.#handlers.onProblem(ChatError.fromWire(frame.error));
    }
  }

  /** @param {number} id */
  #timeOut(id) {
    const waiting = this.#unanswered.get(id);
    this.#unanswered.delete(id);
    waiting?.onError(new ChatError("timeout", "the server did not answer in time"));
  }

  /** @param {number} heartbeatMs */
  #watch(heartbeatMs) {
    this.#clock.clearTimeout(this.#watchdog);
    this.#watchdog = this.#clock.setTimeout(() => {
      // A browser does not show the server's pings, so only silence can be seen.
      if (this.#clock.now() - this.#heardAt >= heartbeatMs) this.probe();
      this.#watch(heartbeatMs);
    }, heartbeatMs);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#ended) return;
    this.#ended = true;
    this.#clock.clearTimeout(this.#watchdog);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    const waiting = [...this.#unanswered.values()];
    this.#unanswered.clear();
    for (const { timer, onError } of waiting) {
      this.#clock.clearTimeout(timer);
      onError(new ChatError("disconnected", "the connection was lost before the answer"));
    }
    this.#handlers.onClose(code, reason);
  }
}

/**
 * @param {unknown} data
 * @returns {Record<string, any> | null}
 */
function parse(data) {
  try {
    const frame = JSON.parse(/** @type {string} */ (data));
    return frame !== null && typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}
