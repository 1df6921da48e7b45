// What the page keeps of rooms and of what was said in them, without a browser.
import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";

import { added, settle } from "./harness.js";

// The server serves the client beside the page.
const served = `export function resolve(name, context, next) {
  return next(name.startsWith("../client/") ? "${new URL("../", import.meta.url)}" + name.slice("../client/".length) : name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(served)}`);
const element = { addEventListener() {}, replaceChildren() {} };
globalThis.document = { getElementById: () => element };
const { PendingList } = await import("../../../crates/chat-server/page/pending.js");
const { RoomList } = await import("../../../crates/chat-server/page/rooms.js");
const { KEPT_MAX } = await import("../../../crates/chat-server/page/messages.js");

/** A client that joins whatever is asked for, and answers each send with the next seq. */
const client = (seq = 0) => ({
  join: async () => {},
  send: async () => ({ message_id: `m${++seq}`, seq }),
});

test("a room that nobody looks at keeps only the newest messages, one that is read keeps all", () => {
  const rooms = new RoomList(client(), { onPending() {}, onLeave() {} });
  const [read, other] = ["general", "random"].map((id) => rooms.open(id));
  rooms.shown = read;
  for (let seq = 1; seq <= KEPT_MAX + 10; seq++) {
    for (const room of [read, other]) rooms.apply(room, { ...added(seq), room: room.id });
  }
  assert.deepEqual([read, other].map((room) => room.state.messages.length), [KEPT_MAX + 10, KEPT_MAX]);
  assert.equal(other.state.hasOlder, true);
});

test("what is answered when the room has long gone on is not waiting any more", async () => {
  const pending = new PendingList(client(6), "general", () => {});
  pending.say("in a page that was there before the answer");
  pending.say("not there yet");
  await settle();
  pending.reached(7);
  assert.deepEqual(pending.items.map((item) => item.messageId), ["m8"]);
});

test("what has no answer waits however far the room has gone", () => {
  const pending = new PendingList({ send: () => new Promise(() => {}) }, "general", () => {});
  pending.say("hello");
  pending.reached(1_000);
  assert.equal(pending.items.length, 1);
});
