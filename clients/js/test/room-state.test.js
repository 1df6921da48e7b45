import assert from "node:assert/strict";
import { test } from "node:test";

import { isDeleted, RoomState } from "../room-state.js";
import { added } from "./harness.js";

const roomWith = (...seqs) => {
  const state = new RoomState("general");
  state.applyPage({ messages: seqs.map((seq) => added(seq).message) });
  return state;
};
const ids = (state) => state.messages.map((message) => message.id);
const event = (name, seq, fields) => ({ event: name, room: "general", seq, position: `p${seq}`, ...fields });
const react = (seq, user, removed = false) => event("message_reacted", seq, { message_id: "m1", user, emoji: "👍", removed });

test("messages are in seq order however they arrive, each once", () => {
  const state = roomWith(5, 9);
  state.apply(added(7), 0);
  state.apply(added(7), 0);
  state.applyOlder({ messages: [added(1).message, added(5).message], more: false });
  assert.deepEqual(ids(state), ["m1", "m5", "m7", "m9"]);
  assert.equal(state.hasOlder, false);
});

test("an edit changes the text once", () => {
  const state = roomWith(1);
  const edit = event("message_updated", 2, { message_id: "m1", text: "new", edited_at_ms: 22 });
  assert.deepEqual([...state.apply(edit, 0).messages], ["m1"]);
  assert.equal(state.apply(edit, 0).messages.size, 0);
  assert.deepEqual([state.message("m1").text, state.messages[0].edited_at_ms], ["new", 22]);
});

test("a change that the page already holds is not made again", () => {
  const state = new RoomState("general");
  const message = { ...added(1).message, changed_seq: 4, reactions: { "👍": { count: 1, users: ["bob"] } } };
  state.applyPage({ messages: [message] });
  state.apply(event("message_updated", 3, { message_id: "m1", text: "older" }), 0);
  state.apply(react(4, "bob", true), 0);
  assert.deepEqual(state.message("m1"), message);
});

test("an older page never takes back a newer change", () => {
  const state = roomWith(1);
  state.apply(event("message_updated", 2, { message_id: "m1", text: "new" }), 0);
  state.applyOlder({ messages: [added(1).message], more: false });
  assert.equal(state.message("m1").text, "new");
});

test("a deleted message keeps its place and nothing else, and stays deleted", () => {
  const state = roomWith(1, 2);
  state.apply(react(3, "bob"), 0);
  state.apply(event("message_deleted", 4, { message_id: "m1", by: "bob" }), 0);
  state.apply(event("message_updated", 5, { message_id: "m1", text: "back" }), 0);
  assert.deepEqual(ids(state), ["m1", "m2"]);
  assert.deepEqual(state.message("m1"), { id: "m1", room: "general", seq: 1, from: "bob", sent_at_ms: 1, deleted: true, changed_seq: 4 });
});

test("an edit without its text belongs to a message that was deleted meanwhile", () => {
  const state = roomWith(1);
  state.apply(event("message_updated", 2, { message_id: "m1" }), 0);
  assert.ok(isDeleted(state.message("m1")));
});

test("reactions are counted per user and vanish with the last one", () => {
  const state = roomWith(1);
  state.apply(react(2, "bob"), 0);
  state.apply(react(3, "eve"), 0);
  state.apply(react(4, "bob"), 0);
  assert.deepEqual(state.message("m1").reactions, { "👍": { count: 2, users: ["bob", "eve"] } });
  state.apply(react(5, "bob", true), 0);
  state.apply(react(6, "zoe", true), 0);
  state.apply(react(7, "eve", true), 0);
  assert.deepEqual(state.message("m1").reactions, {});
});

test("a reaction may be called like something that every object has", () => {
  for (const emoji of ["constructor", "__proto__", "toString"]) {
    const state = roomWith(1);
    const all = () => Object.entries(state.message("m1").reactions);
    state.apply({ ...react(2, "bob"), emoji }, 0);
    state.apply({ ...react(3, "eve"), emoji }, 0);
    assert.deepEqual(all(), [[emoji, { count: 2, users: ["bob", "eve"] }]]);
    state.apply({ ...react(4, "bob", true), emoji }, 0);
    state.apply({ ...react(5, "eve", true), emoji }, 0);
    assert.deepEqual(all(), []);
  }
});

test("beyond the named users a reaction is only counted", () => {
  const state = roomWith(1);
  for (let i = 0; i < 30; i++) state.apply(react(2 + i, `u${i}`), 0);
  const { count, users } = state.message("m1").reactions["👍"];
  assert.deepEqual([count, users.length], [30, 20]);
  state.apply(react(40, "u25", true), 0);
  assert.equal(state.message("m1").reactions["👍"].count, 29);
});

test("a fresh page takes the place of everything", () => {
  const state = roomWith(1, 2, 3);
  state.applyPage({ messages: [added(90).message] });
  assert.deepEqual([ids(state), state.hasOlder, state.message("m1")], [["m90"], true, undefined]);
});

test("after a reset the page is merged into what came meanwhile", () => {
  const state = roomWith(50, 51);
  state.apply({ event: "reset", room: "general", reason: "lost", position: "z0" }, 0);
  state.apply(added(3), 0);
  state.applyPage({ messages: [added(1).message, added(2).message], more: false, merge: true });
  assert.deepEqual(ids(state), ["m1", "m2", "m3"]);
});

test("occupants come and go by name and by number", () => {
  const state = roomWith();
  state.applyJoined({ occupants: { count: 2, occupants: [{ user: "eve" }, { user: "bob" }] } });
  state.apply({ event: "user_joined", room: "general", user: "ann", at_ms: 1 }, 0);
  state.apply({ event: "user_joined", room: "general", user: "ann", at_ms: 1 }, 0);
  state.apply({ event: "user_left", room: "general", user: "bob", at_ms: 1 }, 0);
  assert.deepEqual([state.occupants, state.occupantCount], [["ann", "eve"], 2]);
  state.apply({ event: "occupancy", room: "general", count: 4000 }, 0);
  assert.deepEqual([state.occupants, state.occupantCount], [[], 4000]);
});

test("typing ends by itself, by a message, by leaving and by saying so", () => {
  const state = roomWith();
  const types = (user, active = true) => state.apply({ event: "typing", room: "general", user, active }, 1_000);
  ["ann", "bob", "eve", "zoe"].forEach((user) => types(user));
  types("ann", false);
  state.apply(added(1, "hi", "bob"), 0);
  state.apply({ event: "user_left", room: "general", user: "eve", at_ms: 1 }, 0);
  assert.deepEqual(state.typists, ["zoe"]);
  assert.equal(state.expire(6_999), false);
  assert.equal(state.expire(7_000), true);
  assert.deepEqual(state.typists, []);
});

test("trimming forgets the oldest and remembers that there are older ones", () => {
  const state = roomWith(1, 2, 3);
  assert.deepEqual(state.trim(2), ["m1"]);
  assert.deepEqual([ids(state), state.hasOlder], [["m2", "m3"], true]);
});

test("an older page that does not adjoin any more is not taken", () => {
  const older = { messages: [added(1).message, added(2).message], more: false };
  const trimmed = roomWith(3, 4, 5);
  trimmed.trim(1);
  const afresh = roomWith(3, 4);
  afresh.applyPage({ messages: [added(90).message] });
  const gone = roomWith(3);
  gone.apply({ event: "reset", room: "general", reason: "lost", position: "z0" }, 0);
  for (const state of [trimmed, afresh, gone]) {
    const before = ids(state);
    assert.equal(state.applyOlder(older, 3).messages.size, 0);
    assert.deepEqual([ids(state), state.hasOlder], [before, true]);
  }
  const same = roomWith(3, 4);
  same.applyOlder(older, 3);
  assert.deepEqual([ids(same), same.hasOlder], [["m1", "m2", "m3", "m4"], false]);
});

test("events of other rooms and of unknown kinds change nothing", () => {
  const state = roomWith(1);
  for (const other of [{ ...added(2), room: "other" }, event("poll_opened", 2, {})]) {
    const { all, messages, occupants, typing } = state.apply(other, 0);
    assert.deepEqual([all, messages.size, occupants, typing], [false, 0, false, false]);
  }
});
