import assert from "node:assert/strict";
import { test } from "node:test";

import { fullJitter, ReconnectPolicy } from "../reconnect.js";

const lost = { code: 1006, wasOnline: false, onlineMs: 0, goawayUntilMs: null };

test("jitter is anything from nothing to a step that doubles up to the cap", () => {
  assert.equal(fullJitter(0, 0), 0);
  assert.equal(fullJitter(0, 1), 500);
  assert.equal(fullJitter(3, 1), 4_000);
  assert.equal(fullJitter(500, 1), 30_000);
});

test("the backoff grows while nothing works and starts again after a stable connection", () => {
  const policy = new ReconnectPolicy();
  const waits = [0, 1, 2].map(() => policy.plan(lost, 0, 1).afterMs);
  assert.deepEqual(waits, [500, 1_000, 2_000]);
  const stable = { ...lost, code: 1000, wasOnline: true, onlineMs: 60_000 };
  assert.equal(policy.plan(stable, 0, 1).afterMs, 500);
});

test("a connection that dies as soon as it is there does not reset the backoff", () => {
  const policy = new ReconnectPolicy();
  policy.plan(lost, 0, 1);
  assert.equal(policy.plan({ ...lost, code: 1000, wasOnline: true, onlineMs: 100 }, 0, 1).afterMs, 1_000);
});

test("a server that is down costs nobody the position", () => {
  const policy = new ReconnectPolicy();
  const plans = [0, 1, 2, 3].map((second) => policy.plan(lost, second * 1_000, 0));
  assert.ok(plans.every((plan) => !plan.fresh));
});

test("too many connections is answered with a longer step", () => {
  assert.equal(new ReconnectPolicy().plan({ ...lost, code: 4009 }, 0, 1).afterMs, 5_000);
});

test("a wait that the server named is kept", () => {
  assert.equal(new ReconnectPolicy().plan({ ...lost, retryAfterMs: 9_000 }, 0, 0).afterMs, 9_000);
});

test("the two slow closes must lie within a minute", () => {
  const slow = { ...lost, code: 4008, wasOnline: true };
  const policy = new ReconnectPolicy();
  policy.plan(slow, 0, 0);
  assert.equal(policy.plan(slow, 60_000, 0).fresh, false);
  assert.equal(policy.plan(slow, 100_000, 0).fresh, true);
});
