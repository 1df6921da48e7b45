import assert from "node:assert/strict";
import { test } from "node:test";

import { isName, newKey } from "../index.js";

test("names are 1 to 128 characters of the alphabet", () => {
  for (const name of ["a", "A-z_0.9:x@y", "x".repeat(128)]) assert.ok(isName(name), name);
  for (const name of ["", "x".repeat(129), "a b", "ä", "a/b", "a\n", null, 7]) assert.ok(!isName(name), String(name));
});

test("keys fit the wire and do not repeat", () => {
  const keys = new Set(Array.from({ length: 1000 }, newKey));
  assert.equal(keys.size, 1000);
  for (const key of keys) assert.match(key, /^c-[0-9a-f]{32}$/);
});
