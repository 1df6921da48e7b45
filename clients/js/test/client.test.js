import assert from "node:assert/strict";
import { test } from "node:test";

import { Outgoing } from "../outgoing.js";
import { added, pageOf, setUp, settle } from "./harness.js";

const ack = { message_id: "m1", seq: 1, sent_at_ms: 1, stored: "memory", duplicate: false };

async function online(options) {
  const all = setUp(options);
  const joined = all.client.join("general");
  all.client.connect();
  await settle();
  all.last().welcome({ rooms: { general: pageOf("general", "p1") } });
  await joined;
  return all;
}

test("says hello with the rooms it wants and offers the JSON subprotocol", async () => {
  const { client, sockets } = setUp();
  client.join("general");
  client.connect();
  await settle();
  const hello = sockets[0].welcome({ rooms: { general: pageOf("general", "p1") } });
  assert.deepEqual(sockets[0].protocols, ["chat.v1.json"]);
  assert.deepEqual([hello.user, hello.rooms], ["ann", { general: null }]);
});

test("a room may be called like something that every object has", async () => {
  const { client, sockets } = setUp();
  const joined = client.join("__proto__");
  client.connect();
  await settle();
  const rooms = JSON.parse('{"__proto__": null}');
  rooms.__proto__ = pageOf("__proto__", "p1");
  const hello = sockets[0].welcome({ rooms });
  assert.deepEqual(Object.entries(hello.rooms), [["__proto__", null]]);
  await joined;
});

test("resumes from the position of the last event, not of the join", async () => {
  const { sockets, clock, last } = await online();
  sockets[0].receive(added(7));
  sockets[0].receive({ event: "typing", room: "general", user: "bob", active: true });
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, { general: "p7" });
});

test("a room that the user was removed from is not asked for again", async () => {
  const { client, sockets, clock, last } = await online();
  sockets[0].receive({ event: "room_removed", room: "general" });
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, {});
  const made = client.createRoom("private", { name: "Plans", members: ["bob"], key: "k" });
  const [create] = last().ops("create_room");
  assert.deepEqual([create.kind, create.name, create.members, create.key], ["private", "Plans", ["bob"], "k"]);
  last().receive({ id: create.id, ok: { room: { id: "r.x", kind: "private" }, role: "owner" } });
  assert.equal((await made).role, "owner");
});

test("an event of a kind that it does not know still moves the position", async () => {
  const { sockets, clock, last } = await online();
  sockets[0].receive({ event: "unheard_of", room: "general", seq: 8, position: "p8" });
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, { general: "p8" });
});

test("asks for more until all that was missed has come, and only then is joined", async () => {
  const { client, of, last } = setUp();
  client.join("general", { position: "p1" });
  client.connect();
  await settle();
  last().welcome({ rooms: { general: { room: { id: "general" }, position: "p2", recovered: true, more: true, entries: [added(2)] } } });
  assert.equal(of("joined").length, 0);
  const join = last().ops("join")[0];
  assert.equal(join.position, "p2");
  const rest = { room: { id: "general" }, position: "p3", recovered: true, entries: [added(3)], occupants: { count: 1, occupants: [] } };
  last().receive({ id: join.id, ok: rest });
  assert.equal(of("joined").length, 1);
  assert.deepEqual(of("event").map((event) => event.seq), [2, 3]);
});

test("a position that was not recovered brings a fresh page", async () => {
  const { sockets, clock, of, last } = await online();
  sockets[0].breakDown();
  await clock.advance(1_000);
  last().welcome({ rooms: { general: pageOf("general", "q9", [added(9).message]) } });
  assert.equal(of("page").length, 2);
  assert.equal(of("page")[1].messages[0].id, "m9");
});

test("events right behind a join result do not overtake it", async () => {
  const { client, clock, last, sockets } = setUp();
  client.join("general");
  client.connect();
  await settle();
  last().welcome({ rooms: { general: pageOf("general", "p1") } });
  // The same turn of the event loop: no promise runs in between.
  last().receive(added(2));
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, { general: "p2" });
});

test("a result that did not fit in the answer to hello follows as an event", async () => {
  const { client, of, last } = setUp();
  const joined = client.join("general");
  client.connect();
  await settle();
  last().welcome();
  last().receive({ event: "joined", ...pageOf("general", "p4") });
  await joined;
  assert.equal(of("page").length, 1);
});

test("a room that is refused is told and not asked for again", async () => {
  const { client, clock, of, last, sockets } = setUp();
  const refused = assert.rejects(client.join("secret"), { code: "not_found" });
  client.connect();
  await settle();
  last().welcome({ rooms: { secret: { error: { code: "not_found", message: "no such room" } } } });
  await refused;
  assert.equal(of("problem")[0].room, "secret");
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, {});
});

test("a position that the server cannot read refuses the hello, and costs only its own room the position", async () => {
  const { client, clock, last } = setUp();
  client.join("general", { position: "garbage" });
  client.join("random", { position: "p7" });
  client.connect();
  await settle();
  last().onopen();
  last().receive({ id: 1, error: { code: "bad_request", message: "rooms.general is not a position of this server" } });
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, {});
  const joins = last().ops("join");
  assert.deepEqual(joins.map((join) => join.position), ["garbage", "p7"]);
  last().receive({ id: joins[0].id, error: { code: "bad_request", message: "position" } });
  const again = last().ops("join")[2];
  assert.deepEqual([again.room, "position" in again], ["general", false]);
});

for (const code of ["bad_request", "forbidden"]) {
  test(`a hello refused as ${code} is not repeated with ever new tokens`, async () => {
    let tokens = 0;
    const { client, clock, last, sockets } = setUp({ user: undefined, token: () => `t${++tokens}` });
    client.connect();
    await settle();
    last().onopen();
    last().receive({ id: 1, error: { code, message: "no" } });
    await clock.advance(60_000);
    assert.deepEqual([client.state.state, client.state.error.code, sockets.length], ["closed", code, 1]);
  });
}

test("a send whose answer was lost goes out again with the same key and resolves once", async () => {
  const { client, sockets, clock, last } = await online();
  const sent = client.send("general", "hello");
  sockets[0].breakDown();
  await clock.advance(1_000);
  last().welcome({ rooms: { general: pageOf("general", "p2") } });
  const [first] = sockets[0].ops("send");
  const [second] = last().ops("send");
  assert.equal(second.key, first.key);
  assert.match(first.key, /^.{18,64}$/);
  last().receive({ id: second.id, ok: { ...ack, duplicate: true } });
  assert.equal((await sent).duplicate, true);
  sockets[1].breakDown();
  await clock.advance(11_000);
  last().welcome();
  assert.deepEqual([sockets.length, last().ops("send").length], [3, 0]);
});

test("what is said offline goes out in order when there is a connection", async () => {
  const { client, last } = setUp();
  client.send("general", "one");
  client.send("general", "two");
  client.connect();
  await settle();
  last().welcome();
  assert.deepEqual(last().ops("send").map((frame) => frame.text), ["one", "two"]);
});

test("a send that the server could not take waits and holds back the ones behind it", async () => {
  const { client, clock, last } = await online();
  client.send("general", "one");
  const { id, key } = last().ops("send")[0];
  last().receive({ id, error: { code: "unavailable", message: "later", retry_after_ms: 700 } });
  client.send("general", "two");
  assert.equal(last().ops("send").length, 1);
  await clock.advance(700);
  const [, again, next] = last().ops("send");
  assert.deepEqual([again.key, next.text], [key, "two"]);
});

test("a send that is held back behind another is not looked at until that one's turn", () => {
  const outgoing = new Outgoing();
  for (const key of ["one", "two"]) outgoing.add("send", "general", key, {});
  const [one, two] = outgoing.take(0, 60_000).ready;
  outgoing.defer(one, 5_000);
  outgoing.defer(two, 4_000);
  assert.deepEqual(outgoing.take(4_000, 60_000).ready, []);
  assert.equal(outgoing.nextAt, 5_000);
  assert.deepEqual(outgoing.take(5_000, 60_000).ready, [one, two]);
  assert.equal(outgoing.nextAt, null);
});

test("a send that would wait for minutes is told so and holds nothing back", async () => {
  const { client, last } = await online();
  const refused = assert.rejects(client.send("general", "one"), { code: "rate_limited", retryAfterMs: 600_000 });
  const error = { code: "rate_limited", message: "slow mode", retry_after_ms: 600_000 };
  last().receive({ id: last().ops("send")[0].id, error });
  await refused;
  client.react("general", "m1", "👍");
  assert.equal(last().ops("react").length, 1);
});

test("a fault of the server is told at once and holds nothing back", async () => {
  const { client, last } = await online();
  const refused = assert.rejects(client.send("general", "one"), { code: "internal" });
  last().receive({ id: last().ops("send")[0].id, error: { code: "internal", message: "internal error" } });
  await refused;
  client.send("general", "two");
  assert.equal(last().ops("send").length, 2);
});

test("a fault of the server in a join or a hello passes, after a while", async () => {
  const { client, clock, of, last, sockets } = await online();
  client.join("random").catch(() => {});
  last().receive({ id: last().ops("join")[0].id, error: { code: "internal", message: "internal error" } });
  await clock.advance(29_999);
  assert.deepEqual([last().ops("join").length, of("problem").length], [1, 0]);
  await clock.advance(1);
  assert.equal(last().ops("join").length, 2);
  last().breakDown(1012);
  await clock.advance(1_000);
  last().onopen();
  last().receive({ id: 1, error: { code: "internal", message: "internal error" } });
  await clock.advance(1_000);
  assert.deepEqual([client.state.state, sockets.length], ["connecting", 3]);
});

test("a send older than the key window is not retried but reported", async () => {
  const { client, clock, last } = await online();
  const late = assert.rejects(client.send("general", "hello"), { code: "expired" });
  for (const age of [1_800_000, 3_600_000]) {
    last().breakDown();
    await clock.advance(1_800_000);
    client.retryNow();
    await settle();
    last().welcome();
    // Tried again within the window, which an attempt does not prolong.
    assert.equal(last().ops("send").length, age < 3_600_000 ? 1 : 0);
  }
  await late;
});

test("a final refusal rejects the send at once", async () => {
  const { client, last } = await online();
  const refused = assert.rejects(client.send("general", ""), { code: "bad_request" });
  last().receive({ id: last().ops("send")[0].id, error: { code: "bad_request", message: "text" } });
  await refused;
});

test("a frame that is too large is refused without asking the server", async () => {
  const { client, last } = await online();
  await assert.rejects(client.send("general", "ä".repeat(40_000)), { code: "too_large" });
  assert.equal(last().ops("send").length, 0);
});

test("after close code 1009 the largest frame is not sent again", async () => {
  const { client, sockets, clock, last } = await online();
  const large = assert.rejects(client.send("general", "x".repeat(5_000)), { code: "too_large" });
  client.send("general", "small");
  sockets[0].breakDown(1009);
  await large;
  await clock.advance(1_000);
  last().welcome();
  assert.deepEqual(last().ops("send").map((frame) => frame.text), ["small"]);
});

test("a draining node's client leaves when its turn has come and comes back at once", async () => {
  const { sockets, clock } = await online();
  sockets[0].receive({ event: "goaway", reconnect_after_ms: 3_000 });
  await clock.advance(2_999);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.deepEqual([sockets[0].closed, sockets.length], [true, 2]);
});

test("a node that closes before the turn has come does not hasten it, and is followed once only", async () => {
  const { sockets, clock, client } = await online();
  sockets[0].receive({ event: "goaway", reconnect_after_ms: 3_000 });
  sockets[0].breakDown(1012);
  await clock.advance(2_999);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
  sockets[1].breakDown();
  assert.ok(client.state.retryAtMs > clock.now());
});

for (const code of [4000, 4001, 4003]) {
  test(`close code ${code} ends the attempts`, async () => {
    const { client, sockets, clock } = await online();
    sockets[0].breakDown(code);
    await clock.advance(600_000);
    assert.equal(client.state.state, "closed");
    assert.equal(sockets.length, 1);
  });
}

test("a refused hello says why and ends the attempts", async () => {
  const { client, clock, last, sockets } = setUp();
  client.connect();
  await settle();
  last().onopen();
  last().receive({ id: 1, error: { code: "bad_request", message: "user: too long" } });
  await clock.advance(60_000);
  assert.equal(client.state.error.message, "user: too long");
  assert.equal(sockets.length, 1);
});

test("an address that no WebSocket takes is told, and not tried again", async () => {
  class NoSocket {
    constructor(url) {
      throw new SyntaxError(`${url} is no address`);
    }
  }
  const { client, clock } = setUp({ url: "/ws", WebSocket: NoSocket });
  client.connect();
  await clock.advance(60_000);
  assert.deepEqual([client.state.state, client.state.error?.message], ["closed", "url: /ws is no address"]);
});

test("a network that is back does not bring back whom the server sent away, a person does", async () => {
  const { client, clock, sockets } = await online({ user: undefined, token: () => "t" });
  sockets[0].breakDown(4001);
  await clock.advance(1_000);
  assert.deepEqual([client.state.state, sockets.length], ["closed", 1]);
  client.connect();
  await settle();
  assert.equal(sockets.length, 2);
  sockets[1].breakDown(4003);
  client.retryNow();
  await settle();
  assert.deepEqual([client.state.state, sockets.length], ["closed", 2]);
});

test("a join that nobody waits for may be refused", async (t) => {
  const unhandled = t.mock.fn();
  process.on("unhandledRejection", unhandled);
  const { client, last } = await online();
  client.join("secret");
  last().receive({ id: last().ops("join")[0].id, error: { code: "not_found", message: "no such room" } });
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", unhandled);
  assert.equal(unhandled.mock.callCount(), 0);
});

test("a silent server is noticed by a ping without an answer", async () => {
  const { client, sockets, clock } = await online();
  await clock.advance(25_000);
  assert.equal(sockets[0].ops("ping").length, 1);
  await clock.advance(10_000);
  assert.notEqual(client.state.state, "online");
  assert.equal(sockets[0].closed, true);
});

test("a server that answers the ping is kept", async () => {
  const { client, sockets, clock } = await online();
  await clock.advance(25_000);
  sockets[0].receive({ id: sockets[0].ops("ping")[0].id, ok: { now_ms: 1 } });
  await clock.advance(24_000);
  assert.equal(client.state.state, "online");
});

test("two slow closes within a minute cost the position and ten seconds", async () => {
  const { sockets, clock, last } = await online();
  sockets[0].breakDown(4008);
  await clock.advance(1_000);
  last().welcome({ rooms: { general: pageOf("general", "p2") } });
  last().breakDown(4008);
  await clock.advance(9_999);
  assert.equal(sockets.length, 2);
  await clock.advance(1);
  assert.deepEqual(last().welcome().rooms, { general: null });
});

test("after a reset it fetches a page and goes on from the new position", async () => {
  const { sockets, clock, of, last } = await online();
  sockets[0].receive({ event: "reset", room: "general", reason: "lost", position: "z0" });
  const { id } = sockets[0].ops("history")[0];
  sockets[0].receive({ id, ok: { messages: [added(1).message], more: false } });
  await settle();
  assert.deepEqual(of("page").at(-1).merge, true);
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, { general: "z0" });
});

test("a page that cannot be had after a reset is asked for again", async () => {
  const { sockets, clock, of } = await online();
  const asked = () => sockets[0].ops("history");
  sockets[0].receive({ event: "reset", room: "general", reason: "lost", position: "z0" });
  sockets[0].receive({ id: asked()[0].id, error: { code: "unavailable", message: "the log", retry_after_ms: 700 } });
  await clock.advance(700);
  sockets[0].receive({ id: asked()[1].id, ok: { messages: [added(1).message], more: false } });
  assert.deepEqual([of("page").length, of("page").at(-1).messages[0].id, of("problem").length], [2, "m1", 0]);
});

test("a connection lost before the page that a reset asks for joins without a position", async () => {
  const { sockets, clock, of, last } = await online();
  sockets[0].receive({ event: "reset", room: "general", reason: "lost", position: "z0" });
  sockets[0].receive(added(1));
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome({ rooms: { general: pageOf("general", "z2") } }).rooms, { general: null });
  assert.equal(of("problem").length, 0);
  last().breakDown(1012);
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, { general: "z2" });
});

test("of two resets the page of the first is not shown", async () => {
  const { sockets, of } = await online();
  for (const position of ["z0", "y0"]) sockets[0].receive({ event: "reset", room: "general", reason: "lost", position });
  const [first, second] = sockets[0].ops("history");
  sockets[0].receive({ id: second.id, ok: { messages: [added(2).message], more: false } });
  sockets[0].receive({ id: first.id, ok: { messages: [added(1).message], more: false } });
  assert.deepEqual(of("page").slice(1).map((page) => page.messages[0].id), ["m2"]);
});

test("entries of a join whose answer came too late are not taken for all there is", async () => {
  const { client, clock, of, last } = await online();
  const joined = client.join("random", { position: "p1" });
  await clock.advance(20_000);
  const [late] = last().ops("join");
  const random = (seq) => ({ ...added(seq), room: "random" });
  last().receive({ id: late.id, ok: { room: { id: "random" }, position: "p3", recovered: true, entries: [random(2), random(3)] } });
  last().receive(random(4));
  assert.equal(of("event").length, 0);
  await clock.advance(1_000);
  const again = last().ops("join")[1];
  assert.equal(again.position, "p1");
  const entries = [random(2), random(3), random(4)];
  last().receive({ id: again.id, ok: { room: { id: "random" }, position: "p4", recovered: true, entries } });
  await joined;
  assert.deepEqual(of("event").map((event) => event.seq), [2, 3, 4]);
});

test("a room that was left before the answer to hello is left on the server too", async () => {
  const { client, of, last } = setUp();
  client.join("general").catch(() => {});
  client.connect();
  await settle();
  last().onopen();
  await client.leave("general");
  last().receive({ id: 1, ok: { user: "ann", rooms: { general: pageOf("general", "p1") } } });
  last().receive(added(2));
  assert.deepEqual(last().ops("leave"), [{ op: "leave", room: "general" }]);
  assert.deepEqual([of("page").length, of("joined").length, of("event").length], [0, 0, 0]);
});

test("a room that is left and joined again while a refusal waits is joined once", async () => {
  const { client, clock, last } = await online();
  client.join("random").catch(() => {});
  const refusal = { code: "unavailable", message: "later", retry_after_ms: 700 };
  last().receive({ id: last().ops("join")[0].id, error: refusal });
  client.leave("random").catch(() => {});
  const joined = client.join("random");
  last().receive({ id: last().ops("join")[1].id, ok: pageOf("random", "p1") });
  await joined;
  await clock.advance(700);
  assert.equal(last().ops("join").length, 2);
});

test("a client that a listener closes amid the answer to hello sends with the next connection", async () => {
  const { client, last } = setUp();
  client.join("general").catch(() => {});
  client.join("random").catch(() => {});
  const stop = client.on("page", () => client.close());
  client.connect();
  await settle();
  last().welcome({ rooms: { general: pageOf("general", "p1"), random: pageOf("random", "q1") } });
  stop();
  client.send("general", "later").catch(() => {});
  client.connect();
  await settle();
  assert.deepEqual(last().welcome().rooms, { general: "p1", random: null });
  assert.deepEqual(last().ops("send").map((frame) => frame.text), ["later"]);
});

test("a room that was left is not resumed and its late events move nothing", async () => {
  const { client, sockets, clock, last } = await online();
  client.leave("general").catch(() => {});
  sockets[0].receive(added(5));
  sockets[0].breakDown();
  await clock.advance(1_000);
  assert.deepEqual(last().welcome().rooms, {});
});

test("a listener that throws is reported and does not keep others from the event", async (t) => {
  const { client, sockets, of } = await online();
  const reported = t.mock.method(globalThis, "queueMicrotask", () => {});
  const later = [];
  client.on("event", () => {
    throw new Error("broken listener");
  });
  client.on("event", (event) => later.push(event.seq));
  sockets[0].receive(added(3));
  assert.throws(reported.mock.calls[0].arguments[0], /broken listener/);
  assert.deepEqual([of("event").length, later], [1, [3]]);
});

test("close rejects what waits and opens nothing more", async () => {
  const { client, sockets, clock } = await online();
  const waiting = assert.rejects(client.send("general", "x"), { code: "closed" });
  client.close();
  await waiting;
  await clock.advance(600_000);
  assert.deepEqual([sockets.length, client.state.state], [1, "closed"]);
});

test("says what was read, and asks for rooms, once each", async () => {
  const { client, last } = await online();
  const read = client.read("general", 7);
  const [{ id, op, ...fields }] = last().ops("read");
  assert.deepEqual([op, fields], ["read", { room: "general", seq: 7 }]);
  last().receive({ id, ok: { unread: 2, mentions: 1 } });
  assert.deepEqual(await read, { unread: 2, mentions: 1 });
  const rooms = client.rooms({ limit: 2 });
  const [asked] = last().ops("rooms");
  assert.equal(asked.limit, 2);
  last().receive({ id: asked.id, ok: { rooms: [], cursor: "c" } });
  assert.deepEqual(await rooms, { rooms: [], cursor: "c" });
});
