/** A socket and a clock that tests move by hand. */

import { ChatClient } from "../index.js";

export class ManualClock {
  #now = 1_000_000;
  /** @type {{at: number, callback: () => void}[]} */
  #timers = [];
  now = () => this.#now;
  setTimeout = (callback, ms) => {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return timer;
  };
  clearTimeout = (timer) => {
    this.#timers = this.#timers.filter((other) => other !== timer);
  };

  /** Moves on, calling what falls due in order. */
  async advance(ms) {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#now = due.at;
      this.clearTimeout(due);
      due.callback();
      await settle();
    }
    this.#now = until;
    await settle();
  }
}

/** Lets every promise that can go on do so. */
export async function settle() {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

/** @returns a client with everything around it: `sockets` it has opened, `log` of what it emitted */
export function setUp(options = {}) {
  const clock = new ManualClock();
  const sockets = [];
  class FakeSocket {
    sent = [];
    closed = false;
    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.closed = true;
    }
    /** The frames with an op, oldest first. */
    ops(op) {
      return this.sent.filter((frame) => frame.op === op);
    }
    receive(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
    /** Opens, and answers `hello`. */
    welcome(ok = {}) {
      this.onopen();
      const hello = this.ops("hello")[0];
      this.receive({ id: hello.id, ok: { user: "ann", heartbeat_ms: 25_000, limits: { key_window_ms: 3_600_000 }, rooms: {}, ...ok } });
      return hello;
    }
    breakDown(code = 1006) {
      this.onclose?.({ code, reason: "" });
    }
  }
  const client = new ChatClient({ url: "ws://x/ws", user: "ann", WebSocket: FakeSocket, clock, random: () => 0.5, ...options });
  const log = [];
  for (const name of ["state", "joined", "page", "event", "problem"]) client.on(name, (value) => log.push([name, value]));
  const of = (name) => log.filter(([other]) => other === name).map(([, value]) => value);
  return { client, clock, sockets, log, of, last: () => sockets.at(-1) };
}

export const pageOf = (room, position, messages = []) => ({
  room: { id: room, kind: "open" },
  position,
  recovered: false,
  messages,
  occupants: { count: 1, occupants: [{ user: "ann", joined_at_ms: 1 }] },
});

export const added = (seq, text = "hi", from = "bob") => ({
  event: "message_added",
  room: "general",
  seq,
  position: `p${seq}`,
  message: { id: `m${seq}`, room: "general", seq, from, text, sent_at_ms: seq },
});
