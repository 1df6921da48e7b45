/**
 * The chat client: stays connected, resumes rooms, and sees sends through.
 *
 * Emits `state` (State), `joined` ({room, result}), `page` (Page), `event` (WireEvent, live and
 * recovered alike, in order), `problem` ({error, room?}).
 *
 * Keeps no messages: `RoomState` does, fed with `page` and `event`.
 */

import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { ChatError } from "./errors.js";
import { Joiner } from "./joiner.js";
import { isName, NAME_RULE, newKey } from "./names.js";
import { ABNORMAL, closeCodeOf, closedBecause, LEAVING, NOT_AUTHENTICATED, ReconnectPolicy, TOO_LARGE } from "./reconnect.js";
import { Refresher } from "./refresher.js";
import { Sender } from "./sender.js";

/** @type {import("./connection.js").Clock} */
const SYSTEM_CLOCK = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

export class ChatClient extends Emitter {
  #options;
  #clock;
  #random;
  #policy = new ReconnectPolicy();
  #joiner;
  #sender;
  #refresher;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {import("./types.js").State} */
  #state = { state: "idle" };
  /** @type {any} */
  #retryTimer = null;
  /** @type {any} */
  #goawayTimer = null;
  /** @type {number | null} */
  #goawayUntil = null;
  #onlineSince = 0;
  #token = /** @type {string | undefined} */ (undefined);
  #needsNewToken = false;
  /** @type {ChatError | undefined} the error that answered the last `hello` */
  #refusal = undefined;
  /** The next `hello` names no rooms: one position that the server cannot read refuses all of it. */
  #isBare = false;
  /** Counts attempts, so that what was started by an earlier one finds out that it is late. */
  #generation = 0;

  /** @param {import("./types.js").Options} options */
  constructor(options) {
    super();
    if (options.user !== undefined && !isName(options.user)) {
      throw new ChatError("bad_request", `user: ${NAME_RULE}`);
    }
    this.#options = { ...options, WebSocket: options.WebSocket ?? globalThis.WebSocket };
    if (!this.#options.WebSocket) throw new ChatError("bad_request", "no WebSocket here: pass one as an option");
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#random = options.random ?? Math.random;
    this.#joiner = new Joiner(this.#clock, (name, value) => this.emit(name, value));
    this.#sender = new Sender(this.#clock);
    const renewed = (/** @type {string} */ token) => (this.#token = token);
    this.#refresher = new Refresher(this.#clock, async () => /** @type {any} */ (options.token)(), renewed);
    /** What the server said in its answer to the last `hello`: user, connection, instance, limits. */
    this.hello = /** @type {any} */ (null);
    /** @type {string[]} parts of the server that are not well */
    this.degraded = [];
  }

  get state() {
    return this.#state;
  }

  /**
   * Connects, and stays connected until `close`, or until the server says not to come back. Called
   * after that it tries once more, with whatever token there is: a person wants it so.
   */
  connect() {
    if (this.#state.state !== "idle" && this.#state.state !== "closed") return;
    this.#needsNewToken = false;
    void this.#open();
  }

  /** Ends the connection and whatever waits. `connect` starts again; rooms and positions are kept. */
  close() {
    const error = new ChatError("closed", "the client was closed");
    this.#stop(undefined);
    this.#sender.abandon(error);
    this.#joiner.abandon(error);
  }

  /**
   * Does not wait for the next attempt, or finds out at once whether the connection is still there:
   * for a network that is back, or a tab that is looked at again. Nothing to a client that is closed.
   */
  retryNow() {
    if (this.#state.state === "waiting") void this.#open();
    else if (this.#state.state === "online") this.#connection?.probe();
  }

  /**
   * Joins a room, now and after every reconnect, until `leave`.
   *
   * @param {string} room
   * @param {{position?: string | null, history?: number}} [options]
   * @returns {Promise<void>} when the room is joined; its contents come as `page` and `event`
   */
  join(room, options = {}) {
    if (!isName(room)) return Promise.reject(new ChatError("bad_request", `room: ${NAME_RULE}`));
    return this.#joiner.join(room, options);
  }

  /**
   * @param {string} room
   * @returns {Promise<void>}
   */
  async leave(room) {
    this.#joiner.leave(room);
    // Nothing to leave on a connection that does not exist.
    if (this.#isOnline) await this.command("leave", { room });
  }

  /**
   * Says something. Sent again with the same key, after a reconnect too, until its outcome is known
   * or the key is too old (`expired`: ask the person, then send with the same key).
   *
   * @param {string} room
   * @param {string} text
   * @param {{key?: string, reply_to?: string, meta?: Record<string, unknown>}} [options]
   * @returns {Promise<import("./types.js").Sent>}
   */
  send(room, text, { key = newKey(), ...rest } = {}) {
    return this.#sender.submit("send", room, key, { text, ...rest });
  }

  /**
   * @param {string} room
   * @param {string} messageId
   * @param {string} text
   * @returns {Promise<{seq: number, edited_at_ms: number}>}
   */
  edit(room, messageId, text) {
    return this.#sender.submit("edit", room, newKey(), { message_id: messageId, text });
  }

  /**
   * @param {string} room
   * @param {string} messageId
   * @returns {Promise<{seq: number}>}
   */
  delete(room, messageId) {
    return this.#sender.submit("delete", room, newKey(), { message_id: messageId });
  }

  /**
   * @param {string} room
   * @param {string} messageId
   * @param {string} emoji
   * @param {boolean} [remove]
   * @returns {Promise<{seq: number}>}
   */
  react(room, messageId, emoji, remove = false) {
    return this.#sender.submit("react", room, newKey(), { message_id: messageId, emoji, ...(remove && { remove }) });
  }

  /**
   * @param {string} room
   * @param {{before?: number, after?: number, limit?: number}} [range]
   * @returns {Promise<{messages: import("./types.js").Message[], more: boolean}>}
   */
  history(room, range = {}) {
    return this.command("history", { room, ...range });
  }

  /**
   * @param {string} room
   * @param {{cursor?: string, limit?: number}} [page]
   * @returns {Promise<any>}
   */
  who(room, page = {}) {
    return this.command("who", { room, ...page });
  }

  /**
   * Makes a room. The same `key` with the same content answers the room that there is.
   *
   * @param {"open" | "private" | "direct"} kind
   * @param {{room?: string, name?: string, members?: string[], key?: string}} [options]
   * @returns {Promise<import("./types.js").RoomAnswer>}
   */
  createRoom(kind, { key = newKey(), ...rest } = {}) {
    return this.command("create_room", { kind, key, ...rest });
  }

  /**
   * The room of two: made at the first call of either, the same ever after.
   *
   * @param {string} user
   * @returns {Promise<import("./types.js").RoomAnswer>}
   */
  directRoom(user) {
    return this.createRoom("direct", { members: [user] });
  }

  /**
   * Changes what is given; an empty name or topic takes it away.
   *
   * @param {string} room
   * @param {{name?: string, topic?: string, slow_mode_s?: number}} changes
   * @returns {Promise<import("./types.js").RoomAnswer>}
   */
  updateRoom(room, changes) {
    return this.command("update_room", { room, ...changes });
  }

  /**
   * @param {string} room
   * @param {string[]} users
   * @param {"member" | "admin" | "owner"} [role] without it whoever is a member stays what he is
   * @returns {Promise<import("./types.js").RoomAnswer>}
   */
  addMembers(room, users, role) {
    return this.command("add_members", { room, users, ...(role && { role }) });
  }

  /**
   * Removes others, or oneself.
   *
   * @param {string} room
   * @param {string[]} users
   * @returns {Promise<import("./types.js").RoomAnswer>}
   */
  removeMembers(room, users) {
    return this.command("remove_members", { room, users });
  }

  /**
   * Says how present the user is here. Forgotten with the connection: say it again when it is back.
   *
   * @param {"online" | "away" | "busy"} status
   * @param {string} [text]
   * @returns {Promise<any>}
   */
  presence(status, text) {
    return this.command("presence", text === undefined ? { status } : { status, text });
  }

  /**
   * How present up to 100 users are, or when they were last seen.
   *
   * @param {string[]} users
   * @returns {Promise<{users: Record<string, import("./types.js").UserPresence>, degraded?: boolean}>}
   */
  users(users) {
    return this.command("users", { users });
  }

  /**
   * Who is online, newest first: in a room, or anywhere.
   *
   * @param {{room?: string, cursor?: string, limit?: number}} [page]
   * @returns {Promise<{count: number, users: string[], cursor?: string, degraded?: boolean}>}
   */
  online(page = {}) {
    return this.command("online", page);
  }

  /**
   * Says that the user has read up to a message, on all of his devices.
   *
   * @param {string} room
   * @param {number} seq
   * @returns {Promise<import("./types.js").Counts>} what is unread then
   */
  read(room, seq) {
    return this.command("read", { room, seq });
  }

  /**
   * The user's rooms, latest first.
   *
   * @param {{cursor?: string, limit?: number}} [page]
   * @returns {Promise<{rooms: import("./types.js").ListedRoom[], cursor?: string}>}
   */
  rooms(page = {}) {
    return this.command("rooms", page);
  }

  /**
   * Tells the room that the user types; dropped when there is no connection, it would be stale.
   *
   * @param {string} room
   * @param {boolean} active
   */
  typing(room, active) {
    if (this.#joiner.isJoined(room)) this.#connection?.tell({ op: "typing", room, active });
  }

  /**
   * Any command of the protocol, once: rejected with `offline` or `disconnected` without a connection.
   *
   * @param {string} op
   * @param {Record<string, unknown>} [fields]
   * @returns {Promise<any>}
   */
  command(op, fields = {}) {
    const connection = this.#isOnline ? this.#connection : null;
    if (!connection) return Promise.reject(new ChatError("offline", "there is no connection at the moment"));
    return new Promise((resolve, reject) => connection.ask({ op, ...fields }, resolve, reject));
  }

  get #isOnline() {
    return this.#state.state === "online";
  }

  async #open() {
    this.#clock.clearTimeout(this.#retryTimer);
    const generation = ++this.#generation;
    this.#enter({ state: "connecting" });
    const { token, url, WebSocket } = this.#options;
    const last = this.#token;
    try {
      this.#token = typeof token === "function" ? await token() : token;
    } catch {
      // Whoever gives out tokens may be down as well; that passes.
      return this.#ended(generation, ABNORMAL, "");
    }
    if (generation !== this.#generation) return;
    if (this.#needsNewToken && this.#token === last) return this.#stop(closedBecause(NOT_AUTHENTICATED, ""));
    try {
      this.#connection = new Connection(url, WebSocket, this.#clock, {
        onOpen: () => this.#sayHello(),
        onEvent: (event) => this.#receive(/** @type {any} */ (event)),
        onProblem: (error) => this.emit("problem", { error }),
        onClose: (code, reason) => this.#ended(generation, code, reason),
      });
    } catch (error) {
      // An address that is none, or one that this page may not connect to: it will not become better.
      this.#stop(new ChatError("bad_request", `url: ${/** @type {Error} */ (error).message}`));
    }
  }

  #sayHello() {
    const { user, device, notify } = this.#options;
    const connection = /** @type {Connection} */ (this.#connection);
    // JSON leaves out what is undefined.
    const rooms = this.#isBare ? {} : this.#joiner.forHello();
    const frame = { op: "hello", token: this.#token, user, device, notify, rooms };
    const refused = (/** @type {ChatError} */ error) => {
      if (error.code === "disconnected") return;
      this.#refusal = error;
      const isBare = error.code === "bad_request" && Object.keys(rooms).length > 0;
      this.#isBare = isBare;
      connection.close(isBare ? ABNORMAL : closeCodeOf(error));
    };
    connection.ask(frame, (ok) => this.#welcome(connection, ok), refused);
  }

  /**
   * @param {Connection} connection
   * @param {any} ok
   */
  #welcome(connection, ok) {
    this.hello = ok;
    this.degraded = [];
    this.#onlineSince = this.#clock.now();
    this.#needsNewToken = false;
    this.#isBare = false;
    connection.established(ok.heartbeat_ms);
    this.#enter({ state: "online" });
    // A listener may have closed the client just now.
    if (connection !== this.#connection) return;
    this.#joiner.start(connection, ok.rooms ?? {});
    if (connection !== this.#connection) return;
    this.#sender.start(connection, ok.limits?.key_window_ms);
    const isRenewable = typeof this.#options.token === "function" && ok.expires_at_ms !== undefined;
    if (isRenewable) this.#refresher.start(connection, ok.expires_at_ms);
  }

  /**
   * @param {number} generation
   * @param {number} code
   * @param {string} reason
   */
  #ended(generation, code, reason) {
    if (generation !== this.#generation) return;
    const now = this.#clock.now();
    const ending = {
      code,
      wasOnline: this.#isOnline,
      onlineMs: this.#isOnline ? now - this.#onlineSince : 0,
      goawayUntilMs: this.#goawayUntil,
      retryAfterMs: this.#refusal?.retryAfterMs,
    };
    const refusal = this.#refusal;
    if (code === TOO_LARGE) this.#sender.refuseLargest();
    this.#forget();
    const plan = this.#policy.plan(ending, now, this.#random());
    this.#needsNewToken = plan.newToken;
    if (plan.action === "stop" || (plan.newToken && typeof this.#options.token !== "function")) {
      return this.#stop(refusal ?? closedBecause(code, reason));
    }
    if (plan.fresh) this.#joiner.forgetPositions();
    this.#retryTimer = this.#clock.setTimeout(() => void this.#open(), plan.afterMs);
    this.#enter({ state: "waiting", retryAtMs: now + plan.afterMs });
  }

  /** @param {ChatError} [error] */
  #stop(error) {
    this.#generation++;
    this.#clock.clearTimeout(this.#retryTimer);
    const connection = this.#connection;
    this.#forget();
    connection?.close();
    if (this.#state.state !== "closed") this.#enter({ state: "closed", error });
  }

  /** Lets go of all that belongs to one connection. */
  #forget() {
    this.#connection = null;
    this.#refusal = undefined;
    // Followed once: a second attempt has to back off like any other.
    this.#goawayUntil = null;
    this.#clock.clearTimeout(this.#goawayTimer);
    this.#joiner.stop();
    this.#refresher.stop();
    this.#sender.stop();
  }

  /** @param {import("./types.js").State} state */
  #enter(state) {
    this.#state = state;
    this.emit("state", state);
  }

  /** @param {import("./types.js").WireEvent} event */
  #receive(event) {
    if (event.event === "joined") return this.#joiner.answerEvent(event);
    if (!this.#joiner.observe(event)) return;
    if (event.event === "degraded") this.degraded = event.parts ?? [];
    if (event.event === "goaway") this.#goAway(event.reconnect_after_ms ?? 0);
    this.emit("event", event);
  }

  /** @param {number} afterMs */
  #goAway(afterMs) {
    this.#goawayUntil = this.#clock.now() + afterMs;
    const connection = this.#connection;
    // The client goes when its turn has come, so that the node has nobody left to throw out.
    this.#goawayTimer = this.#clock.setTimeout(() => connection?.close(LEAVING), afterMs);
  }
}
