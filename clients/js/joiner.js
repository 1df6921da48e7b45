/**
 * Gets the wanted rooms joined on each connection, resuming each from its position, and moves the
 * positions.
 *
 * Emits through the client: `page`, `event` (what was missed), `joined`, `problem`.
 */

import { ChatError } from "./errors.js";
import { BACKOFF_CAP_MS, PAGE_MESSAGES, RETRY_AFTER_MS } from "./limits.js";
import { resumable, Rooms } from "./rooms.js";

/**
 * @typedef {import("./connection.js").Connection} Connection
 * @typedef {import("./types.js").JoinResult} JoinResult
 */

export class Joiner {
  #rooms = new Rooms();
  #clock;
  #emit;
  /** @type {Connection | null} */
  #connection = null;

  /**
   * @param {import("./connection.js").Clock} clock
   * @param {(name: string, value: any) => void} emit
   */
  constructor(clock, emit) {
    this.#clock = clock;
    this.#emit = emit;
  }

  /**
   * @param {string} room
   * @param {{position?: string | null, history?: number}} options
   * @returns {Promise<void>} when the room is joined
   */
  join(room, options) {
    const wanted = this.#rooms.want(room, options);
    if (wanted.joined) return Promise.resolve();
    const done = new Promise((resolve, reject) => wanted.waiters.push({ resolve: () => resolve(undefined), reject }));
    // Told as a `problem` too: whoever does not wait for it need not catch it.
    done.catch(() => {});
    if (!wanted.asked) this.#ask(room);
    return /** @type {Promise<void>} */ (done);
  }

  /** @param {string} room */
  leave(room) {
    this.#rooms.drop(room, new ChatError("left", "the room was left before it was joined"));
  }

  /** @param {string} room */
  isJoined(room) {
    return this.#rooms.find(room)?.joined ?? false;
  }

  /** The rooms that `hello` resumes. */
  forHello() {
    return this.#rooms.forHello();
  }

  /**
   * A connection is there: takes the answers to `hello`, and asks for the rooms that it left out.
   *
   * @param {Connection} connection
   * @param {Record<string, any>} results
   */
  start(connection, results) {
    this.#connection = connection;
    for (const [room, result] of Object.entries(results)) {
      if (connection === this.#connection) this.answer(room, result);
    }
    for (const wanted of this.#rooms.all()) if (!wanted.asked && !wanted.joined) this.#ask(wanted.room);
  }

  /** The connection is gone; the next `hello` asks again. */
  stop() {
    this.#connection = null;
    this.#rooms.disconnected();
  }

  /** The backlog was too much: the next join brings fresh pages. */
  forgetPositions() {
    this.#rooms.forgetPositions();
  }

  /** @param {ChatError} error for those who wait for a room; the rooms stay wanted */
  abandon(error) {
    for (const wanted of this.#rooms.all()) wanted.waiters.splice(0).forEach((waiter) => waiter.reject(error));
  }

  /**
   * @param {import("./types.js").WireEvent} event that moves its room's position, or ends the room
   * @returns {boolean} whether it is to be passed on
   */
  observe(event) {
    if (!this.#rooms.observe(event)) return false;
    // Asked for again it would not exist.
    if (event.event === "room_removed" && event.room) {
      this.#rooms.drop(event.room, new ChatError("not_found", "the user is no member of this room any more"));
    }
    if (event.event === "reset" && event.room) this.#fetchPage(event.room);
    return true;
  }

  /** @param {any} event a `joined` event: a join result, or a room and an error */
  answerEvent(event) {
    const { room } = event;
    this.answer(typeof room === "string" ? room : String(room?.id), event);
  }

  /**
   * @param {string} room
   * @param {JoinResult & {error?: unknown}} result
   */
  answer(room, result) {
    if (result.error) return this.#refuse(room, ChatError.fromWire(result.error));
    const [wanted, connection] = [this.#rooms.find(room), this.#connection];
    // Left while the answer was on its way: the server would go on telling of it.
    if (!wanted) return connection?.tell({ op: "leave", room });
    wanted.position = result.position;
    wanted.owed = null;
    if (result.recovered) for (const entry of result.entries ?? []) this.#emit("event", entry);
    else this.#emit("page", { room, messages: result.messages ?? [] });
    // A listener may have left the room, or closed the client, just now.
    if (connection !== this.#connection || wanted !== this.#rooms.find(room)) return;
    // Not joined yet: the server wants the next part to be asked for.
    if (result.more) return this.#ask(room);
    wanted.asked = false;
    wanted.joined = true;
    this.#emit("joined", { room, result });
    wanted.waiters.splice(0).forEach((waiter) => waiter.resolve());
  }

  /** @param {string} room */
  #ask(room) {
    const wanted = this.#rooms.find(room);
    const connection = this.#connection;
    if (!wanted || !connection) return;
    wanted.asked = true;
    const position = resumable(wanted);
    const from = position === null ? { history: wanted.history } : { position };
    const refused = (/** @type {ChatError} */ error) => this.#refuse(room, error);
    connection.ask({ op: "join", room, ...from }, (ok) => this.answer(room, ok), refused);
  }

  /**
   * @param {string} room
   * @param {ChatError} error
   */
  #refuse(room, error) {
    const wanted = this.#rooms.find(room);
    if (!wanted || error.code === "disconnected") return;
    if (error.isPassing) {
      this.#later(error, () => wanted === this.#rooms.find(room) && !wanted.joined && this.#ask(room));
    } else if (error.code === "bad_request" && wanted.position !== null) {
      // A position that the server cannot read is worth less than a fresh page.
      wanted.position = null;
      this.#ask(room);
    } else {
      this.#rooms.drop(room, error);
      this.#emit("problem", { error, room });
    }
  }

  /**
   * After a `reset`. Events may arrive while the page is fetched, so it is merged into them. Where
   * the connection ends first, the next join brings the page.
   *
   * @param {string} room
   */
  #fetchPage(room) {
    const wanted = this.#rooms.find(room);
    if (!wanted) return;
    const { owed } = wanted;
    const isOwed = () => owed !== null && wanted.owed === owed && wanted === this.#rooms.find(room);
    const arrived = (/** @type {any} */ { messages, more }) => {
      if (!isOwed()) return;
      wanted.owed = null;
      this.#emit("page", { room, messages, more, merge: true });
    };
    const refused = (/** @type {ChatError} */ error) => {
      if (error.code === "disconnected" || !isOwed()) return;
      if (error.isPassing) return this.#later(error, () => isOwed() && this.#fetchPage(room));
      this.#emit("problem", { error, room });
    };
    this.#connection?.ask({ op: "history", room, limit: PAGE_MESSAGES }, arrived, refused);
  }

  /**
   * @param {ChatError} error that says how long to wait
   * @param {() => void} again called if the connection is still the same then
   */
  #later(error, again) {
    const connection = this.#connection;
    const afterMs = error.retryAfterMs ?? (error.code === "internal" ? BACKOFF_CAP_MS : RETRY_AFTER_MS);
    this.#clock.setTimeout(() => connection === this.#connection && again(), afterMs);
  }
}
