import assert from "node:assert/strict";
import { test } from "node:test";

import { ManualClock, setUp, settle } from "./harness.js";

test("an expired token is renewed, the same one is not tried again", async () => {
  const tokens = ["a", "b", "b"];
  const { client, sockets, clock, last } = setUp({ user: undefined, token: async () => tokens.shift() });
  client.connect();
  await settle();
  assert.equal(last().welcome().token, "a");
  last().breakDown(4002);
  await clock.advance(1_000);
  assert.equal(last().welcome().token, "b");
  last().breakDown(4002);
  await clock.advance(5_000);
  assert.deepEqual([client.state.state, sockets.length], ["closed", 2]);
});

/** Online with tokens t1, t2, … that end after ten minutes by a server whose clock is an hour ahead. */
async function withTokens(token) {
  const all = setUp({ user: undefined, token });
  const serverNow = () => all.clock.now() + 3_600_000;
  all.client.connect();
  await settle();
  all.last().welcome({ expires_at_ms: serverNow() + 600_000 });
  all.last().receive({ id: all.last().ops("ping")[0].id, ok: { now_ms: serverNow() } });
  const answerPings = () => all.last().ops("ping").forEach(({ id }) => all.last().receive({ id, ok: { now_ms: serverNow() } }));
  const advance = async (ms) => {
    for (; ms > 0; ms -= 5_000) {
      await all.clock.advance(Math.min(ms, 5_000));
      answerPings();
    }
  };
  return { ...all, serverNow, advance };
}

test("a token is renewed before it ends, on the same connection, again and again", async () => {
  let tokens = 0;
  const { sockets, advance, serverNow, last, clock } = await withTokens(() => `t${++tokens}`);
  await advance(569_000);
  assert.equal(sockets[0].ops("refresh").length, 0);
  for (const expected of ["t2", "t3"]) {
    await advance(1_000);
    const { id, token } = sockets[0].ops("refresh").at(-1);
    assert.equal(token, expected);
    sockets[0].receive({ id, ok: { expires_at_ms: serverNow() + 600_000 } });
    await advance(569_000);
  }
  assert.equal(sockets[0].ops("refresh").length, 2);
  last().breakDown(4002);
  await clock.advance(1_000);
  assert.equal(last().welcome().token, "t4");
});

test("a token that cannot be renewed is tried again until it ends, and not beyond the connection", async () => {
  const given = ["t1", () => Promise.reject(new Error("down")), "bad", "t1"];
  const { sockets, advance, last } = await withTokens(async () => {
    const token = given.shift() ?? "t1";
    return typeof token === "function" ? token() : token;
  });
  await advance(570_000 + 15_000);
  const [bad] = sockets[0].ops("refresh");
  assert.equal(bad.token, "bad");
  sockets[0].receive({ id: bad.id, error: { code: "unauthorized", message: "not yours" } });
  await advance(7_500);
  assert.equal(sockets[0].ops("refresh")[1].token, "t1");
  last().breakDown(1012);
  await advance(5_000);
  last().welcome();
  await advance(600_000);
  assert.deepEqual([sockets[0].ops("refresh").length, last().ops("refresh").length], [2, 0]);
});

test("a token that never ends, given instead of one that does, is not renewed again", async (t) => {
  const { sockets, advance, clock } = await withTokens(() => "t");
  await advance(570_000);
  const { id } = sockets[0].ops("refresh")[0];
  const set = t.mock.method(clock, "setTimeout");
  sockets[0].receive({ id, ok: {} });
  // A wait that is no number is none at all.
  assert.ok(set.mock.calls.every((call) => call.arguments[1] >= 0));
  await advance(600_000);
  assert.equal(sockets[0].ops("refresh").length, 1);
});

test("a token that ends in a month is not renewed at once", async (t) => {
  const clock = new ManualClock();
  const set = t.mock.method(clock, "setTimeout");
  const { client, last } = setUp({ user: undefined, token: () => "t", clock });
  client.connect();
  await settle();
  last().welcome({ expires_at_ms: clock.now() + 30 * 86_400_000 });
  last().receive({ id: last().ops("ping")[0].id, ok: { now_ms: clock.now() } });
  // More than that goes off at once.
  const waits = set.mock.calls.map((call) => call.arguments[1]);
  assert.ok(waits.includes(2 ** 31 - 1) && waits.every((ms) => ms < 2 ** 31), String(waits));
});
