// What the page counts as unread between two answers of the server.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Unread } from "../../../crates/chat-server/page/unread.js";

const said = (seq, mentions = []) => ({ seq, from: "bob", text: "hello", mentions });

function followed() {
  const unread = new Unread();
  unread.joined({ unread: 0, mentions: 0, read_seq: 4, messages: [said(4)] });
  for (const seq of [5, 6]) unread.follow({ event: "message_added", message: said(seq) }, undefined, "alice");
  return unread;
}

test("what is read on another device counts no more when it is edited or deleted", () => {
  const unread = followed();
  assert.equal(unread.unread, 2);
  unread.follow({ event: "unread_count", unread: 0, mentions: 0 }, undefined, "alice");
  unread.follow({ event: "message_updated", mentions: ["alice"] }, said(5), "alice");
  assert.deepEqual([unread.unread, unread.mentions], [0, 0]);
  unread.follow({ event: "message_added", message: said(9) }, undefined, "alice");
  unread.follow({ event: "message_deleted" }, said(6), "alice");
  assert.equal(unread.unread, 1);
});

test("what is said after the log was lost is unread, though its seqs were read before", () => {
  const unread = followed();
  unread.readUpTo(6);
  unread.follow({ event: "reset", reason: "lost" }, undefined, "alice");
  unread.follow({ event: "message_added", message: said(1) }, undefined, "alice");
  assert.equal(unread.unread, 1);
});

test("a message that comes to mention somebody is unread once", () => {
  const unread = followed();
  unread.follow({ event: "message_updated", mentions: ["alice"] }, said(5), "alice");
  assert.deepEqual([unread.unread, unread.mentions], [2, 1]);
});
